/* cutout_data.c - OBJ files to triangles, and pictures of them, for the sprites of train_cutout.py.
 *
 * A picture is a perspective view of one object by itself, fitted to the frame: red, green, blue in
 * sRGB and
 * the coverage of the pixel.  cutout_data.py compiles this file at its first use and owns every
 * array. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CORNERS = 1024 };

/* Corner k of triangle t: position p[9t + 3k], texture coordinates uv[6t + 2k], normal n[9t + 3k];
 * m[t]: its material, or -1. */
struct mesh {
    long count, room;
    float *p, *uv, *n;
    int *m;
    int materials;
    char **names;
};

struct list { float *v; long count, room; };        // rows of `width` numbers
struct corner { long p, uv, n; };                   // rows of the lists, or -1

struct material { float colour[3]; int w, h, holes; const unsigned char *rgba; };

static void *
grown(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    if (!p)
        abort();
    return p;
}

static void
read_row(struct list *l, int width, const char *s)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 4096;
        l->v = grown(l->v, (size_t)(l->room * width) * sizeof *l->v);
    }
    for (int k = 0; k < width; k++) {
        char *end;
        l->v[l->count * width + k] = strtof(s, &end);
        s = end;
    }
    l->count++;
}

static void
add_triangle(struct mesh *o, const struct list at[3], const struct corner *c[3], int material)
{
    if (o->count == o->room) {
        o->room = o->room ? 2 * o->room : 4096;
        o->p = grown(o->p, (size_t)o->room * 9 * sizeof *o->p);
        o->uv = grown(o->uv, (size_t)o->room * 6 * sizeof *o->uv);
        o->n = grown(o->n, (size_t)o->room * 9 * sizeof *o->n);
        o->m = grown(o->m, (size_t)o->room * sizeof *o->m);
    }
    const long t = o->count++;
    for (int k = 0; k < 3; k++) {
        memcpy(o->p + 9 * t + 3 * k, at[0].v + 3 * c[k]->p, 3 * sizeof(float));
        memset(o->uv + 6 * t + 2 * k, 0, 2 * sizeof(float));
        memset(o->n + 9 * t + 3 * k, 0, 3 * sizeof(float));
        if (c[k]->uv >= 0)
            memcpy(o->uv + 6 * t + 2 * k, at[1].v + 2 * c[k]->uv, 2 * sizeof(float));
        if (c[k]->n >= 0)
            memcpy(o->n + 9 * t + 3 * k, at[2].v + 3 * c[k]->n, 3 * sizeof(float));
    }
    o->m[t] = material;
}

/* Twice the signed area of a triangle in the plane of two axes. */
static double
area(const float *a, const float *b, const float *c, int x, int y)
{
    return ((double)b[x] - a[x]) * ((double)c[y] - a[y]) -
           ((double)b[y] - a[y]) * ((double)c[x] - a[x]);
}

/* A polygon by clipping ears; one without ears (it crosses itself) loses corners in turn. */
static void
add_polygon(struct mesh *o, const struct list at[3], struct corner *c, int count, int material)
{
    double normal[3] = {0, 0, 0};
    for (int i = 0; i < count; i++) {
        const float *a = at[0].v + 3 * c[i].p, *b = at[0].v + 3 * c[(i + 1) % count].p;
        for (int k = 0; k < 3; k++)
            normal[k] +=
                (double)a[(k + 1) % 3] * b[(k + 2) % 3] - (double)a[(k + 2) % 3] * b[(k + 1) % 3];
    }
    int axis = 0;
    for (int k = 1; k < 3; k++)
        if (fabs(normal[k]) > fabs(normal[axis]))
            axis = k;
    const int x = (axis + 1) % 3, y = (axis + 2) % 3;
    const double sign = normal[axis] < 0 ? -1 : 1;

    for (int i = 0, tried = 0; count > 3;) {
        const struct corner *t[3] = {&c[i % count], &c[(i + 1) % count], &c[(i + 2) % count]};
        const float *p[3] = {at[0].v + 3 * t[0]->p, at[0].v + 3 * t[1]->p, at[0].v + 3 * t[2]->p};
        int ear = sign * area(p[0], p[1], p[2], x, y) > 0;
        for (int j = 3; ear && j < count; j++) {
            const float *q = at[0].v + 3 * c[(i + j) % count].p;
            ear = !(sign * area(p[0], p[1], q, x, y) > 0 && sign * area(p[1], p[2], q, x, y) > 0 &&
                    sign * area(p[2], p[0], q, x, y) > 0);
        }
        if (!ear && tried <= count) {
            i = (i + 1) % count;
            tried++;
            continue;
        }
        add_triangle(o, at, t, material);
        const int gone = (i + 1) % count;
        memmove(c + gone, c + gone + 1, (size_t)(count - gone - 1) * sizeof *c);
        count--;
        i %= count;
        tried = 0;
    }
    const struct corner *t[3] = {&c[0], &c[1], &c[2]};
    add_triangle(o, at, t, material);
}

