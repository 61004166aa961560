/* judge.c - see judge.h. */
#include "tools/pf-cutout/judge.h"

#include <stdlib.h>

#include "common/pieces.h"

enum { HALF = 127 };            /* alpha above it is object */

static void
count_pieces(struct verdict *v, const struct pf_pieces *p, double pixels)
{
    int object = 0, largest = 0;
    for (int k = 0; k < p->n; k++) {
        const int n = p->piece[k].parent == k ? p->piece[k].pixels : 0;
        object += n;
        largest = n > largest ? n : largest;
    }
    for (int k = 0; k < p->n; k++) {
        const int n = p->piece[k].parent == k ? p->piece[k].pixels : 0;
        v->things += n > 0 && n >= object / 20;
        v->touches |= p->piece[k].border;
    }
    v->share = object / pixels;
    v->largest = object ? (double)largest / object : 0;
}

pf_err
judge(struct verdict *v, const pf_image *alpha)
{
    const int W = alpha->width, H = alpha->height;
    struct pf_pieces p;
    uint8_t *const object = malloc((size_t)W);
    pf_err err = object ? pf_pieces_new(&p, W, false) :
                 pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", W);

    *v = (struct verdict){0};
    if (err) {
        free(object);
        return err;
    }
    for (int y = 0; y < H && !err; y++) {
        for (int x = 0; x < W; x++)
            object[x] = alpha->pixel[(size_t)y * W + x] > HALF;
        err = pf_pieces_row(&p, object, y == 0 || y == H - 1);
    }
    pf_pieces_settle(&p);
    count_pieces(v, &p, (double)W * H);
    pf_pieces_release(&p);
    free(object);
    return err;
}

double
sureness(const pf_tensor *mask)
{
    const float *const m = mask->data;
    double both = 0, either = 0;
    int64_t object = 0;
    for (int64_t i = 0, n = pf_tensor_count(mask); i < n; i++) {
        object += m[i] > 0.5f;
        both += m[i] > 0.5f ? m[i] : 0;
        either += m[i] > 0.5f ? 1 : m[i];
    }
    return object ? both / either : 0;
}
