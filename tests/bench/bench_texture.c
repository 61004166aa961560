/* bench_texture - how near a mesh's colours are to the views that it was made of.
 *
 *     bench_texture VIEWS.pf MESH.glb ...
 *
 * Draws each GLB of pf-extract-mesh from each camera, 4 x 4 samples a pixel, averaged in linear
 * light over white, and prints the PSNR against the views, over all of their pixels: of those that
 * are the object's alone and that the mesh covers, and of all of the object's (alpha 0.5). */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/image.h"
#include "common/opt.h"
#include "common/posed_views.h"
#include "common/stream.h"

enum { FINE = 4 };

struct scene {
    char *bytes;
    int64_t vertices, indices;
    const float *position, *uv;         /* [vertices, 3], [vertices, 2] or NULL */
    const uint16_t *color;              /* [vertices, 4] linear light, or NULL */
    const uint32_t *index;              /* [indices] */
    pf_image texture;
};

static void
die(const char *name, const char *why)
{
    fprintf(stderr, "bench_texture: %s: %s\n", name, why);
    exit(1);
}

static float
linear(float s)
{
    return s <= 0.04045f ? s / 12.92f : powf((s + 0.055f) / 1.055f, 2.4f);
}

static float
encoded(float l)
{
    return l <= 0.0031308f ? 12.92f * l : 1.055f * powf(l, 1 / 2.4f) - 0.055f;
}

/* ---- GLB ---- */

static json_int_t
number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *
part(const struct scene *s, const json_t *root, json_int_t view, int64_t *bytes)
{
    const json_t *const v = json_array_get(json_object_get(root, "bufferViews"), (size_t)view);
    uint32_t header;
    memcpy(&header, s->bytes + 12, 4);
    *bytes = number(v, "byteLength");
    return s->bytes + 20 + header + 8 + number(v, "byteOffset");
}

/* The data of an accessor; NULL if there is none. */
static const void *
accessed(const struct scene *s, const json_t *root, const json_t *number_of, int64_t *count)
{
    int64_t bytes;
    if (!number_of)
        return NULL;
    const json_t *const a = json_array_get(json_object_get(root, "accessors"),
                                           (size_t)json_integer_value(number_of));
    *count = number(a, "count");
    return part(s, root, number(a, "bufferView"), &bytes);
}

static void
load(struct scene *s, const char *name)
{
    FILE *const f = fopen(name, "rb");
    uint32_t header;
    int64_t n;
    if (!f)
        die(name, "cannot be opened");
    fseek(f, 0, SEEK_END);
    const size_t size = (size_t)ftell(f);
    rewind(f);
    s->bytes = malloc(size + 1);
    if (!s->bytes || fread(s->bytes, 1, size, f) != size || size < 20)
        die(name, "cannot be read");
    fclose(f);
    memcpy(&header, s->bytes + 12, 4);
    json_t *const root = json_loadb(s->bytes + 20, header, 0, NULL);
    const json_t *const mesh = json_array_get(json_object_get(root, "meshes"), 0);
    const json_t *const one = json_array_get(json_object_get(mesh, "primitives"), 0);
    const json_t *const has = json_object_get(one, "attributes");
    if (!has)
        die(name, "holds no mesh");
    s->position = accessed(s, root, json_object_get(has, "POSITION"), &s->vertices);
    s->uv = accessed(s, root, json_object_get(has, "TEXCOORD_0"), &n);
    s->color = accessed(s, root, json_object_get(has, "COLOR_0"), &n);
    s->index = accessed(s, root, json_object_get(one, "indices"), &s->indices);
    const json_t *const image = json_array_get(json_object_get(root, "images"), 0);
    if (image) {
        int64_t bytes;
        const char *const png = part(s, root, number(image, "bufferView"), &bytes);
        pf_must(pf_image_read_memory(&s->texture, png, (size_t)bytes, name));
    }
}

/* ---- drawing ---- */

