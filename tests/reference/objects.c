/* objects.c - the demo's procedural objects: signed distance, colour, and a renderer.
 *
 * An object is a union of at most 12 solids, PF_PARAMS numbers each, made by objects.py.  Every
 * solid has an exact signed distance; the union is exact outside and a lower bound inside.  The
 * renderer traces one pixel per call of shade_pixel(): the loop around it is OpenMP's, or a grid of
 * threads where nvcc compiles this file.  objects.py compiles it at its first use; nothing of the
 * tools depends on it. */
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define HD __host__ __device__ static inline
#else
#define HD static inline
#endif

enum { KIND, CX, CY, CZ, A, B, C, ROUND, YAW, RED, BAND = RED + 3, BAND_Z = BAND + 3, BAND_W,
       PF_PARAMS = 20 };
enum { BOX, CYLINDER, CONE, SPHERE, TORUS, RING, CAPSULE };

struct vec { float x, y, z; };

HD struct vec
along(struct vec o, struct vec d, float t)
{
    struct vec p = {o.x + t * d.x, o.y + t * d.y, o.z + t * d.z};
    return p;
}

HD struct vec
moved(struct vec p, float x, float y, float z)
{
    struct vec q = {p.x + x, p.y + y, p.z + z};
    return q;
}

HD float
length2(float x, float y)
{
    return sqrtf(x * x + y * y);
}

