#include "tools/pf-extract-mesh/texture.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "tools/pf-extract-mesh/raster.h"

enum { BATCH = 1 << 20 };       /* texels that the field is asked for together */
#define REACH 1.0f              /* texels around a face that it colours where no face is */

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* ---- whose a texel is ---- */

/* The faces of an atlas by chart: face [faces], chart i's from first[i] on. */
static pf_err
sort_faces(uint32_t **face, int64_t **first, const struct pf_atlas *a, int64_t faces)
{
    *face = malloc(((size_t)faces + 1) * sizeof **face);
    *first = calloc((size_t)a->charts + 2, sizeof **first);
    if (!*face || !*first)
        return pf_fail(PF_ENOMEM, "no memory for the texture of %lld faces", (long long)faces);
    for (int64_t f = 0; f < faces; f++)
        (*first)[a->chart[f] + 2]++;
    for (int i = 0; i <= a->charts; i++)
        (*first)[i + 1] += (*first)[i];
    for (int64_t f = 0; f < faces; f++)
        (*face)[(*first)[a->chart[f] + 1]++] = (uint32_t)f;
    return PF_OK;
}

/* Whether the middle of a texel is at most REACH from the face. */
static bool
is_beside(const struct pf_raster *r, const int64_t weight[3])
{
    for (int k = 0; k < 3; k++) {
        const double length = sqrt((double)(r->dx[k] * r->dx[k] + r->dy[k] * r->dy[k]));
        if ((double)weight[k] < -REACH * PF_RASTER_ONE * length)
            return false;
    }
    return true;
}

/* Give the free texels in a face to it; beside: and those around it. */
static void
claim(int32_t *owner, const struct pf_atlas *a, uint32_t f, bool beside)
{
    const float *corner[3];
    int64_t weight[3];
    struct pf_raster r;
    for (int k = 0; k < 3; k++)
        corner[k] = a->at + 2 * (int64_t)a->face[3 * (int64_t)f + k];
    pf_raster_begin(&r, corner, beside);
    for (int y = r.y0; y < r.y1; y++)
        for (int x = r.x0; x < r.x1; x++) {
            int32_t *const to = &owner[(int64_t)y * a->size + x];
            if (*to < 0 && (pf_raster_covers(weight, &r, x, y) ||
                            (beside && is_beside(&r, weight))))
                *to = (int32_t)f;
        }
}

/* The face of each texel, [size, size], owned by the caller; -1: none.  Charts' gutters are apart,
 * so they can be drawn at once. */
static pf_err
find_owners(int32_t **owner, const struct pf_atlas *a, int64_t faces)
{
    const size_t texels = (size_t)a->size * (size_t)a->size;
    uint32_t *face = NULL;
    int64_t *first = NULL;
    *owner = malloc(texels * sizeof **owner);
    pf_err err = sort_faces(&face, &first, a, faces);
    if (!err && !*owner)
        err = pf_fail(PF_ENOMEM, "no memory for a texture of %d texels a side", a->size);
    if (!err) {
#pragma omp parallel for
        for (size_t i = 0; i < texels; i++)
            (*owner)[i] = -1;
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < a->charts; i++)
            for (int beside = 0; beside < 2; beside++)
                for (int64_t k = first[i]; k < first[i + 1]; k++)
                    claim(*owner, a, face[k], beside);
    }
    free(face);
    free(first);
    return err;
}

/* ---- what is there ---- */

/* Weights of the face's corners at the middle of a texel, or the nearest to it in the face, about.
 */
static void
weigh(float weight[3], const struct pf_atlas *a, int64_t f, int64_t texel)
{
    const float x = (float)(texel % a->size) + 0.5f, y = (float)(texel / a->size) + 0.5f;
    const float *p[3];
    float sum = 0;
    for (int k = 0; k < 3; k++)
        p[k] = a->at + 2 * (int64_t)a->face[3 * f + k];
    for (int k = 0; k < 3; k++) {
        const float *const b = p[(k + 1) % 3], *const c = p[(k + 2) % 3];
        const float area = (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) -
                           (p[1][1] - p[0][1]) * (p[2][0] - p[0][0]);
        weight[k] = ((c[0] - b[0]) * (y - b[1]) - (c[1] - b[1]) * (x - b[0])) / area;
        weight[k] = fminf(fmaxf(weight[k], 0), 1);      // not a number without area: 0
        sum += weight[k];
    }
    for (int k = 0; k < 3; k++)
        weight[k] = sum > 0 ? weight[k] / sum : 1 / 3.0f;
}

