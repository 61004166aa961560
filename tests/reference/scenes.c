/* scenes.c - pictures of triangles for the trainer: many views of one thing, on white.
 *
 * scenes.py compiles this file at its first use and owns every array.  Cameras are those of
 * common/cameras.md, 1: a point that projects to u = j is in the middle of pixel j. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct material { float colour[3]; int w, h, holes; const unsigned char *rgba; };

/* light: to the lamp [3], its strength, what comes from all around, how much more from above, gloss
 * and its exponent. */
struct scene {
    int triangles;
    const float *p;                 // corners [vertices, 3]
    const float *n;                 // normals [triangles, 3, 3]
    const float *uv;                // texture coordinates [vertices, 2]
    const int *faces;               // [triangles, 3]
    const int *material;            // [triangles]
    const struct material *materials;
    float light[8];
};

struct camera { float r[9], t[3], focal, cu, cv; };

static float linear[256];
static unsigned char encoded[4097];

static void
make_tables(void)
{
    for (int k = 0; k < 256; k++)
        linear[k] = powf((float)k / 255.0f, 2.2f);
    for (int k = 0; k <= 4096; k++)
        encoded[k] = (unsigned char)(255.0f * powf((float)k / 4096.0f, 1 / 2.2f) + 0.5f);
}

static int
near_int(float v)
{
    return (int)floorf(v + 0.5f);
}

/* The nearest texel, the texture repeated. */
static const unsigned char *
texel(const struct material *m, float u, float v)
{
    const int x = (int)((u - floorf(u)) * (float)m->w),
              y = (int)((1.0f - (v - floorf(v))) * (float)m->h);
    return m->rgba + 4 * ((long)(y >= m->h ? m->h - 1 : y) * m->w + (x >= m->w ? m->w - 1 : x));
}

static void
mixed(const float *a, const float *b, const float *c, int width, const float weights[3], float *out)
{
    for (int k = 0; k < width; k++)
        out[k] = weights[0] * a[k] + weights[1] * b[k] + weights[2] * c[k];
}

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void
normalise(float v[3])
{
    const float l = 1.0f / (sqrtf(dot(v, v)) + 1e-20f);
    for (int k = 0; k < 3; k++)
        v[k] *= l;
}

/* Linear light of triangle t where its corners weigh so much, seen from eye. */
static void
shade(const struct scene *s, int t, const float weights[3], const float eye[3], float out[3])
{
    const int *f = s->faces + 3 * t;
    const float *p[3] = {s->p + 3 * f[0], s->p + 3 * f[1], s->p + 3 * f[2]};
    const struct material *m = &s->materials[s->material[t]];
    float n[3], at[3], view[3], uv[2], half[3], gloss = 0;
    mixed(s->n + 9 * t, s->n + 9 * t + 3, s->n + 9 * t + 6, 3, weights, n);
    mixed(p[0], p[1], p[2], 3, weights, at);
    for (int k = 0; k < 3; k++)
        view[k] = eye[k] - at[k];
    normalise(n);
    normalise(view);
    if (dot(n, view) < 0) // faces have two sides
        for (int k = 0; k < 3; k++)
            n[k] = -n[k];
    const float lamp = fmaxf(dot(n, s->light), 0);
    if (s->light[6] > 0 && lamp > 0) {
        for (int k = 0; k < 3; k++)
            half[k] = view[k] + s->light[k];
        normalise(half);
        gloss = s->light[6] * powf(fmaxf(dot(n, half), 0), s->light[7]);
    }
    const float light = s->light[3] * lamp + s->light[4] + s->light[5] * n[2];
    if (m->rgba) {
        mixed(s->uv + 2 * f[0], s->uv + 2 * f[1], s->uv + 2 * f[2], 2, weights, uv);
        const unsigned char *c = texel(m, uv[0], uv[1]);
        for (int k = 0; k < 3; k++)
            out[k] = light * linear[c[k]] * m->colour[k] + gloss;
    } else
        for (int k = 0; k < 3; k++)
            out[k] = light * m->colour[k] + gloss;
}

/* A triangle on the picture: u, v of its corners, 1 / depth, and what makes weights of them. */
struct flat { float u[3], v[3], w[3], a[3], b[3]; };

static int
flatten(const struct scene *s, int t, const float *uvw, struct flat *f)
{
    for (int k = 0; k < 3; k++) {
        const float *c = uvw + 3 * s->faces[3 * t + k];
        f->u[k] = c[0];
        f->v[k] = c[1];
        f->w[k] = c[2];
    }
    const float d = (f->u[1] - f->u[0]) * (f->v[2] - f->v[0]) -
                    (f->v[1] - f->v[0]) * (f->u[2] - f->u[0]);
    if (fabsf(d) < 1e-9f)
        return 0;
    f->a[0] = (f->v[1] - f->v[2]) / d;
    f->b[0] = (f->u[2] - f->u[1]) / d;
    f->a[1] = (f->v[2] - f->v[0]) / d;
    f->b[1] = (f->u[0] - f->u[2]) / d;
    return 1;
}