HD float
clampf(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* A rectangle of half sizes a and b in the half plane of a solid of revolution. */
HD float
rectangle(float r, float z, float a, float b)
{
    const float dx = r - a, dy = fabsf(z) - b;
    return fminf(fmaxf(dx, dy), 0.0f) + length2(fmaxf(dx, 0.0f), fmaxf(dy, 0.0f));
}

/* A frustum of radius bottom at z = -h and top at z = h. */
HD float
frustum(float r, float z, float bottom, float top, float h)
{
    const float cx = r - fminf(r, z < 0.0f ? bottom : top), cy = fabsf(z) - h;  // to the nearer cap
    const float kx = top - bottom, ky = 2.0f * h;
    const float f = clampf(((top - r) * kx + (h - z) * ky) / (kx * kx + ky * ky), 0.0f, 1.0f);
    const float bx = r - top + kx * f, by = z - h + ky * f;                     // to the side
    const float sign = bx < 0.0f && cy < 0.0f ? -1.0f : 1.0f;
    return sign * sqrtf(fminf(cx * cx + cy * cy, bx * bx + by * by));
}

HD float
solid_sdf(const float *s, struct vec p)
{
    const float c = cosf(s[YAW]), n = sinf(s[YAW]);
    const float dx = p.x - s[CX], dy = p.y - s[CY], z = p.z - s[CZ];
    const float x = c * dx + n * dy, y = c * dy - n * dx, r = s[ROUND];
    switch ((int)s[KIND]) {
    case BOX: {
        const float bx = fabsf(x) - s[A] + r, by = fabsf(y) - s[B] + r, bz = fabsf(z) - s[C] + r;
        const float ox = fmaxf(bx, 0.0f), oy = fmaxf(by, 0.0f), oz = fmaxf(bz, 0.0f);
        return sqrtf(ox * ox + oy * oy + oz * oz) + fminf(fmaxf(bx, fmaxf(by, bz)), 0.0f) - r;
    }
    case CYLINDER:
        return rectangle(length2(x, y), z, s[A] - r, s[C] - r) - r;
    case CONE:
        return frustum(length2(x, y), z, s[A] - r, s[B] - r, s[C] - r) - r;
    case SPHERE:
        return sqrtf(x * x + y * y + z * z) - s[A];
    case TORUS:
        return length2(length2(x, y) - s[A], z) - s[B];
    case RING:                          // a torus around the x axis: a handle seen from the front
        return length2(length2(y, z) - s[A], x) - s[B];
    default: {                          // CAPSULE from -(0, A, C) to (0, A, C), radius B
        const float square = s[A] * s[A] + s[C] * s[C] + 1e-12f;
        const float t = clampf((y * s[A] + z * s[C]) / square, -1.0f, 1.0f);
        const float ey = y - t * s[A], ez = z - t * s[C];
        return sqrtf(x * x + ey * ey + ez * ez) - s[B];
    }
    }
}

HD float
object_sdf(const float *solids, int count, struct vec p, int *nearest)
{
    float best = 1e9f;
    for (int i = 0; i < count; i++) {
        const float d = solid_sdf(solids + i * PF_PARAMS, p);
        if (d < best) {
            best = d;
            *nearest = i;
        }
    }
    return best;
}

HD struct vec
object_normal(const float *solids, int count, struct vec p)
{
    const float h = 1e-3f;
    int i;
    struct vec n = {
        object_sdf(solids, count, moved(p, h, 0, 0), &i) -
            object_sdf(solids, count, moved(p, -h, 0, 0), &i),
        object_sdf(solids, count, moved(p, 0, h, 0), &i) -
            object_sdf(solids, count, moved(p, 0, -h, 0), &i),
        object_sdf(solids, count, moved(p, 0, 0, h), &i) -
            object_sdf(solids, count, moved(p, 0, 0, -h), &i)};
    const float l = 1.0f / (sqrtf(n.x * n.x + n.y * n.y + n.z * n.z) + 1e-12f);
    n.x *= l;
    n.y *= l;
    n.z *= l;
    return n;
}

HD const float *
albedo(const float *s, struct vec p)
{
    return s + (fabsf(p.z - s[CZ] - s[BAND_Z]) < s[BAND_W] ? BAND : RED);
}

/* Trace one ray and add colour times coverage to rgba.  The light is a tilted hemisphere, fixed in
 * the world, so that every view sees a point in the same colour. */
HD void
shade_ray(const float *solids, int count, struct vec o, struct vec d, float *rgba)
{
    const float b = o.x * d.x + o.y * d.y + o.z * d.z, reach = 0.87f;   // the unit cube's sphere
    const float disc = b * b - (o.x * o.x + o.y * o.y + o.z * o.z) + reach * reach;
    if (disc <= 0.0f)
        return;
    const float end = -b + sqrtf(disc);
    float t = fmaxf(-b - sqrtf(disc), 0.0f);
    int i = 0;
    for (int step = 0; step < 96 && t < end; step++) {
        const struct vec p = along(o, d, t);
        const float dist = object_sdf(solids, count, p, &i);
        if (dist < 4e-4f) {
            const struct vec n = object_normal(solids, count, p);
            const float *rgb = albedo(solids + i * PF_PARAMS, p);
            const float light = 0.68f + 0.32f * (0.35f * n.x - 0.25f * n.y + 0.9f * n.z);
            for (int k = 0; k < 3; k++)
                rgba[k] += rgb[k] * clampf(light, 0.0f, 1.0f);
            rgba[3] += 1.0f;
            return;
        }
        t += dist;
    }
}

/* Render pixel (row i, column j) of one view by samples x samples rays: straight colours in 0..1
 * and coverage. */
HD void
shade_pixel(float *rgba, const float *solids, int count, const float *pose, float focal, int size,
            int i, int j, int samples)
{
    const struct vec o = {-(pose[0] * pose[3] + pose[4] * pose[7] + pose[8] * pose[11]),
                          -(pose[1] * pose[3] + pose[5] * pose[7] + pose[9] * pose[11]),
                          -(pose[2] * pose[3] + pose[6] * pose[7] + pose[10] * pose[11])};
    float sum[4] = {0};
    for (int s = 0; s < samples * samples; s++) {
        // Pixel j is at u = j, without half a pixel, as in volumes and pf-neus (cameras.md, 1).
        const float u = (j - 0.5f + (s % samples + 0.5f) / samples - 0.5f * size) / focal;
        const float v = (i - 0.5f + (s / samples + 0.5f) / samples - 0.5f * size) / focal;
        const float l = 1.0f / sqrtf(u * u + v * v + 1.0f);
        const struct vec d = {(u * pose[0] + v * pose[4] + pose[8]) * l,
                              (u * pose[1] + v * pose[5] + pose[9]) * l,
                              (u * pose[2] + v * pose[6] + pose[10]) * l};
        shade_ray(solids, count, o, d, sum);
    }
    for (int k = 0; k < 3; k++)
        rgba[k] = sum[3] > 0.0f ? sum[k] / sum[3] : 1.0f;
    rgba[3] = sum[3] / (samples * samples);
}

/* Render rgba [views, size, size, 4] from poses [views, 3, 4], world to camera. */
void
objects_render(float *rgba, const float *solids, int count, const float *poses, int views,
               float focal, int size, int samples)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (int row = 0; row < views * size; row++)
        for (int j = 0; j < size; j++)
            shade_pixel(rgba + 4 * ((int64_t)row * size + j), solids, count,
                        poses + 12 * (row / size), focal, size, row % size, j, samples);
}

