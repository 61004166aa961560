/* raster.c - a view on the CPU, in bands of rows: a thread draws a band by itself, so nothing
 * depends on their number (raster.md, 3). */
#include <stdlib.h>
#include <string.h>

#include "kernels/raster/raster_priv.h"

enum { BAND = 8 };              /* rows of pixels */

enum pf_light
pf_light_find(const char *name)
{
    return strcmp(name, "flat") == 0     ? PF_LIGHT_FLAT
           : strcmp(name, "studio") == 0 ? PF_LIGHT_STUDIO
                                         : PF_LIGHT_SOFT;
}

void
pf_raster_aim(struct pf_raster_camera *c, const double pose[12], const double K[9])
{
    for (int i = 0; i < 12; i++) {
        const double *const row = K + i / 4 * 3;
        c->P[i] = row[0] * pose[i % 4] + row[1] * pose[4 + i % 4] + row[2] * pose[8 + i % 4];
    }
}

static pf_err
open_cpu(pf_raster *r, const pf_scene *s)
{
    r->position = s->position;
    r->normal = s->normal;
    r->uv = s->uv;
    r->color = s->color;
    r->index = s->index;
    r->material_of = s->material_of;
    r->material = s->material;
    r->texture = s->texture;
    r->texel = s->texel;
    r->srgb = &r->own_srgb;
    r->vertex = pf_memory_new(sizeof *r->vertex * (size_t)s->vertices + 1);
    r->box = pf_memory_new(sizeof *r->box * (size_t)s->triangles + 1);
    return r->vertex && r->box ? PF_OK
                               : pf_fail(PF_ENOMEM, "no memory for a view of the mesh");
}

static void
close_cpu(pf_raster *r)
{
    free(r->vertex);
    free(r->box);
}

/* ---- one band ---- */

struct grid {                   /* samples of a band, row after row */
    uint64_t *key;              /* [BAND per_pixel, width] */
    int per_pixel;              /* along a side of a pixel */
    int width, first, last;     /* columns; rows of the picture that it holds, ends included */
};

static void
draw(const struct grid *g, const struct pf_raster *r, const struct pf_raster_edges *t,
     const float bounds[4], uint32_t triangle, float cutoff)
{
    const float per = (float)g->per_pixel, shift = 0.5f * per - 0.5f;
    const double step = 1.0 / g->per_pixel;
    int x0, x1, y0, y1;
    // Sample a is at u = (a + 0.5) / per - 0.5, so a = per u + shift.
    if (!pf_raster_range(&x0, &x1, bounds[0] * per + shift, bounds[1] * per + shift, g->width) ||
        !pf_raster_range(&y0, &y1, bounds[2] * per + shift, bounds[3] * per + shift, g->last + 1))
        return;
    for (int y = y0 > g->first ? y0 : g->first; y <= y1; y++) {
        const double v = pf_raster_sample(y, step);
        uint64_t *const row = g->key + (size_t)(y - g->first) * g->width;
        for (int x = x0; x <= x1; x++) {
            const uint64_t key = pf_raster_hit(r, t, triangle, cutoff,
                                               pf_raster_sample(x, step), v);
            row[x] = key < row[x] ? key : row[x];
        }
    }
}

struct band {
    struct grid fine, middle;
    int y0, y1;                 /* rows of pixels, ends included */
};

static void
draw_triangles(const struct band *b, const struct pf_raster *r)
{
    for (int64_t i = 0; i < r->triangles; i++) {
        const struct pf_raster_box box = r->box[i];
        struct pf_raster_vertex p[3];
        struct pf_raster_edges t;
        float bounds[4], cutoff;
        if (box.y0 > b->y1 || box.y1 < b->y0 || box.x0 > box.x1)
            continue;
        pf_raster_corners(p, r, i);
        if (!pf_raster_edges_of(&t, p) || !pf_raster_drawn(&cutoff, r, &t, (uint32_t)i) ||
            !pf_raster_bounds(bounds, p))
            continue;
        draw(&b->fine, r, &t, bounds, (uint32_t)i, cutoff);
        draw(&b->middle, r, &t, bounds, (uint32_t)i, cutoff);
    }
}

/* The edges of the triangle that a key names: neighbours mostly see the same. */
static void
look_up(struct pf_raster_edges *t, uint32_t *known, const struct pf_raster *r, uint64_t key)
{
    struct pf_raster_vertex p[3];
    if (*known == (uint32_t)key)
        return;
    *known = (uint32_t)key;
    pf_raster_corners(p, r, *known);
    pf_raster_edges_of(t, p);
}

struct memory {                 /* of the edges looked up last */
    struct pf_raster_edges t;
    uint32_t known;
};