/* Rows count from 1, negative ones from the end; -1: there is none. */
static long
row(long i, const struct list *l)
{
    i = i < 0 ? l->count + i : i - 1;
    return i >= 0 && i < l->count ? i : -1;
}

static void
read_face(struct mesh *o, const struct list at[3], char *s, int material)
{
    static struct corner c[MOST_CORNERS];
    int count = 0;
    for (char *end; count < MOST_CORNERS; count++) {
        long i[3] = {strtol(s, &end, 10), 0, 0};
        if (end == s)
            break;
        for (int k = 1; k < 3 && *end == '/'; k++)
            i[k] = strtol(end + 1, &end, 10);
        s = end;
        c[count] = (struct corner){row(i[0], &at[0]), row(i[1], &at[1]), row(i[2], &at[2])};
        if (c[count].p < 0)
            return;
    }
    if (count >= 3)
        add_polygon(o, at, c, count, material);
}

static int
material_named(struct mesh *o, char *name)
{
    name += strspn(name, " \t");
    name[strcspn(name, "\r")] = 0;
    for (int i = 0; i < o->materials; i++)
        if (!strcmp(o->names[i], name))
            return i;
    o->names = grown(o->names, (size_t)(o->materials + 1) * sizeof *o->names);
    o->names[o->materials] = strdup(name);
    return o->materials++;
}

/* The triangles of an OBJ file, or NULL if it cannot be read. */
struct mesh *
mesh_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    struct mesh *o = calloc(1, sizeof *o);
    struct list at[3] = {{0}};
    char *line = NULL;
    size_t room = 0;
    int material = -1;
    for (ssize_t n; (n = getline(&line, &room, f)) > 0;) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (line[0] == 'v' && line[1] == ' ')
            read_row(&at[0], 3, line + 1);
        else if (line[0] == 'v' && line[1] == 't')
            read_row(&at[1], 2, line + 2);
        else if (line[0] == 'v' && line[1] == 'n')
            read_row(&at[2], 3, line + 2);
        else if (line[0] == 'f' && line[1] == ' ')
            read_face(o, at, line + 1, material);
        else if (!strncmp(line, "usemtl ", 7))
            material = material_named(o, line + 7);
    }
    fclose(f);
    free(line);
    for (int k = 0; k < 3; k++)
        free(at[k].v);
    return o;
}

long mesh_count(const struct mesh *o) { return o->count; }
int mesh_materials(const struct mesh *o) { return o->materials; }
const char *mesh_material(const struct mesh *o, int i) { return o->names[i]; }

