/* shelf.h - memory that is kept until all of it goes, out of few large boards: a GPU's driver has
 * as much to do for a bias as for a board.
 *
 *     if (!(data = pf_shelf_take(&s, size))) {
 *         const size_t board = pf_shelf_next(&s, size);
 *         PF_TRY(pf_shelf_add(&s, get_memory(board), board));
 *         data = pf_shelf_take(&s, size);
 *     }
 *     ...
 *     pf_shelf_release(&s, give_back, ctx);
 *
 * Where the memory comes from the caller says; nothing here looks into it. */
#ifndef PF_SHELF_H
#define PF_SHELF_H
#include <stddef.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_board;
struct pf_shelf {               /* zeros: an empty one */
    struct pf_board *first;
    size_t bytes;               /* of all boards */
    size_t used;                /* that were taken, or lie between such */
};

/* size bytes, at a multiple of 256, of the first board that has them left; NULL: none has. */
void *pf_shelf_take(struct pf_shelf *s, size_t size);
/* Bytes of the board to get for size more: an eighth of what there is, so that small models stay
 * small, and 16 MB at most, for the last one may be left over.  What is more than half of that gets
 * its own, for else the ends of boards would add up.  All are whole 2 MB, a GPU's pages: a driver
 * gives no less, and what is small fills their ends. */
size_t pf_shelf_next(const struct pf_shelf *s, size_t size);
/* A board of size bytes; it stays the caller's after PF_ENOMEM, or if it is NULL. */
pf_err pf_shelf_add(struct pf_shelf *s, void *data, size_t size) PF_MUST_USE;
/* give(ctx, data, size) for every board; the shelf is empty then. */
void pf_shelf_release(struct pf_shelf *s, void (*give)(void *ctx, void *data, size_t size),
                      void *ctx);

#ifdef __cplusplus
}
#endif
#endif
