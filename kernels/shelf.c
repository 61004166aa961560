/* shelf.c - few large boards for what is kept: first fit, so that what is small fills the ends. */
#include <stdlib.h>

#include "kernels/shelf.h"

enum { ALIGN = 256, PAGE = 2 << 20, MOST = 16 << 20, SHARE = 8 };

struct pf_board {
    struct pf_board *next;
    size_t size, used;
    char *data;
};

void *
pf_shelf_take(struct pf_shelf *s, size_t size)
{
    for (struct pf_board *b = s->first; b; b = b->next) {
        const size_t at = (b->used + ALIGN - 1) / ALIGN * ALIGN;
        if (at > b->size || b->size - at < size)
            continue;
        s->used += at + size - b->used;
        b->used = at + size;
        return b->data + at;
    }
    return NULL;
}

static size_t
whole_pages(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

size_t
pf_shelf_next(const struct pf_shelf *s, size_t size)
{
    const size_t share = s->bytes / SHARE;
    const size_t wish = share < PAGE ? PAGE : share > MOST ? MOST : whole_pages(share);
    return size <= wish / 2 ? wish : whole_pages(size);
}

pf_err
pf_shelf_add(struct pf_shelf *s, void *data, size_t size)
{
    struct pf_board *const b = data ? malloc(sizeof *b) : NULL, **link = &s->first;
    if (!b)
        return pf_fail(PF_ENOMEM, "no memory for what a device keeps");
    *b = (struct pf_board){.size = size, .data = data};
    while (*link)
        link = &(*link)->next;
    *link = b;
    s->bytes += size;
    return PF_OK;
}

void
pf_shelf_release(struct pf_shelf *s, void (*give)(void *ctx, void *data, size_t size), void *ctx)
{
    for (struct pf_board *b = s->first, *next; b; b = next) {
        next = b->next;
        give(ctx, b->data, b->size);
        free(b);
    }
    *s = (struct pf_shelf){0};
}
