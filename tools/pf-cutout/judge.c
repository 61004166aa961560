/* judge.c - see judge.h. */
#include "tools/pf-cutout/judge.h"

#include <stdlib.h>

enum { HALF = 127 };            /* alpha above it is object */

/* Pieces are found row by row, so that of the picture no more is held than a row of their numbers.
 * One that turns out to be another's has that for its parent; pixels are counted where they were
 * found. */
struct pieces {
    int n, room;
    struct {
        int parent, pixels;
    } *piece;
};

static int
root(struct pieces *p, int i)
{
    while (p->piece[i].parent != i)
        i = p->piece[i].parent = p->piece[p->piece[i].parent].parent;
    return i;
}

static pf_err
add_piece(struct pieces *p)
{
    if (p->n == p->room) {
        const int room = 2 * p->room + 64;
        void *const grown = realloc(p->piece, (size_t)room * sizeof *p->piece);
        if (!grown)
            return pf_fail(PF_ENOMEM, "no memory for %d pieces of an object", room);
        p->piece = grown;
        p->room = room;
    }
    p->piece[p->n].parent = p->n;
    p->piece[p->n++].pixels = 0;
    return PF_OK;
}

/* number [W]: each pixel's piece in the row above, and then in this one; -1: no object. */
static pf_err
number_row(struct pieces *p, int *number, const uint8_t *alpha, int W)
{
    for (int x = 0; x < W; x++) {
        const int left = x ? number[x - 1] : -1, up = number[x];
        number[x] = -1;
        if (alpha[x] <= HALF)
            continue;
        if (left < 0 && up < 0)
            PF_TRY(add_piece(p));
        number[x] = left >= 0 ? left : up >= 0 ? up : p->n - 1;
        p->piece[number[x]].pixels++;
        if (left >= 0 && up >= 0)
            p->piece[root(p, up)].parent = root(p, left);
    }
    return PF_OK;
}

static void
count_pieces(struct verdict *v, struct pieces *p, int object)
{
    int largest = 0;
    for (int i = 0; i < p->n; i++) {
        const int r = root(p, i);
        p->piece[r].pixels += r != i ? p->piece[i].pixels : 0;
    }
    for (int i = 0; i < p->n; i++) {
        const int n = p->piece[i].parent == i ? p->piece[i].pixels : 0;
        v->things += n > 0 && n >= object / 20;
        largest = n > largest ? n : largest;
    }
    v->largest = object ? (double)largest / object : 0;
}

pf_err
judge(struct verdict *v, const pf_image *alpha)
{
    const int W = alpha->width, H = alpha->height;
    struct pieces p = {0};
    int *const number = malloc((size_t)W * sizeof *number), object = 0;
    pf_err err = number ? PF_OK : pf_fail(PF_ENOMEM, "no memory to look at %d pixels", W);

    *v = (struct verdict){0};
    for (int x = 0; x < W && !err; x++)
        number[x] = -1;
    for (int y = 0; y < H && !err; y++) {
        const uint8_t *const row = alpha->pixel + (size_t)y * W;
        for (int x = 0; x < W; x++) {
            object += row[x] > HALF;
            v->touches |= row[x] > HALF && (y == 0 || y == H - 1 || x == 0 || x == W - 1);
        }
        err = number_row(&p, number, row, W);
    }
    v->share = (double)object / ((double)W * H);
    if (!err)
        count_pieces(v, &p, object);
    free(number);
    free(p.piece);
    return err;
}

double
sureness(const pf_tensor *mask)
{
    const float *const m = mask->data;
    double both = 0, either = 0;
    int64_t object = 0;
    for (int64_t i = 0; i < pf_tensor_count(mask); i++) {
        object += m[i] > 0.5f;
        both += m[i] > 0.5f ? m[i] : 0;
        either += m[i] > 0.5f ? 1 : m[i];
    }
    return object ? both / either : 0;
}