/* Sums go sample by sample in a row of them, then row by row: raster.cu adds so too. */
static void
paint(const struct pf_raster_view *to, const struct band *b, const struct pf_raster *r,
      struct memory *m, enum pf_light light, int x, int y)
{
    const struct grid *const g = &b->fine;
    float all[3] = {0};
    int n = 0;
    for (int j = 0; j < PF_RASTER_SS; j++) {
        const int row = PF_RASTER_SS * y + j;
        float sum[3] = {0}, rgb[3];
        for (int i = 0; i < PF_RASTER_SS; i++) {
            const int column = PF_RASTER_SS * x + i;
            const uint64_t key = g->key[(size_t)(row - g->first) * g->width + column];
            if (key == PF_RASTER_EMPTY)
                continue;
            look_up(&m->t, &m->known, r, key);
            pf_raster_shade(rgb, r, &m->t, m->known, light,
                            pf_raster_sample(column, PF_RASTER_STEP),
                            pf_raster_sample(row, PF_RASTER_STEP));
            for (int k = 0; k < 3; k++)
                sum[k] += rgb[k];
            n++;
        }
        for (int k = 0; k < 3; k++)
            all[k] += sum[k];
    }
    const size_t at = (size_t)y * to->width + x;
    pf_raster_pixel(to->image + 3 * at, to->alpha + at, r, all, n);
}

static void
probe(const struct pf_raster_view *to, const struct band *b, const struct pf_raster *r,
      struct memory *m, int x, int y)
{
    const uint64_t key = b->middle.key[(size_t)(y - b->y0) * to->width + x];
    const size_t at = (size_t)y * to->width + x;
    double value[3];
    float weight[3], n[3] = {0, 0, 0};
    if (to->depth)
        to->depth[at] = key == PF_RASTER_EMPTY ? 0 : pf_raster_depth(key);
    if (!to->normal)
        return;
    if (key != PF_RASTER_EMPTY) {
        look_up(&m->t, &m->known, r, key);
        pf_raster_covers(value, &m->t, x, y);
        pf_raster_weights(weight, value);
        pf_raster_normal(n, r, m->known, weight, m->t.front);
    }
    memcpy(to->normal + 3 * at, n, sizeof n);
}

static void
draw_band(const struct pf_raster_view *to, const struct pf_raster *r, enum pf_light light,
          int number, uint64_t *key)
{
    const int y0 = BAND * number, y1 = y0 + BAND < to->height ? y0 + BAND - 1 : to->height - 1;
    const int rows = y1 - y0 + 1, ss = PF_RASTER_SS;
    const size_t fine = (size_t)ss * ss * rows * to->width, middle = (size_t)rows * to->width;
    const struct band b = {
        .fine = {key, ss, ss * to->width, ss * y0, ss * (y1 + 1) - 1},
        .middle = {key + fine, 1, to->width, y0, y1},
        .y0 = y0,
        .y1 = y1,
    };
    struct memory m = {.known = UINT32_MAX};
    memset(key, 0xff, (fine + middle) * sizeof *key);
    draw_triangles(&b, r);
    for (int y = y0; y <= y1; y++)
        for (int x = 0; x < to->width; x++) {
            paint(to, &b, r, &m, light, x, y);
            probe(to, &b, r, &m, x, y);
        }
}

/* ---- a view ---- */

static pf_err
view_cpu(pf_raster *r, const struct pf_raster_view *to, const struct pf_raster_camera *camera,
         enum pf_light light)
{
    const int bands = (to->height + BAND - 1) / BAND;
    const size_t keys = (size_t)BAND * to->width * (PF_RASTER_SS * PF_RASTER_SS + 1);
    bool failed = false;
#pragma omp parallel
    {
        uint64_t *const key = malloc(keys * sizeof *key);
#pragma omp atomic
        failed |= !key;
#pragma omp for
        for (int64_t i = 0; i < r->vertices; i++)
            r->vertex[i] = pf_raster_project(camera, r->position + 3 * i);
#pragma omp for
        for (int64_t i = 0; i < r->triangles; i++) {
            struct pf_raster_vertex p[3];
            pf_raster_corners(p, r, i);
            r->box[i] = pf_raster_box_of(p, to->width, to->height);
        }
#pragma omp for schedule(dynamic)
        for (int b = 0; b < bands; b++)
            if (key)
                draw_band(to, r, light, b, key);
        free(key);
    }
    return failed ? pf_fail(PF_ENOMEM, "no memory for the samples of a view") : PF_OK;
}

/* ---- on either device ---- */

pf_err
pf_raster_open(pf_raster **out, pf_dev *dev, const pf_scene *scene)
{
    pf_raster *const r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return pf_fail(PF_ENOMEM, "no memory for a view of the mesh");
    r->dev = dev;
    r->vertices = scene->vertices;
    r->triangles = scene->triangles;
    pf_srgb_fill(&r->own_srgb);
    const pf_err err = PF_CUDA && pf_dev_is_cuda(dev) ? pf_raster_open_cuda(r, scene)
                                                      : open_cpu(r, scene);
    if (err)
        pf_raster_close(r);
    else
        *out = r;
    return err;
}

pf_err
pf_raster_view(pf_raster *r, const struct pf_raster_view *view,
               const struct pf_raster_camera *camera, enum pf_light light)
{
    return PF_CUDA && pf_dev_is_cuda(r->dev) ? pf_raster_view_cuda(r, view, camera, light)
                                             : view_cpu(r, view, camera, light);
}

void
pf_raster_close(pf_raster *r)
{
    if (!r)
        return;
    if (PF_CUDA && pf_dev_is_cuda(r->dev))
        pf_raster_close_cuda(r);
    else
        close_cpu(r);
    free(r);
}