/* Many objects at once, on white: render pixel p of rgb [objects, views, size, size, 3] from solids
 * [objects, most, PF_PARAMS], of which counts [objects] are in use, and poses
 * [objects, views, 3, 4]. */
HD void
white_pixel(uint8_t *rgb, const float *solids, const int *counts, int most, const float *poses,
            int views, float focal, int size, int samples, int64_t p)
{
    const int64_t view = p / (size * size), object = view / views;
    float rgba[4];
    shade_pixel(rgba, solids + object * most * PF_PARAMS, counts[object], poses + 12 * view, focal,
                size, (int)(p / size % size), (int)(p % size), samples);
    for (int k = 0; k < 3; k++) {
        const float over_white = rgba[k] * rgba[3] + 1.0f - rgba[3];
        rgb[3 * p + k] = (uint8_t)clampf(over_white * 255.0f + 0.5f, 0.0f, 255.0f);
    }
}

#ifdef __CUDACC__
static __global__ void
white_pixels(uint8_t *rgb, const float *solids, const int *counts, int most, const float *poses,
             int views, float focal, int size, int samples, int64_t n)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (p < n)
        white_pixel(rgb, solids, counts, most, poses, views, focal, size, samples, p);
}

/* All pointers are the device's.  Returns 0, or CUDA's error. */
extern "C" int
objects_white(uint8_t *rgb, const float *solids, const int *counts, int objects, int most,
              const float *poses, int views, float focal, int size, int samples)
{
    const int64_t n = (int64_t)objects * views * size * size;
    const unsigned blocks = (unsigned)((n + 127) / 128);
    white_pixels<<<blocks, 128>>>(rgb, solids, counts, most, poses, views, focal, size, samples, n);
    return cudaDeviceSynchronize();
}
#else
int
objects_white(uint8_t *rgb, const float *solids, const int *counts, int objects, int most,
              const float *poses, int views, float focal, int size, int samples)
{
#pragma omp parallel for schedule(dynamic, 1024)
    for (int64_t p = 0; p < (int64_t)objects * views * size * size; p++)
        white_pixel(rgb, solids, counts, most, poses, views, focal, size, samples, p);
    return 0;
}
#endif

/* points [n, 3] -> sdf [n] and, unless null, colours [n, 3] of the nearest solid. */
void
objects_query(float *sdf, float *rgb, const float *solids, int count, const float *points,
              int64_t n)
{
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < n; k++) {
        const struct vec p = {points[3 * k], points[3 * k + 1], points[3 * k + 2]};
        int i = 0;
        sdf[k] = object_sdf(solids, count, p, &i);
        if (rgb)
            for (int c = 0; c < 3; c++)
                rgb[3 * k + c] = albedo(solids + i * PF_PARAMS, p)[c];
    }
}
