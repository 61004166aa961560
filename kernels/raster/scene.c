/* scene.c - see scene.h: what the child made of a file is checked, and put into the cube. */
#include "kernels/raster/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/camera.h"
#include "common/image.h"
#include "common/stream.h"
#include "common/text.h"
#include "kernels/raster/color.h"
#include "kernels/raster/import.h"

void
pf_scene_release(pf_scene *s)
{
    free(s->position);
    free(s->normal);
    free(s->uv);
    free(s->color);
    free(s->index);
    free(s->material_of);
    free(s->material);
    free(s->texture);
    free(s->texel);
    *s = (pf_scene){0};
}

/* ---- checks ---- */

static pf_err
expect_finite(const float *v, int64_t n, int width, const char *what)
{
    for (int64_t i = 0; i < n * width; i++)
        if (!(fabsf(v[i]) <= PF_SCENE_LARGEST))
            return pf_fail(PF_EFORMAT, "%s of vertex %lld is %g, expected -%g to %g", what,
                           (long long)(i / width), (double)v[i], (double)PF_SCENE_LARGEST,
                           (double)PF_SCENE_LARGEST);
    return PF_OK;
}

static pf_err
expect_below(const uint32_t *v, int64_t n, int64_t limit, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (v[i] >= limit)
            return pf_fail(PF_EFORMAT, "a triangle has %s %u of %lld", what, v[i],
                           (long long)limit);
    return PF_OK;
}

/* A number of an imported row that must be a whole one from lo to hi. */
static pf_err
whole(int32_t *to, float v, int lo, int64_t hi)
{
    if (!(v >= (float)lo && v <= (float)hi) || v != floorf(v))
        return pf_fail(PF_EFORMAT, "a material holds %g, expected a whole number from %d to %lld",
                       (double)v, lo, (long long)hi);
    *to = (int32_t)v;
    return PF_OK;
}

static pf_err
take_material(struct pf_material *m, const float *row, bool linear, int64_t textures)
{
    for (int k = 0; k < 4; k++) {
        if (!isfinite(row[k]))
            return pf_fail(PF_EFORMAT, "a material's colour is not finite");
        m->color[k] = fminf(fmaxf(row[k], 0), 1);
        if (!linear && k < 3)
            m->color[k] = pf_srgb_to_linear(m->color[k]);
    }
    m->cutoff = isfinite(row[PF_IMPORT_CUTOFF]) ? row[PF_IMPORT_CUTOFF] : 0.5f;
    PF_TRY(whole(&m->texture, row[PF_IMPORT_TEXTURE], -1, textures - 1));
    PF_TRY(whole(&m->wrap[0], row[PF_IMPORT_WRAP], 0, PF_WRAP_MIRROR));
    PF_TRY(whole(&m->wrap[1], row[PF_IMPORT_WRAP + 1], 0, PF_WRAP_MIRROR));
    return whole(&m->two_sided, row[PF_IMPORT_TWO_SIDED], 0, 1);
}

/* Normals of length 1; one that is none is 0, and the triangle's is taken. */
static void
settle_normals(float *normal, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float *const v = normal + 3 * i;
        const double length = sqrt((double)v[0] * v[0] + (double)v[1] * v[1] + (double)v[2] * v[2]);
        const bool good = length > 0 && isfinite(length);
        for (int k = 0; k < 3; k++)
            v[k] = good ? (float)(v[k] / length) : 0;
    }
}

static void
settle_colors(float *color, int64_t n, bool linear)
{
    for (int64_t i = 0; i < 4 * n; i++) {
        const float v = color[i] >= 0 ? fminf(color[i], 1) : 0;         // NaN becomes 0
        color[i] = linear || i % 4 == 3 ? v : pf_srgb_to_linear(v);
    }
}

/* ---- from the document ---- */

static pf_err
copy(void *to, const pf_tensor *t)
{
    void *const own = malloc(pf_tensor_bytes(t) + 1);
    if (!own)
        return pf_fail(PF_ENOMEM, "no memory for the mesh");
    memcpy(own, t->data, pf_tensor_bytes(t));
    memcpy(to, &own, sizeof own);
    return PF_OK;
}