/* The texture at uv, between the middles of texels, in linear light. */
static void
sample(float rgb[3], const pf_image *t, float u, float v)
{
    const float x = fminf(fmaxf(u * (float)t->width - 0.5f, 0), (float)t->width - 1.001f),
                y = fminf(fmaxf(v * (float)t->height - 0.5f, 0), (float)t->height - 1.001f);
    const int i = (int)x, j = (int)y;
    for (int k = 0; k < 3; k++) {
        rgb[k] = 0;
        for (int c = 0; c < 4; c++) {
            const float w = (c & 1 ? x - (float)i : 1 - x + (float)i) *
                            (c >> 1 ? y - (float)j : 1 - y + (float)j);
            rgb[k] += w * linear(t->pixel[3 * ((j + (c >> 1)) * t->width + i + (c & 1)) + k] /
                                 255.0f);
        }
    }
}

struct canvas {
    int width, height;          /* fine */
    float *near, (*rgb)[3];     /* 1 / depth, linear light */
};

static void
draw(struct canvas *c, const struct scene *s, const uint32_t *face, const float (*at)[3])
{
    const float *const a = at[face[0]], *const b = at[face[1]], *const d = at[face[2]];
    const float area = (b[0] - a[0]) * (d[1] - a[1]) - (b[1] - a[1]) * (d[0] - a[0]);
    const int x0 = (int)fmaxf(ceilf(fminf(a[0], fminf(b[0], d[0]))), 0),
              x1 = (int)fminf(fmaxf(a[0], fmaxf(b[0], d[0])), (float)c->width - 1),
              y0 = (int)fmaxf(ceilf(fminf(a[1], fminf(b[1], d[1]))), 0),
              y1 = (int)fminf(fmaxf(a[1], fmaxf(b[1], d[1])), (float)c->height - 1);
    for (int y = y0; y <= y1 && area != 0; y++)
        for (int x = x0; x <= x1; x++) {
            const float px = (float)x, py = (float)y;
            float w[3];
            w[0] = ((d[0] - b[0]) * (py - b[1]) - (d[1] - b[1]) * (px - b[0])) / area;
            w[1] = ((a[0] - d[0]) * (py - d[1]) - (a[1] - d[1]) * (px - d[0])) / area;
            w[2] = 1 - w[0] - w[1];
            const float near = w[0] * a[2] + w[1] * b[2] + w[2] * d[2];
            const int to = y * c->width + x;
            if (w[0] < 0 || w[1] < 0 || w[2] < 0 || near <= c->near[to])
                continue;
            c->near[to] = near;
            float uv[2] = {0}, rgb[3] = {0};
            for (int k = 0; k < 3; k++) {
                const float share = w[k] * at[face[k]][2] / near;       // perspective
                for (int i = 0; i < 2 && s->uv; i++)
                    uv[i] += share * s->uv[2 * (int64_t)face[k] + i];
                for (int i = 0; i < 3 && s->color; i++)
                    rgb[i] += share * s->color[4 * (int64_t)face[k] + i] / 65535.0f;
            }
            if (s->texture.pixel)
                sample(rgb, &s->texture, uv[0], uv[1]);
            memcpy(c->rgb[to], rgb, sizeof rgb);
        }
}

static void
render(struct canvas *c, const struct scene *s, const struct pf_posed_views *v, int n)
{
    const float *const P = v->pose + 12 * n;
    double K[9];
    float(*const at)[3] = malloc((size_t)s->vertices * sizeof *at);
    pf_posed_views_intrinsics(K, v, n);
    for (int i = 0; i < c->width * c->height; i++) {
        c->near[i] = 0;
        for (int k = 0; k < 3; k++)
            c->rgb[i][k] = 1;
    }
    for (int64_t i = 0; i < s->vertices; i++) {
        const float *const p = s->position + 3 * i;
        double x[3];
        for (int k = 0; k < 3; k++)
            x[k] = P[4 * k] * (double)p[0] + P[4 * k + 1] * (double)p[1] +
                   P[4 * k + 2] * (double)p[2] + P[4 * k + 3];
        at[i][0] = (float)(FINE * ((K[0] * x[0] + K[1] * x[1]) / x[2] + K[2] + 0.5) - 0.5);
        at[i][1] = (float)(FINE * (K[4] * x[1] / x[2] + K[5] + 0.5) - 0.5);
        at[i][2] = (float)(1 / x[2]);
    }
    for (int64_t i = 0; i < s->indices; i += 3)
        draw(c, s, s->index + i, (const float(*)[3])at);
    free(at);
}