void
mesh_free(struct mesh *o)
{
    for (int i = 0; i < o->materials; i++)
        free(o->names[i]);
    free(o->names);
    free(o->p);
    free(o->uv);
    free(o->n);
    free(o->m);
    free(o);
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
mixed(const float *v, int width, const float b[3], float *out)
{
    for (int k = 0; k < width; k++)
        out[k] = b[0] * v[k] + b[1] * v[width + k] + b[2] * v[2 * width + k];
}

static float
normalised(float v[3])
{
    const float l = sqrtf(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int k = 0; k < 3; k++)
        v[k] /= l + 1e-20f;
    return l;
}

/* Colour of one sample in linear light.  light: direction to the lamp in the camera's axes [3], its
 * strength, the light from
 * the sky and from the ground, gloss and its exponent.  Faces have two sides: the normal is turned
 * to the viewer. */
static void
shade(const struct mesh *o, long t, const float b[3], const struct material *materials,
      const float axes[9], const float light[8], const float eye[3], float out[3])
{
    const float *p = o->p + 9 * t;
    float n[3], face[3], at[3], uv[2], colour[3] = {0.8f, 0.8f, 0.8f}, view[3], facing = 0, l = 0,
                                       h[3], gloss = 0;
    mixed(o->n + 9 * t, 3, b, n);
    mixed(p, 3, b, at);
    mixed(o->uv + 6 * t, 2, b, uv);
    for (int k = 0; k < 3; k++) {
        const int x = (k + 1) % 3, y = (k + 2) % 3;
        face[k] = (p[3 + x] - p[x]) * (p[6 + y] - p[y]) - (p[3 + y] - p[y]) * (p[6 + x] - p[x]);
        view[k] = eye[k] - at[k];
    }
    normalised(face);
    normalised(view);
    if (normalised(n) < 0.2f || fabsf(n[0] * face[0] + n[1] * face[1] + n[2] * face[2]) < 0.1f)
        memcpy(n, face, sizeof n);
    for (int k = 0; k < 3; k++)
        facing += face[k] * view[k];
    float same = n[0] * face[0] + n[1] * face[1] + n[2] * face[2];
    if ((facing < 0) != (same < 0))
        for (int k = 0; k < 3; k++)
            n[k] = -n[k];

    if (o->m[t] >= 0) {
        const struct material *m = &materials[o->m[t]];
        memcpy(colour, m->colour, sizeof colour);
        if (m->rgba)
            for (int k = 0; k < 3; k++)
                colour[k] = (float)texel(m, uv[0], uv[1])[k] / 255.0f;
    }
    float lamp[3];
    for (int k = 0; k < 3; k++) // axes: rows right, down, forward in the world
        lamp[k] = light[0] * axes[k] + light[1] * axes[3 + k] + light[2] * axes[6 + k];
    for (int k = 0; k < 3; k++) {
        l += n[k] * lamp[k];
        h[k] = lamp[k] + view[k];
    }
    normalised(h);
    for (int k = 0; k < 3; k++)
        gloss += n[k] * h[k];
    gloss = l > 0 && gloss > 0 ? light[6] * powf(gloss, light[7]) : 0;
    const float sky = 0.5f + 0.5f * n[1];                       // OBJ files have y up
    const float diffuse = light[3] * (l > 0 ? l : 0) + light[4] * sky + light[5] * (1 - sky);
    for (int k = 0; k < 3; k++)
        out[k] = diffuse * powf(colour[k], 2.2f) + gloss;
}

/* Depth test of triangle t, projected to u, v (samples) and w = 1 / depth. */
static void
cover(const struct mesh *o, long t, const double u[3], const double v[3], const double w[3],
      const struct material *materials, long side, float *near, int *index, float *weights)
{
    const double d = (u[1] - u[0]) * (v[2] - v[0]) - (v[1] - v[0]) * (u[2] - u[0]);
    if (fabs(d) < 1e-9)
        return;
    const long x0 = (long)fmax(0, ceil(fmin(u[0], fmin(u[1], u[2])))),
               x1 = (long)fmin(side - 1, fmax(u[0], fmax(u[1], u[2])));
    const long y0 = (long)fmax(0, ceil(fmin(v[0], fmin(v[1], v[2])))),
               y1 = (long)fmin(side - 1, fmax(v[0], fmax(v[1], v[2])));
    const struct material *m =
        o->m[t] >= 0 && materials[o->m[t]].holes ? &materials[o->m[t]] : NULL;
    for (long y = y0; y <= y1; y++) {
        for (long x = x0; x <= x1; x++) {
            const double a =
                ((v[1] - v[2]) * ((double)x - u[2]) + (u[2] - u[1]) * ((double)y - v[2])) / d;
            const double b = ((v[2] - v[0]) * ((double)x - u[2]) +
                              (u[0] - u[2]) * ((double)y - v[2])) /
                             d,
                         c = 1 - a - b;
            if (a < -1e-9 || b < -1e-9 || c < -1e-9)
                continue;
            const double z = a * w[0] + b * w[1] + c * w[2];
            const long i = y * side + x;
            if (z <= (double)near[i])
                continue;
            const float e[3] = {(float)(a * w[0] / z), (float)(b * w[1] / z),
                                (float)(c * w[2] / z)};
            float uv[2];
            mixed(o->uv + 6 * t, 2, e, uv);
            if (m && texel(m, uv[0], uv[1])[3] < 128)
                continue;
            near[i] = (float)z;
            index[i] = (int)t;
            memcpy(weights + 3 * i, e, sizeof e);
        }
    }
}

/* Where the corners of the drawn triangles lie on the plane at distance 1: u, v, w [3 count]; their
 * bounds: low u, low v, high u, high v. */
static void
project(const struct mesh *o, const unsigned char *drawn, const float axes[9], const float eye[3],
        double *uvw, double bounds[4])
{
    bounds[0] = bounds[1] = 1e9;
    bounds[2] = bounds[3] = -1e9;
    for (long i = 0; i < 3 * o->count; i++) {
        double c[3] = {0, 0, 0};
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++)
                c[k] += (double)axes[3 * k + j] * ((double)o->p[3 * i + j] - (double)eye[j]);
        uvw[3 * i] = c[0] / c[2];
        uvw[3 * i + 1] = c[1] / c[2];
        uvw[3 * i + 2] = 1 / c[2];
        if (!drawn[i / 3])
            continue;
        for (int k = 0; k < 2; k++) {
            bounds[k] = fmin(bounds[k], uvw[3 * i + k]);
            bounds[2 + k] = fmax(bounds[2 + k], uvw[3 * i + k]);
        }
    }
}