struct texels {                 /* those that faces own, [n] */
    int64_t n;
    int64_t *at;                /* places in the picture */
    float *point, *normal;      /* [n, 3] of the mesh */
    float *rgb;                 /* [n, 3] */
    float *gradient;            /* [n, 3] of the field */
};

/* Number the owned texels, row by row; row [size + 1] is scratch. */
static void
count_rows(int64_t *row, const int32_t *owner, int size)
{
    row[0] = 0;
#pragma omp parallel for
    for (int y = 0; y < size; y++) {
        int64_t n = 0;
        for (int x = 0; x < size; x++)
            n += owner[(int64_t)y * size + x] >= 0;
        row[y + 1] = n;
    }
    for (int y = 0; y < size; y++)
        row[y + 1] += row[y];
}

static pf_err
take(struct texels *t, const int32_t *owner, int size)
{
    int64_t *const row = malloc(((size_t)size + 1) * sizeof *row);
    if (!row)
        return pf_fail(PF_ENOMEM, "no memory for a texture of %d texels a side", size);
    count_rows(row, owner, size);
    t->n = row[size];
    const size_t n = (size_t)t->n + 1;
    t->at = malloc(n * sizeof *t->at);
    t->point = malloc(3 * n * sizeof *t->point);
    t->normal = malloc(3 * n * sizeof *t->normal);
    t->rgb = malloc(3 * n * sizeof *t->rgb);
    t->gradient = malloc(3 * n * sizeof *t->gradient);
    const bool enough = t->at && t->point && t->normal && t->rgb && t->gradient;
#pragma omp parallel for
    for (int y = 0; y < size; y++)
        for (int64_t i = (int64_t)y * size, to = row[y]; enough && i < (y + 1) * (int64_t)size; i++)
            if (owner[i] >= 0)
                t->at[to++] = i;
    free(row);
    return enough ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %lld texels", (long long)t->n);
}

static void
drop(struct texels *t)
{
    free(t->at);
    free(t->point);
    free(t->normal);
    free(t->rgb);
    free(t->gradient);
}

static void
place(struct texels *t, const struct pf_mesh *mesh, const struct pf_atlas *a,
      const int32_t *owner)
{
#pragma omp parallel for
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t f = owner[t->at[i]];
        float weight[3], *const p = t->point + 3 * i, *const n = t->normal + 3 * i;
        weigh(weight, a, f, t->at[i]);
        for (int k = 0; k < 3; k++) {
            p[k] = n[k] = 0;
            for (int c = 0; c < 3; c++) {
                const int64_t v = 3 * (int64_t)mesh->face[3 * f + c] + k;
                p[k] += weight[c] * mesh->vertex[v];
                n[k] += weight[c] * mesh->normal[v];
            }
        }
        const float length = sqrtf(dot(n, n));
        for (int k = 0; k < 3; k++)             // opposite normals: any of them
            n[k] = length > 0 ? n[k] / length : mesh->normal[3 * (int64_t)mesh->face[3 * f] + k];
    }
}

/* Colours and gradients of the field at n points [n, 3], n at most BATCH.  Those that lie further
 * from its surface than a texel is wide, where the mesh is coarse, are looked at again where that
 * is.  scratch [BATCH, 10]. */