/* ---- comparing ---- */

struct errors {
    double inside, all;         /* sums of squares */
    int64_t inside_n, all_n;
};

/* With PF_SHOW=FOLDER: each view as it is drawn, and as it should be, side by side. */
static void
show(const struct canvas *c, const struct pf_posed_views *v, int n)
{
    pf_image image;
    char name[4096];
    if (!getenv("PF_SHOW"))
        return;
    pf_must(pf_image_new(&image, 2 * v->width, v->height, 3));
    for (int i = 0; i < v->width * v->height; i++)
        for (int k = 0; k < 3; k++) {
            const int x = i % v->width, y = i / v->width;
            float sum = 0;
            for (int j = 0; j < FINE * FINE; j++)
                sum += c->rgb[(FINE * y + j / FINE) * c->width + FINE * x + j % FINE][k];
            uint8_t *const to = image.pixel + 3 * (2 * v->width * y + x) + k;
            to[0] = (uint8_t)lrintf(255 * encoded(sum / (FINE * FINE)));
            to[3 * v->width] = v->image[3 * ((int64_t)n * v->width * v->height + i) + k];
        }
    snprintf(name, sizeof name, "%s/%d.png", getenv("PF_SHOW"), n);
    pf_must(pf_image_save_png(&image, name));
    pf_image_release(&image);
}

static void
compare(struct errors *e, const struct canvas *c, const struct pf_posed_views *v, int n)
{
    for (int y = 0; y < v->height; y++)
        for (int x = 0; x < v->width; x++) {
            const int64_t at = ((int64_t)n * v->height + y) * v->width + x;
            double error = 0;
            int covered = 0;
            for (int k = 0; k < 3; k++) {
                float sum = 0;
                covered = 0;
                for (int i = 0; i < FINE * FINE; i++) {
                    const int from = (FINE * y + i / FINE) * c->width + FINE * x + i % FINE;
                    sum += c->rgb[from][k];
                    covered += c->near[from] > 0;
                }
                const double is = (double)encoded(sum / (FINE * FINE));
                const double d = is - v->image[3 * at + k] / 255.0;
                error += d * d;
            }
            if (v->alpha[at] >= 0.5f) {
                e->all += error;
                e->all_n += 3;
            }
            if (v->alpha[at] >= 0.999f && covered == FINE * FINE) {
                e->inside += error;
                e->inside_n += 3;
            }
        }
}

int
main(int argc, char **argv)
{
    struct pf_posed_views v;
    pf_doc doc = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: bench_texture VIEWS.pf MESH.glb ...\n");
        return 2;
    }
    pf_must(pf_doc_read_file(&doc, argv[1]));
    pf_must(pf_posed_views_read(&v, &doc));
    for (int i = 2; i < argc; i++) {
        struct scene s = {0};
        struct errors e = {0};
        load(&s, argv[i]);
#pragma omp parallel for schedule(dynamic)
        for (int n = 0; n < v.count; n++) {
            struct canvas c = {.width = FINE * v.width, .height = FINE * v.height};
            struct errors one = {0};
            c.near = malloc((size_t)c.width * (size_t)c.height * sizeof *c.near);
            c.rgb = malloc((size_t)c.width * (size_t)c.height * sizeof *c.rgb);
            render(&c, &s, &v, n);
            compare(&one, &c, &v, n);
            show(&c, &v, n);
#pragma omp critical
            {
                e.inside += one.inside;
                e.all += one.all;
                e.inside_n += one.inside_n;
                e.all_n += one.all_n;
            }
            free(c.near);
            free(c.rgb);
        }
        printf("%s: %.2f dB inside (%lld values), %.2f dB of all of the object (%lld)\n", argv[i],
               -10 * log10(e.inside / (double)e.inside_n), (long long)e.inside_n,
               -10 * log10(e.all / (double)e.all_n), (long long)e.all_n);
        free(s.bytes);
        pf_image_release(&s.texture);
    }
    pf_doc_release(&doc);
    return 0;
}
