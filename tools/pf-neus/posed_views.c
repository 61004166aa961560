/* posed_views.c - gather the views of several documents (posed_views.h). */
#include "tools/pf-neus/posed_views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VIEWS = 4096 };

/* Append n numbers of this size, copied from `from`, to the `had` that *array holds. */
static pf_err
append(void *array, size_t had, size_t n, size_t size, const void *from)
{
    char **p = array, *to = realloc(*p, (had + n) * size);
    if (!to)
        return pf_fail(PF_ENOMEM, "no memory for the views");
    memcpy(to + had * size, from, n * size);
    *p = to;
    return PF_OK;
}

static pf_err
check_finite(const char *name, const pf_tensor *t)
{
    const float *x = t->data;
    for (int64_t i = 0; i < pf_tensor_count(t); i++)
        if (!isfinite(x[i]))
            return pf_fail(PF_EFORMAT, "%s: element %lld is not finite", name, (long long)i);
    return PF_OK;
}

/* Rays need K's inverse; ours are upper triangular. */
static pf_err
check_intrinsics(const pf_tensor *t)
{
    PF_TRY(check_finite("views.intrinsics", t));
    for (int64_t n = 0; n < t->dim[0]; n++) {
        const float *K = (const float *)t->data + 9 * n;
        if (!(K[0] > 0 && K[4] > 0) || K[3] != 0 || K[6] != 0 || K[7] != 0 || K[8] != 1)
            return pf_fail(PF_EFORMAT, "views.intrinsics: view %lld is not [fx s cx; 0 fy cy; "
                           "0 0 1]", (long long)n);
    }
    return PF_OK;
}

pf_err
posed_views_add(struct posed_views *v, const pf_doc *doc)
{
    pf_tensor image, alpha, pose, intrinsics, elevation;
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], S = image.dim[1], pixels = N * S * S;
    if (N < 1 || N > MAX_VIEWS || S < 1 || S > 4096 || image.dim[2] != S)
        return pf_fail(PF_ESHAPE, "views.image is [%lld, %lld, %lld, 3], expected 1 to %d square "
                       "views of 1 to 4096 pixels a side", (long long)N, (long long)S,
                       (long long)image.dim[2], MAX_VIEWS);
    if (v->documents && S != v->size)
        return pf_fail(PF_ESHAPE, "views.image is %lld pixels a side, earlier views are %d: one "
                       "field needs one size", (long long)S, v->size);
    if (v->count + N > MAX_VIEWS)
        return pf_fail(PF_ESHAPE, "more than %d views", MAX_VIEWS);
    PF_TRY(pf_doc_need(doc, "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha));
    PF_TRY(pf_doc_need(doc, "views.pose", PF_F32, 3, (int64_t[]){N, 3, 4}, &pose));
    PF_TRY(pf_doc_need(doc, "views.intrinsics", PF_F32, 3, (int64_t[]){N, 3, 3}, &intrinsics));
    PF_TRY(pf_doc_need(doc, "views.elevation", PF_F32, 1, (int64_t[]){N}, &elevation));
    PF_TRY(check_finite("views.alpha", &alpha));
    PF_TRY(check_finite("views.pose", &pose));
    PF_TRY(check_finite("views.elevation", &elevation));
    PF_TRY(check_intrinsics(&intrinsics));

    const size_t had = (size_t)v->count, more = (size_t)N, area = (size_t)(S * S);
    PF_TRY(append(&v->image, had * area * 3, (size_t)pixels * 3, 1, image.data));
    PF_TRY(append(&v->alpha, had * area, (size_t)pixels, sizeof(float), alpha.data));
    PF_TRY(append(&v->pose, had * 12, more * 12, sizeof(float), pose.data));
    PF_TRY(append(&v->intrinsics, had * 9, more * 9, sizeof(float), intrinsics.data));
    PF_TRY(append(&v->elevation, (size_t)v->documents, 1, sizeof(float), elevation.data));
    v->size = (int)S;
    v->count += (int)N;
    v->documents++;
    return PF_OK;
}

void
posed_views_release(struct posed_views *v)
{
    free(v->image);
    free(v->alpha);
    free(v->pose);
    free(v->intrinsics);
    free(v->elevation);
    *v = (struct posed_views){0};
}

struct pf_field_views
posed_views_of(const struct posed_views *v)
{
    return (struct pf_field_views){v->count, v->size, v->size, v->image, v->alpha, v->pose, v->intrinsics};
}