static pf_err
look(float *rgb, float *gradient, pf_field *field, const float *point, int64_t n, float texel,
     float *scratch)
{
    float *const sdf = scratch, *const moved = sdf + BATCH, *const rgb_there = moved + 3 * BATCH,
          *const gradient_there = rgb_there + 3 * BATCH;
    int64_t far = 0;
    PF_TRY(pf_field_eval(field, sdf, gradient, rgb, point, NULL, n));
    for (int64_t i = 0; i < n; i++) {
        const float *const g = gradient + 3 * i;
        const float step = sdf[i] / dot(g, g);
        if (!(fabsf(sdf[i]) > texel) || !isfinite(step)) {
            sdf[i] = 0;                         // stays
            continue;
        }
        for (int k = 0; k < 3; k++)
            moved[3 * far + k] = point[3 * i + k] - step * g[k];
        far++;
    }
    if (far)
        PF_TRY(pf_field_eval(field, NULL, gradient_there, rgb_there, moved, NULL, far));
    for (int64_t i = n; far > 0 && i-- > 0;)
        if (sdf[i] != 0) {
            far--;
            memcpy(gradient + 3 * i, gradient_there + 3 * far, 3 * sizeof *gradient);
            memcpy(rgb + 3 * i, rgb_there + 3 * far, 3 * sizeof *rgb);
        }
    return PF_OK;
}

static pf_err
look_at_all(struct texels *t, pf_field *field, float texel)
{
    float *const scratch = malloc(10 * (size_t)BATCH * sizeof *scratch);
    pf_err err = scratch ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %d texels", BATCH);
    for (int64_t i = 0; !err && i < t->n; i += BATCH)
        err = look(t->rgb + 3 * i, t->gradient + 3 * i, field, t->point + 3 * i,
                   t->n - i < BATCH ? t->n - i : BATCH, texel, scratch);
    free(scratch);
    return err;
}

/* ---- pictures ---- */

static uint8_t
to_byte(float v)
{
    return (uint8_t)lrintf(255 * fminf(fmaxf(v, 0), 1));
}

void
pf_texture_tangent(float tangent[3], const float normal[3], const float right[3])
{
    const float along = dot(right, normal);
    for (int k = 0; k < 3; k++)
        tangent[k] = right[k] - along * normal[k];
    const float length = sqrtf(dot(tangent, tangent));
    for (int k = 0; k < 3; k++)                 // a normal that lies along right: any direction
        tangent[k] = length > 1e-6f ? tangent[k] / length : normal[(k + 1) % 3];
}

/* The field's normal in the frame of the mesh's; straight up where the field has none that looks
 * outward. */
static void
put_normal(uint8_t to[3], const float gradient[3], const float normal[3], const float right[3])
{
    float tangent[3], up[3], local[3];
    const float length = sqrtf(dot(gradient, gradient)), out = dot(gradient, normal) / length;
    pf_texture_tangent(tangent, normal, right);
    for (int k = 0; k < 3; k++)
        up[k] = normal[(k + 1) % 3] * tangent[(k + 2) % 3] -
                normal[(k + 2) % 3] * tangent[(k + 1) % 3];
    local[0] = dot(gradient, tangent) / length;
    local[1] = dot(gradient, up) / length;
    local[2] = out;
    for (int k = 0; k < 3; k++)
        to[k] = out > 0 ? to_byte((local[k] + 1) / 2) : to_byte(k < 2 ? 0.5f : 1);
}

static pf_err
paint(struct pf_texture *x, struct texels *t, const struct pf_mesh *mesh, const int32_t *owner,
      pf_field *field, const pf_blend *blend)
{
    const struct pf_atlas *const a = &x->atlas;
    place(t, mesh, a, owner);
    PF_TRY(look_at_all(t, field, (float)(1 / a->scale)));
    if (blend)
        PF_TRY(pf_blend_colors(blend, t->rgb, t->point, t->normal, t->n));
#pragma omp parallel for
    for (int64_t i = 0; i < t->n; i++) {
        for (int k = 0; k < 3; k++)
            x->color.pixel[3 * t->at[i] + k] = to_byte(t->rgb[3 * i + k]);
        if (x->normal.pixel)
            put_normal(x->normal.pixel + 3 * t->at[i], t->gradient + 3 * i, t->normal + 3 * i,
                       a->right[a->chart[owner[t->at[i]]]]);
    }
    return PF_OK;
}