static pf_err
take_geometry(pf_scene *s, const pf_doc *doc, bool linear)
{
    pf_tensor position, normal, uv, color, index, material_of;
    PF_TRY(pf_doc_need(doc, "position", PF_F32, 2, (int64_t[]){-1, 3}, &position));
    const int64_t V = position.dim[0];
    PF_TRY(pf_doc_need(doc, "normal", PF_F32, 2, (int64_t[]){V, 3}, &normal));
    PF_TRY(pf_doc_need(doc, "uv", PF_F32, 2, (int64_t[]){V, 2}, &uv));
    PF_TRY(pf_doc_need(doc, "color", PF_F32, 2, (int64_t[]){V, 4}, &color));
    PF_TRY(pf_doc_need(doc, "index", PF_U32, 2, (int64_t[]){-1, 3}, &index));
    const int64_t T = index.dim[0];
    PF_TRY(pf_doc_need(doc, "material_of", PF_U32, 1, (int64_t[]){T}, &material_of));
    if (V > INT32_MAX || T > INT32_MAX)
        return pf_fail(PF_EFORMAT, "it holds more than 2^31 vertices or triangles");
    PF_TRY(expect_finite(position.data, V, 3, "the place"));
    PF_TRY(expect_finite(uv.data, V, 2, "the texture coordinate"));
    PF_TRY(expect_below(index.data, 3 * T, V, "vertex"));
    PF_TRY(copy(&s->position, &position));
    PF_TRY(copy(&s->normal, &normal));
    PF_TRY(copy(&s->uv, &uv));
    PF_TRY(copy(&s->color, &color));
    PF_TRY(copy(&s->index, &index));
    PF_TRY(copy(&s->material_of, &material_of));
    s->vertices = V;
    s->triangles = T;
    settle_normals(s->normal, V);
    settle_colors(s->color, V, linear);
    return PF_OK;
}

static int64_t
textures_of(const pf_doc *doc)
{
    char key[32];
    int64_t n = 0;
    do
        snprintf(key, sizeof key, "texture.%lld", (long long)n);
    while ((pf_doc_get(doc, key) || pf_doc_get_meta(doc, key)) && ++n);
    return n;
}

/* The triangles of what is not drawn go. */
static pf_err
drop_glass(pf_scene *s, const float *rows)
{
    int64_t kept = 0;
    for (int64_t t = 0; t < s->triangles; t++) {
        if (rows[PF_IMPORT_MATERIAL * (int64_t)s->material_of[t] + PF_IMPORT_GLASS] == 1)
            continue;
        memmove(s->index + 3 * kept, s->index + 3 * t, 3 * sizeof *s->index);
        s->material_of[kept++] = s->material_of[t];
    }
    s->triangles = kept;
    return kept ? PF_OK : pf_fail(PF_EFORMAT, "it holds no triangle that is not glass");
}

static pf_err
take_materials(pf_scene *s, const pf_doc *doc, bool linear)
{
    pf_tensor rows;
    PF_TRY(pf_doc_need(doc, "material", PF_F32, 2, (int64_t[]){-1, PF_IMPORT_MATERIAL}, &rows));
    s->materials = rows.dim[0];
    s->textures = textures_of(doc);
    PF_TRY(expect_below(s->material_of, s->triangles, s->materials, "material"));
    s->material = calloc((size_t)s->materials + 1, sizeof *s->material);
    s->texture = calloc((size_t)s->textures + 1, sizeof *s->texture);
    if (!s->material || !s->texture)
        return pf_fail(PF_ENOMEM, "no memory for its materials");
    for (int64_t i = 0; i < s->materials; i++)
        PF_TRY(take_material(&s->material[i], (const float *)rows.data + PF_IMPORT_MATERIAL * i,
                             linear, s->textures));
    return drop_glass(s, rows.data);
}

