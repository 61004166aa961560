/* pieces.h - the connected parts of a picture, found row by row: of the picture no more is held
 * than one row of their numbers, so that it may be larger than memory.
 *
 *     PF_TRY(pf_pieces_new(&p, width, false));
 *     for (int y = 0; y < height; y++)
 *         PF_TRY(pf_pieces_row(&p, row, y == 0 || y == height - 1));
 *     pf_pieces_settle(&p);                            // p.piece[k] are pieces where parent is k
 *     for (int y = 0; y < height; y++) {               // and once more, to do something with them
 *         PF_TRY(pf_pieces_row(&p, row, false));
 *         ... pf_pieces_of(&p, x)->pixels ...
 *     }
 *     pf_pieces_release(&p); */
#ifndef PF_PIECES_H
#define PF_PIECES_H
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct pf_piece {
    int parent;                 /* a number that turned out to be another's; its own: a piece */
    int pixels;
    bool border;                /* whether it touches the picture's */
};

struct pf_pieces {
    int width;
    bool diagonal, settled;
    int *number;                /* [width] each pixel's in the last row; -1: not of any */
    int n, room, used;          /* numbers; those given so far after settling */
    struct pf_piece *piece;     /* [n] */
};

/* diagonal: pixels that touch by a corner alone belong together. */
pf_err pf_pieces_new(struct pf_pieces *p, int width, bool diagonal) PF_MUST_USE;
/* The next row [width], in which 0 belongs to no piece; edge: it is the first or the last.  After
 * pf_pieces_settle the same rows must come again. */
pf_err pf_pieces_row(struct pf_pieces *p, const uint8_t *row, bool edge) PF_MUST_USE;
/* Every number's parent is a piece from now on, which has all pixels of its numbers. */
void pf_pieces_settle(struct pf_pieces *p);
/* The piece of pixel x of the last row, which has one. */
static inline const struct pf_piece *
pf_pieces_of(const struct pf_pieces *p, int x)
{
    return &p->piece[p->piece[p->number[x]].parent];
}
void pf_pieces_release(struct pf_pieces *p);

#endif
