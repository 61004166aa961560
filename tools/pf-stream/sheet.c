#include "tools/pf-stream/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 1 << 20, PIXELS_MAX = 1 << 28 };

/* How a tensor is read as N pictures: element strides of picture, row, column and channel. */
struct layout {
    int64_t N, H, W, C;
    int64_t picture, row, column, channel;
};

static bool
find_layout(struct layout *l, const pf_tensor *t)
{
    const int64_t *d = t->dim;
    const int n = t->ndim;
    if ((n == 3 || n == 4) && d[n - 1] == 3)
        *l = (struct layout){n == 4 ? d[0] : 1, d[n - 3], d[n - 2], 3, 0, 3 * d[n - 2], 3, 1};
    else if ((n == 3 || n == 4) && d[n - 3] == 3)
        *l = (struct layout){n == 4 ? d[0] : 1, d[n - 2], d[n - 1], 3, 0, d[n - 1], 1,
                             d[n - 2] * d[n - 1]};
    else if (n == 2 || n == 3)
        *l = (struct layout){n == 3 ? d[0] : 1, d[n - 2], d[n - 1], 1, 0, d[n - 1], 1, 0};
    else
        return false;
    l->picture = l->H * l->W * l->C;
    return l->N > 0 && l->H > 0 && l->W > 0 && l->N <= SIDE_MAX && l->W <= SIDE_MAX / l->N &&
           l->H <= PIXELS_MAX / (l->N * l->W);
}

static float
at(const pf_tensor *t, int64_t i)
{
    float v;
    pf_to_f32(&v, (const char *)t->data + (size_t)i * pf_dtype_size(t->dtype), t->dtype, 1);
    return v;
}

/* Find the stored numbers that are black and white. */
static void
find_range(float *black, float *white, const pf_tensor *t)
{
    const int64_t n = pf_tensor_count(t);
    *black = 0;
    *white = t->dtype == PF_U8 ? 255 : 1;
    for (int64_t i = 0; i < n && t->dtype != PF_U8 && *black == 0; i++)
        if (at(t, i) < 0)
            *black = -1;
}

/* Write t into the strip's channels from `first` on. */
static void
fill(pf_image *strip, int first, const pf_tensor *t, const struct layout *l)
{
    float black, white;
    find_range(&black, &white, t);
#pragma omp parallel for
    for (int64_t y = 0; y < l->H; y++)
        for (int64_t x = 0; x < l->N * l->W; x++)
            for (int64_t c = 0; c < l->C; c++) {
                const float v = at(t, x / l->W * l->picture + y * l->row + x % l->W * l->column +
                                          c * l->channel);
                const float s = (v - black) / (white - black);
                strip->pixel[(y * strip->width + x) * strip->channels + first + c] =
                    (uint8_t)lrintf(255 * fminf(fmaxf(s, 0), 1));
            }
}

static pf_err
draw(pf_image *strip, const char *name, const pf_tensor *t, const pf_tensor *alpha)
{
    struct layout l, a;
    char text[160];
    if (!find_layout(&l, t))
        return pf_fail(PF_ESHAPE, "%s is %s, expected pictures: [3, H, W], [H, W, 3], [H, W] or "
                       "several of those", name, pf_tensor_describe(text, sizeof text, t));
    const bool with_alpha = alpha && l.C == 3 && find_layout(&a, alpha) && a.C == 1 && a.N == l.N &&
                            a.H == l.H && a.W == l.W;
    PF_TRY(pf_image_new(strip, (int)(l.N * l.W), (int)l.H, (int)l.C + with_alpha));
    fill(strip, 0, t, &l);
    if (with_alpha)
        fill(strip, 3, alpha, &a);
    return PF_OK;
}

pf_err
pf_sheet_strip(pf_image *strip, const pf_doc *doc, const char *name)
{
    const pf_tensor *views = pf_doc_get(doc, "views.image");
    const pf_tensor *input = pf_doc_get(doc, "input.image");
    if (name) {
        const pf_tensor *t = pf_doc_get(doc, name);
        return t ? draw(strip, name, t, NULL) : pf_fail(PF_EFORMAT, "there is no tensor %s", name);
    }
    if (views)
        return draw(strip, "views.image", views, pf_doc_get(doc, "views.alpha"));
    if (input)
        return draw(strip, "input.image", input, pf_doc_get(doc, "input.alpha"));
    return pf_fail(PF_EFORMAT, "there is neither views.image nor input.image; give --tensor NAME");
}

pf_err
pf_sheet_append(pf_image *sheet, pf_image *strip)
{
    pf_image both;
    if (!sheet->pixel) {
        *sheet = *strip;
        return PF_OK;
    }
    pf_err err = PF_OK;
    if (sheet->width != strip->width || sheet->channels != strip->channels)
        err = pf_fail(PF_ESHAPE, "the documents' pictures do not fit under each other (%d and %d "
                      "pixels wide); give --index N", sheet->width, strip->width);
    if (!err)
        err = pf_image_new(&both, sheet->width, sheet->height + strip->height, sheet->channels);
    if (!err) {
        const size_t row = (size_t)sheet->width * sheet->channels, above = row * sheet->height;
        memcpy(both.pixel, sheet->pixel, above);
        memcpy(both.pixel + above, strip->pixel, row * strip->height);
        pf_image_release(sheet);
        *sheet = both;
    }
    pf_image_release(strip);
    return err;
}