/* Only the textures of materials that are drawn are read. */
static pf_err
take_textures(pf_scene *s, const pf_doc *doc, const char *path, int side)
{
    int64_t texels = 0;
    bool *const used = calloc((size_t)s->textures + 1, sizeof *used);
    pf_err err = used ? PF_OK : pf_fail(PF_ENOMEM, "no memory for its textures");
    for (int64_t t = 0; t < s->triangles && used; t++)
        if (s->material[s->material_of[t]].texture >= 0)
            used[s->material[s->material_of[t]].texture] = true;
    for (int64_t i = 0; i < s->textures && !err; i++) {
        pf_image image = {0};
        if (!used[i] || (err = pf_scene_texture(&image, doc, (int)i, path, side)))
            continue;
        const int64_t n = (int64_t)image.width * image.height;
        uint8_t *const more = texels + n > PF_IMAGE_MAX_PIXELS
                                  ? NULL
                                  : realloc(s->texel, 4 * (size_t)(texels + n));
        if (more) {
            memcpy(more + 4 * texels, image.pixel, 4 * (size_t)n);
            s->texel = more;
            s->texture[i] = (struct pf_texture){image.width, image.height, texels};
            texels += n;
        } else {
            err = pf_fail(PF_ENOMEM, "no memory for its textures, expected at most %d texels",
                          PF_IMAGE_MAX_PIXELS);
        }
        pf_image_release(&image);
    }
    free(used);
    return err;
}

static bool
has_holes(const uint8_t *rgba, int64_t n)
{
    int64_t i = 0;
    while (i < n && rgba[4 * i + 3] == 255)
        i++;
    return i < n;
}

/* Where nothing can be less than there at all, alpha is not asked for. */
static void
settle_cutoffs(pf_scene *s)
{
    bool solid = true;
    for (int64_t i = 0; i < s->vertices && solid; i++)
        solid = s->color[4 * i + 3] >= 1;
    for (int64_t i = 0; i < s->materials; i++) {
        struct pf_material *const m = &s->material[i];
        const struct pf_texture *const t = m->texture < 0 ? NULL : &s->texture[m->texture];
        if (solid && m->color[3] >= 1 &&
            !(t && has_holes(s->texel + 4 * t->first, (int64_t)t->width * t->height)))
            m->cutoff = 0;
    }
}

static pf_err
take(pf_scene *s, const pf_doc *doc, const char *path, int side)
{
    const char *const colors = pf_doc_get_meta(doc, "colors"), *const up = pf_doc_get_meta(doc,
                                                                                          "up");
    const bool linear = colors && strcmp(colors, "linear") == 0;
    s->up = up && strcmp(up, "z") == 0 ? PF_UP_Z : PF_UP_Y;
    PF_TRY(take_geometry(s, doc, linear));
    PF_TRY(take_materials(s, doc, linear));
    PF_TRY(take_textures(s, doc, path, side));
    settle_cutoffs(s);
    return PF_OK;
}

pf_err
pf_scene_take(pf_scene *s, const pf_doc *doc, const char *path, int side)
{
    const char *const refused = pf_doc_get_meta(doc, "refused");
    const char *const error = pf_doc_get_meta(doc, "error");
    *s = (pf_scene){0};
    if (refused)
        return pf_fail(PF_EFORMAT, "%s", refused);
    pf_err err = error ? pf_fail(PF_EFORMAT, "%s", error) : take(s, doc, path, side);
    if (!err)
        return PF_OK;
    pf_scene_release(s);
    return strncmp(pf_error(), path, strlen(path)) ? pf_fail_in(err, "%s", path) : err;
}

static pf_err
read_import(pf_doc *doc, const char *path)
{
    uint8_t *bytes;
    size_t size;
    pf_stream *in = NULL;
    pf_err err = pf_scene_import(&bytes, &size, path);
    if (!err && !(err = pf_stream_open_memory(&in, bytes, size)))
        err = pf_stream_read(in, doc);
    pf_stream_close(in);
    free(bytes);
    return err;
}

