/* all_views.c - gather the views of several documents (all_views.h). */
#include "tools/pf-neus/all_views.h"

#include <stdlib.h>
#include <string.h>

#include "common/posed_views.h"

/* n more numbers of this size, copied from there, behind the had that *array holds. */
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
append_intrinsics(struct all_views *v, const struct pf_posed_views *more)
{
    for (int n = 0; n < more->count; n++) {
        double K[9];
        float single[9];
        pf_posed_views_intrinsics(K, more, n);
        for (int i = 0; i < 9; i++)
            single[i] = (float)K[i];
        PF_TRY(append(&v->intrinsics, 9 * (size_t)(v->count + n), 9, sizeof(float), single));
    }
    return PF_OK;
}

/* Cubes that lie elsewhere in the world do not hold one object. */
static pf_err
check_world(struct all_views *v, const pf_doc *doc)
{
    const char *world = pf_doc_get_meta(doc, "pf.world");
    if (!v->documents && world && !(v->world = strdup(world)))
        return pf_fail(PF_ENOMEM, "no memory for the views");
    if (v->documents && strcmp(world ? world : "", v->world ? v->world : ""))
        return pf_fail(PF_EFORMAT,
                       "pf.world is not that of the views before: give pf-stream pack the same "
                       "--center and --scale");
    return PF_OK;
}

pf_err
all_views_add(struct all_views *v, const pf_doc *doc, double bound)
{
    struct pf_posed_views more;
    PF_TRY(pf_posed_views_read(&more, doc));
    if (v->documents && (more.width != v->width || more.height != v->height))
        return pf_fail(PF_ESHAPE,
                       "views.image is %d x %d pixels, earlier views are %d x %d: one field "
                       "needs one size",
                       more.width, more.height, v->width, v->height);
    if (v->count + more.count > PF_VIEWS_MAX)
        return pf_fail(PF_ESHAPE, "more than %d views", PF_VIEWS_MAX);
    PF_TRY(check_world(v, doc));
    PF_TRY(pf_posed_views_aim(&more, bound));

    const size_t had = (size_t)v->count, n = (size_t)more.count;
    const size_t area = (size_t)more.width * (size_t)more.height;
    PF_TRY(append(&v->image, had * area * 3, n * area * 3, 1, more.image));
    PF_TRY(append(&v->alpha, had * area, n * area, sizeof(float), more.alpha));
    PF_TRY(append(&v->pose, had * 12, n * 12, sizeof(float), more.pose));
    PF_TRY(append_intrinsics(v, &more));
    if (more.elevation)
        PF_TRY(append(&v->elevation, (size_t)v->elevations++, 1, sizeof(float), more.elevation));
    v->width = more.width;
    v->height = more.height;
    v->object |= pf_posed_views_show_object(&more);
    v->count += more.count;
    v->documents++;
    return PF_OK;
}

void
all_views_release(struct all_views *v)
{
    free(v->image);
    free(v->alpha);
    free(v->pose);
    free(v->intrinsics);
    free(v->elevation);
    free(v->world);
    *v = (struct all_views){0};
}

struct pf_field_views
all_views_posed(const struct all_views *v)
{
    return (struct pf_field_views){v->count, v->width, v->height, v->image, v->alpha, v->pose,
                                   v->intrinsics};
}