/* ---- gutters ---- */

/* round [size, size]: the round in which a texel got its colour, 0xff: it has none.  Give the mean
 * of those around it to each texel beside one of an earlier round. */
static void
widen(pf_image *image, uint8_t *done, int round)
{
    const int n = image->width;
#pragma omp parallel for schedule(dynamic, 16)
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            const int64_t at = (int64_t)y * n + x;
            int sum[3] = {0}, count = 0;
            if (done[at] <= round)
                continue;
            for (int j = y > 0 ? y - 1 : 0; j <= y + 1 && j < n; j++)
                for (int i = x > 0 ? x - 1 : 0; i <= x + 1 && i < n; i++) {
                    const int64_t from = (int64_t)j * n + i;
                    if (done[from] >= round)
                        continue;
                    for (int k = 0; k < 3; k++)
                        sum[k] += image->pixel[3 * from + k];
                    count++;
                }
            for (int k = 0; k < 3 && count; k++)
                image->pixel[3 * at + k] = (uint8_t)((sum[k] + count / 2) / count);
            if (count)
                done[at] = (uint8_t)round;
        }
}

/* Widen the charts by their gutters and give what is left their mean, so that coarser copies of
 * the picture have no seams. */
static pf_err
fill(pf_image *image, const int32_t *owner, int gutter)
{
    const int64_t texels = (int64_t)image->width * image->height;
    uint8_t *const done = malloc((size_t)texels);
    int64_t sum[3] = {0}, count = 0;
    if (!done)
        return pf_fail(PF_ENOMEM, "no memory for a texture of %d texels a side", image->width);
#pragma omp parallel for reduction(+ : sum[:3], count)
    for (int64_t i = 0; i < texels; i++) {
        done[i] = owner[i] >= 0 ? 0 : 0xff;
        for (int k = 0; k < 3 && done[i] == 0; k++)
            sum[k] += image->pixel[3 * i + k];
        count += done[i] == 0;
    }
    for (int round = 1; round <= gutter; round++)
        widen(image, done, round);
#pragma omp parallel for
    for (int64_t i = 0; i < texels; i++)
        for (int k = 0; k < 3 && done[i] == 0xff && count; k++)
            image->pixel[3 * i + k] = (uint8_t)(sum[k] / count);
    free(done);
    return PF_OK;
}

/* ---- the whole ---- */

static pf_err
make(struct pf_texture *x, int32_t **owner, struct texels *t, const struct pf_mesh *mesh,
     pf_field *field, const pf_blend *blend, bool normals)
{
    const int size = x->atlas.size, gutter = x->atlas.gutter;
    PF_TRY(pf_image_new(&x->color, size, size, 3));
    if (normals)
        PF_TRY(pf_image_new(&x->normal, size, size, 3));
    PF_TRY(find_owners(owner, &x->atlas, mesh->faces));
    PF_TRY(take(t, *owner, size));
    PF_TRY(paint(x, t, mesh, *owner, field, blend));
    PF_TRY(fill(&x->color, *owner, gutter));
    return normals ? fill(&x->normal, *owner, gutter) : PF_OK;
}

pf_err
pf_texture_make(struct pf_texture *texture, const struct pf_mesh *mesh, int size, pf_field *field,
                const pf_blend *blend, bool normals)
{
    struct texels t = {0};
    int32_t *owner = NULL;
    *texture = (struct pf_texture){0};
    const double start = pf_seconds();
    PF_TRY(pf_atlas_make(&texture->atlas, mesh, size));
    const double laid_out = pf_seconds();
    const pf_err err = make(texture, &owner, &t, mesh, field, blend, normals);
    pf_stage_time("atlas", laid_out - start);
    pf_stage_time("texels", pf_seconds() - laid_out);
    drop(&t);
    free(owner);
    if (err)
        pf_texture_release(texture);
    return err;
}

void
pf_texture_release(struct pf_texture *texture)
{
    pf_atlas_release(&texture->atlas);
    pf_image_release(&texture->color);
    pf_image_release(&texture->normal);
}