pf_err
pf_scene_read(pf_scene *s, const char *path, int side)
{
    pf_doc doc = {0};
    *s = (pf_scene){0};
    pf_err err = strcasecmp(pf_name_ending(path), "ply") ? read_import(&doc, path)
                                                         : pf_scene_ply(&doc, path);
    if (!err && !(err = pf_scene_take(s, &doc, path, side)) && pf_doc_get_meta(&doc, "missing"))
        pf_warn("%s: there is no %s, which it names", path, pf_doc_get_meta(&doc, "missing"));
    pf_doc_release(&doc);
    return err;
}

/* ---- into the cube ---- */

/* The box around what the triangles use, of turned points. */
static void
box(double low[3], double high[3], const pf_scene *s, const double turn[9])
{
    for (int k = 0; k < 3; k++) {
        low[k] = INFINITY;
        high[k] = -INFINITY;
    }
    for (int64_t i = 0; i < 3 * s->triangles; i++) {
        const float *const p = s->position + 3 * (int64_t)s->index[i];
        for (int k = 0; k < 3; k++) {
            const double v = turn[3 * k] * p[0] + turn[3 * k + 1] * p[1] + turn[3 * k + 2] * p[2];
            low[k] = fmin(low[k], v);
            high[k] = fmax(high[k], v);
        }
    }
}

/* The largest distance of a used point from the middle of the box. */
static double
radius(const pf_scene *s, const double turn[9], const double center[3])
{
    double most = 0;
    for (int64_t i = 0; i < 3 * s->triangles; i++) {
        const float *const p = s->position + 3 * (int64_t)s->index[i];
        double square = 0;
        for (int k = 0; k < 3; k++) {
            const double v = turn[3 * k] * p[0] + turn[3 * k + 1] * p[1] + turn[3 * k + 2] * p[2];
            square += (v - center[k]) * (v - center[k]);
        }
        most = fmax(most, square);
    }
    return sqrt(most);
}

/* Half a picture of the rig spans 128 / 280 (cameras.md, 1); a ball in it touches the rays at its
 * edge, 8 pixels of 256 further in. */
static double
fitting(double scale, double radius)
{
    const double half = 120.0 / 280, ball = PF_RIG_DISTANCE * half / sqrt(1 + half * half);
    return fmin(scale, ball / radius);
}

void
pf_scene_place(pf_scene *s, const struct pf_scene_place *place, struct pf_world *world)
{
    // glTF's and Blender's y is up and z to the front: a third of a turn about the diagonal.
    static const double upright[9] = {0, 0, 1, 1, 0, 0, 0, 1, 0}, same[9] = {1, 0, 0, 0, 1, 0,
                                                                            0, 0, 1};
    const double *const turn = place->up == PF_UP_Y ? upright : same;
    const double c = cos(place->yaw), d = sin(place->yaw);
    double low[3], high[3], longest = 0;
    *world = place->keep && place->within ? *place->within : (struct pf_world){.scale = 1};
    box(low, high, s, turn);
    for (int k = 0; k < 3 && !place->keep; k++) {
        world->center[k] = 0.5 * (low[k] + high[k]);
        longest = fmax(longest, high[k] - low[k]);
    }
    if (longest > 0)
        world->scale = place->scale / longest;
    if (longest > 0 && place->fit)
        world->scale = fitting(world->scale, radius(s, turn, world->center));
    for (int64_t i = 0; i < s->vertices; i++) {
        float *const p = s->position + 3 * i, *const n = s->normal + 3 * i;
        double q[3], m[3];
        for (int k = 0; k < 3; k++) {
            const double *const row = turn + 3 * k;
            q[k] = world->scale * (row[0] * p[0] + row[1] * p[1] + row[2] * p[2] -
                                   world->center[k]);
            m[k] = row[0] * n[0] + row[1] * n[1] + row[2] * n[2];
        }
        const double at[3] = {c * q[0] - d * q[1], d * q[0] + c * q[1], q[2]};
        const double to[3] = {c * m[0] - d * m[1], d * m[0] + c * m[1], m[2]};
        for (int k = 0; k < 3; k++) {
            p[k] = (float)at[k];
            n[k] = (float)to[k];
        }
    }
}
