/* surfaces.c - see surfaces.h. */
#include "tools/pf-eval/surfaces.h"

#include <math.h>
#include <stdlib.h>

#include "common/camera.h"
#include "tools/pf-eval/nearest.h"
#include "tools/pf-eval/solid.h"
#include "tools/pf-eval/surface.h"

static const double cell = 0.01;                // of the thinning, the original's
static const double near[2] = {0.01, 0.02};     // distances of the F-scores

/* ---- points ---- */

struct way {                    /* from the points of one shape to those of the other */
    double distance, within[2], normals;        /* means */
};

static double
alignment(const struct points *a, int64_t i, const struct points *b, int64_t j)
{
    double dot = 0;
    for (int k = 0; k < 3; k++)
        dot += (double)a->normal[3 * i + k] * b->normal[3 * j + k];
    return fabs(dot);
}

static pf_err
walk(struct way *w, const struct points *from, const struct points *to)
{
    const bool normals = from->normal && to->normal;
    double *const distance = malloc((size_t)from->n * sizeof *distance);
    int64_t *const index = malloc((size_t)from->n * sizeof *index);
    struct tree *tree = NULL;
    pf_err err = distance && index ? tree_new(&tree, to->at, to->n)
                                   : pf_fail(PF_ENOMEM, "no memory to compare points");
    *w = (struct way){.normals = normals ? 0 : NAN};
#pragma omp parallel for schedule(dynamic, 256)
    for (int64_t i = 0; i < (err ? 0 : from->n); i++)
        distance[i] = tree_nearest(&index[i], tree, from->at + 3 * i);
    for (int64_t i = 0; i < from->n && !err; i++) {
        w->distance += distance[i];
        for (int k = 0; k < 2; k++)
            w->within[k] += distance[i] < near[k];
        if (normals)
            w->normals += alignment(from, i, to, index[i]);
    }
    w->distance /= (double)from->n;
    w->normals /= (double)from->n;
    for (int k = 0; k < 2; k++)
        w->within[k] /= (double)from->n;
    tree_free(tree);
    free(distance);
    free(index);
    return err;
}

/* value: Chamfer distance, two F-scores, agreement of normals. */
static pf_err
compare_points(double value[4], const struct points *truth, const struct points *made)
{
    struct way there, back;
    PF_TRY(walk(&there, made, truth));
    PF_TRY(walk(&back, truth, made));
    value[0] = (there.distance + back.distance) / 2;
    for (int k = 0; k < 2; k++) {
        const double sum = there.within[k] + back.within[k];
        value[1 + k] = sum > 0 ? 2 * there.within[k] * back.within[k] / sum : 0;
    }
    value[3] = (there.normals + back.normals) / 2;
    return PF_OK;
}

/* The points of a mesh, all of them and those that are visible. */
static pf_err
find_points(struct shape *s, const struct shape_options *opt)
{
    if (!s->mesh.faces)
        return opt->original ? pf_fail(PF_EFORMAT, "--original compares meshes, not points")
                             : PF_OK;
    if (opt->original) {
        PF_TRY(surface_depths(&s->seen, &s->mesh, opt->elevation));
    } else {
        PF_TRY(surface_sample(&s->whole, &s->mesh, opt->samples, opt->seed));
        PF_TRY(points_copy(&s->seen, &s->whole));
        PF_TRY(surface_keep_seen(&s->seen, &s->mesh, opt->elevation));
    }
    return s->seen.n ? PF_OK
                     : pf_fail(PF_EFORMAT, "the cameras of the rig see nothing of the mesh");
}

/* Those of meshes alone: the points of a file stay. */
static pf_err
thin_points(struct shape *truth, struct shape *made)
{
    struct shape *const shape[2] = {truth, made};
    bool failed = false;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < 4; i++) {
        struct shape *const s = shape[i / 2];
        if (s->mesh.faces && surface_thin(i % 2 ? &s->seen : &s->whole, cell)) {
#pragma omp atomic write
            failed = true;
        }
    }
    return failed ? pf_fail(PF_ENOMEM, "no memory to thin points") : PF_OK;
}

/* Points of which nobody says whether they are visible serve as both. */
static const struct points *
whole_of(const struct shape *s)
{
    return s->whole.n ? &s->whole : &s->seen;
}

/* ---- solids ---- */

/* The coarse grid is that of the original's tables, filled slice by slice; in the fine one what is
 * open to one side stays open. */
static pf_err
find_solid(struct shape *s, int i, const struct shape_options *opt)
{
    struct grid grid = {solid_side[i], solid_half[i], 0.5, 2};
    if (opt->original)
        grid = (struct grid){solid_side[i], solid_half[i], 0, 0};
    if (!s->solid[i] && s->mesh.faces)
        PF_TRY(solid_of_mesh(&s->solid[i], &s->mesh, &grid));
    return s->solid[i] && !opt->original ? solid_fill(s->solid[i], solid_side[i], i == SOLID_COARSE)
                                         : PF_OK;
}

/* iou [SOLIDS]; the original has the coarse grid alone. */
static pf_err
compare_solids(double *iou, struct shape *truth, struct shape *made,
               const struct shape_options *opt)
{
    struct shape *const shape[2] = {truth, made};
    const int grids = opt->original ? 1 : SOLIDS;
    bool failed = false;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < 2 * grids; i++)
        if (find_solid(shape[i % 2], grids - 1 - i / 2, opt)) {     // the finer takes longer
#pragma omp atomic write
            failed = true;
        }
    for (int i = 0; i < grids && !failed; i++)
        if (truth->solid[i] && made->solid[i])
            iou[i] = solid_iou(truth->solid[i], made->solid[i], solid_side[i]);
    return failed ? pf_fail(PF_ENOMEM, "no memory for the insides of meshes") : PF_OK;
}

pf_err
shapes_compare(double *value, struct shape *truth, struct shape *made,
               const struct shape_options *opt)
{
    for (int k = 0; k < SHAPE_MEASURES; k++)
        value[k] = NAN;
    PF_TRY(find_points(truth, opt));
    PF_TRY(find_points(made, opt));
    PF_TRY(thin_points(truth, made));
    PF_TRY(compare_points(value + CHAMFER, &truth->seen, &made->seen));
    PF_TRY(compare_solids(value + IOU_COARSE, truth, made, opt));
    return opt->original ? PF_OK
                         : compare_points(value + WHOLE_CHAMFER, whole_of(truth), whole_of(made));
}
