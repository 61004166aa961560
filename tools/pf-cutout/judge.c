/* judge.c - see judge.h. */
#include "tools/pf-cutout/judge.h"

#include <stdlib.h>
#include <string.h>

enum { HALF = 127 };            /* alpha above it is object */

struct search {
    int width, height;
    uint8_t *todo;              /* [H, W] object that no piece has yet */
    int *queue;
    int n;
};

static void
push(struct search *s, int x, int y)
{
    if (x < 0 || y < 0 || x >= s->width || y >= s->height || !s->todo[y * s->width + x])
        return;
    s->todo[y * s->width + x] = 0;
    s->queue[s->n++] = y * s->width + x;
}

/* How many pixels the piece at this pixel has; it is no longer to do. */
static int
piece(struct search *s, int pixel)
{
    s->n = 0;
    push(s, pixel % s->width, pixel / s->width);
    for (int i = 0; i < s->n; i++) {
        const int x = s->queue[i] % s->width, y = s->queue[i] / s->width;
        push(s, x - 1, y);
        push(s, x + 1, y);
        push(s, x, y - 1);
        push(s, x, y + 1);
    }
    return s->n;
}

static void
count_pieces(struct verdict *v, struct search *s, int object)
{
    int largest = 0;
    for (int i = 0; i < s->width * s->height; i++) {
        const int n = s->todo[i] ? piece(s, i) : 0;
        v->things += n > 0 && n >= object / 20;
        largest = n > largest ? n : largest;
    }
    v->largest = object ? (double)largest / object : 0;
}

pf_err
judge(struct verdict *v, const pf_image *alpha)
{
    const int W = alpha->width, H = alpha->height, n = W * H;
    struct search s = {.width = W, .height = H, .todo = malloc((size_t)n),
                       .queue = malloc((size_t)n * sizeof(int))};
    int object = 0;
    pf_err err = PF_OK;

    *v = (struct verdict){0};
    if (!s.todo || !s.queue)
        err = pf_fail(PF_ENOMEM, "no memory to look at %d x %d pixels", W, H);
    for (int i = 0; i < n && !err; i++) {
        const bool border = i < W || i >= n - W || i % W == 0 || i % W == W - 1;
        s.todo[i] = alpha->pixel[i] > HALF;
        object += s.todo[i];
        v->touches |= border && s.todo[i];
    }
    v->share = (double)object / n;
    if (!err)
        count_pieces(v, &s, object);
    free(s.todo);
    free(s.queue);
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
