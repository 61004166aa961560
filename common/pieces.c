/* pieces.c - see pieces.h: a row's pixels take the numbers of those beside and above them, and
 * numbers that meet are joined in a forest. */
#include "common/pieces.h"

#include <stdlib.h>

pf_err
pf_pieces_new(struct pf_pieces *p, int width, bool diagonal)
{
    *p = (struct pf_pieces){.width = width, .diagonal = diagonal,
                            .number = malloc((size_t)width * sizeof *p->number)};
    if (!p->number)
        return pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", width);
    for (int x = 0; x < width; x++)
        p->number[x] = -1;
    return PF_OK;
}

void
pf_pieces_release(struct pf_pieces *p)
{
    free(p->number);
    free(p->piece);
    *p = (struct pf_pieces){0};
}

static int
root(struct pf_pieces *p, int k)
{
    while (p->piece[k].parent != k)
        k = p->piece[k].parent = p->piece[p->piece[k].parent].parent;
    return k;
}

/* The next number. */
static pf_err
begin(struct pf_pieces *p, int *k)
{
    if (!p->settled && p->n == p->room) {
        const int room = 2 * p->room + 64;
        void *const grown = realloc(p->piece, (size_t)room * sizeof *p->piece);
        if (!grown)
            return pf_fail(PF_ENOMEM, "no memory for %d pieces of a picture", room);
        p->piece = grown;
        p->room = room;
    }
    *k = p->settled ? p->used++ : p->n++;
    if (!p->settled)
        p->piece[*k] = (struct pf_piece){.parent = *k};
    return PF_OK;
}

static void
join(struct pf_pieces *p, int a, int b)
{
    if (b >= 0 && a != b)
        p->piece[root(p, b)].parent = root(p, a);
}

pf_err
pf_pieces_row(struct pf_pieces *p, const uint8_t *row, bool edge)
{
    const int W = p->width;
    int *const number = p->number;
    for (int x = 0, left = -1, corner = -1; x < W; x++) {
        const int up = number[x], other = p->diagonal && x + 1 < W ? number[x + 1] : -1;
        int k = left >= 0 ? left : up >= 0 ? up : corner >= 0 ? corner : other;
        if (!row[x])
            k = -1;
        else if (k < 0)
            PF_TRY(begin(p, &k));
        if (k >= 0 && !p->settled) {
            p->piece[k].pixels++;
            p->piece[k].border |= edge || x == 0 || x == W - 1;
            join(p, k, up);
            join(p, k, corner);
            join(p, k, other);
        }
        corner = p->diagonal ? up : -1;
        left = number[x] = k;
    }
    return PF_OK;
}

void
pf_pieces_settle(struct pf_pieces *p)
{
    for (int k = 0; k < p->n; k++) {
        const int r = root(p, k);
        if (r == k)
            continue;
        p->piece[r].pixels += p->piece[k].pixels;
        p->piece[r].border |= p->piece[k].border;
    }
    for (int k = 0; k < p->n; k++)
        p->piece[k].parent = root(p, k);
    for (int x = 0; x < p->width; x++)
        p->number[x] = -1;
    p->settled = true;
}