/* Weights of the corners at sample (x, y), on the picture. */
static void
weigh(const struct flat *f, float x, float y, float e[3])
{
    for (int k = 0; k < 2; k++)
        e[k] = f->a[k] * (x - f->u[2]) + f->b[k] * (y - f->v[2]);
    e[2] = 1 - e[0] - e[1];
}

/* The same on the thing: perspective. */
static void
unproject(const struct flat *f, float e[3])
{
    const float z = 1 / (e[0] * f->w[0] + e[1] * f->w[1] + e[2] * f->w[2]);
    for (int k = 0; k < 3; k++)
        e[k] *= f->w[k] * z;
}

static int
hole(const struct scene *s, int t, const struct flat *f, const float weights[3])
{
    const struct material *m = &s->materials[s->material[t]];
    float e[3] = {weights[0], weights[1], weights[2]}, uv[2];
    if (!m->holes)
        return 0;
    unproject(f, e);
    const int *c = s->faces + 3 * t;
    mixed(s->uv + 2 * c[0], s->uv + 2 * c[1], s->uv + 2 * c[2], 2, e, uv);
    return texel(m, uv[0], uv[1])[3] < 128;
}

static float
least(const float v[3])
{
    return fminf(v[0], fminf(v[1], v[2]));
}

static float
most(const float v[3])
{
    return fmaxf(v[0], fmaxf(v[1], v[2]));
}

static void
cover(const struct scene *s, int t, const float *uvw, int side, float *near, int *index)
{
    struct flat f;
    if (!flatten(s, t, uvw, &f) || least(f.w) <= 0)
        return;
    const int x0 = (int)fmaxf(0, ceilf(least(f.u))), x1 = (int)fminf((float)(side - 1), most(f.u));
    const int y0 = (int)fmaxf(0, ceilf(least(f.v))), y1 = (int)fminf((float)(side - 1), most(f.v));
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            float e[3];
            weigh(&f, (float)x, (float)y, e);
            if (least(e) < -1e-5f)
                continue;
            const float z = e[0] * f.w[0] + e[1] * f.w[1] + e[2] * f.w[2];
            if (z > near[y * side + x] && !hole(s, t, &f, e)) {
                near[y * side + x] = z;
                index[y * side + x] = t;
            }
        }
    }
}

static void
draw(const struct scene *s, int vertices, const struct camera *c, int size, int samples, float *uvw,
     float *near, int *index, unsigned char *rgb)
{
    const int side = size * samples;
    float eye[3];
    for (int k = 0; k < 3; k++)
        eye[k] = -(c->r[k] * c->t[0] + c->r[3 + k] * c->t[1] + c->r[6 + k] * c->t[2]);
    for (int i = 0; i < vertices; i++) {
        const float *p = s->p + 3 * i;
        float at[3];
        for (int k = 0; k < 3; k++)
            at[k] = dot(c->r + 3 * k, p) + c->t[k];
        const float w = 1 / fmaxf(at[2], 1e-3f);
        uvw[3 * i] = ((c->focal * at[0] * w + c->cu) + 0.5f) * (float)samples - 0.5f;
        uvw[3 * i + 1] = ((c->focal * at[1] * w + c->cv) + 0.5f) * (float)samples - 0.5f;
        uvw[3 * i + 2] = w;
    }
    memset(near, 0, sizeof *near * (size_t)(side * side));
    for (int t = 0; t < s->triangles; t++)
        cover(s, t, uvw, side, near, index);
    for (int i = 0; i < size * size; i++) {
        float sum[3] = {0, 0, 0};
        for (int k = 0; k < samples * samples; k++) {
            const int x = i % size * samples + k % samples, y = i / size * samples + k / samples;
            float e[3], colour[3] = {1, 1, 1};
            struct flat f;
            if (near[y * side + x] > 0) {
                flatten(s, index[y * side + x], uvw, &f);
                weigh(&f, (float)x, (float)y, e);
                unproject(&f, e);
                shade(s, index[y * side + x], e, eye, colour);
            }
            for (int j = 0; j < 3; j++)
                sum[j] += encoded[near_int(fminf(fmaxf(colour[j], 0), 1) * 4096)];
        }
        for (int k = 0; k < 3; k++)
            rgb[3 * i + k] = (unsigned char)(sum[k] / (float)(samples * samples) + 0.5f);
    }
}

/* Pictures rgb [views, size, size, 3] with samples x samples in each pixel. */
int
scenes_draw(const struct scene *s, int vertices, const struct camera *cameras, int views, int size,
            int samples, unsigned char *rgb)
{
    const size_t n = (size_t)(size * samples) * (size_t)(size * samples);
    float *uvw = malloc(sizeof *uvw * 3 * (size_t)vertices), *near = malloc(sizeof *near * n);
    int *index = malloc(sizeof *index * n);
    const int ok = uvw && near && index;
    if (linear[255] == 0)
        make_tables();
    for (int k = 0; ok && k < views; k++)
        draw(s, vertices, &cameras[k], size, samples, uvw, near, index,
             rgb + (size_t)k * 3 * (size_t)(size * size));
    free(uvw);
    free(near);
    free(index);
    return ok ? 0 : -1;
}