/* A picture rgba [side, side, 4] of the drawn triangles, seen from eye, its longer side filling the
 * frame but for `margin` pixels on each side, with `samples` squared samples a pixel. */
void
mesh_render(const struct mesh *o, const unsigned char *drawn, const struct material *materials,
            const float axes[9], const float eye[3], const float light[8], int side, int samples,
            int margin, unsigned char *rgba)
{
    const long m = (long)side * samples;
    double *uvw = grown(NULL, (size_t)o->count * 9 * sizeof *uvw), bounds[4];
    float *near = calloc((size_t)(m * m), sizeof *near),
          *weights = grown(NULL, (size_t)(m * m) * 3 * sizeof *weights);
    int *index = grown(NULL, (size_t)(m * m) * sizeof *index);
    if (!near)
        abort();
    project(o, drawn, axes, eye, uvw, bounds);
    const double scale =
        (side - 2 * margin) * samples / fmax(bounds[2] - bounds[0], bounds[3] - bounds[1]);
    for (long t = 0; t < o->count; t++) {
        double u[3], v[3], w[3];
        for (int k = 0; k < 3; k++) {
            const double *c = uvw + 9 * t + 3 * k;
            u[k] = (c[0] - (bounds[0] + bounds[2]) / 2) * scale + (double)(m - 1) / 2;
            v[k] = (c[1] - (bounds[1] + bounds[3]) / 2) * scale + (double)(m - 1) / 2;
            w[k] = c[2];
        }
        if (drawn[t])
            cover(o, t, u, v, w, materials, m, near, index, weights);
    }
    for (long i = 0; i < (long)side * side; i++) {
        float sum[3] = {0, 0, 0}, c[3];
        int covered = 0;
        for (int s = 0; s < samples * samples; s++) {
            const long at =
                (i / side * samples + s / samples) * m + i % side * samples + s % samples;
            if (near[at] <= 0)
                continue;
            shade(o, index[at], weights + 3 * at, materials, axes, light, eye, c);
            for (int k = 0; k < 3; k++)
                sum[k] += c[k];
            covered++;
        }
        for (int k = 0; k < 3; k++) {
            const float v = covered ? powf(sum[k] / (float)covered, 1 / 2.2f) : 0;
            rgba[4 * i + k] = (unsigned char)(255 * (v > 1 ? 1 : v) + 0.5f);
        }
        rgba[4 * i + 3] = (unsigned char)(255 * covered / (samples * samples));
    }
    free(uvw);
    free(near);
    free(weights);
    free(index);
}

/* The caller may change these where they lie. */
float *mesh_positions(struct mesh *o) { return o->p; }
float *mesh_normals(struct mesh *o) { return o->n; }
float *mesh_uv(struct mesh *o) { return o->uv; }
int *mesh_indices(struct mesh *o) { return o->m; }
