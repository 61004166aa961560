/* evaluate.c - depth maps and occupancy of triangle meshes, for evaluate.py (evaluation.md, 2). */
#include <math.h>
#include <stdint.h>

static float
edge(const float *a, const float *b, float x, float y)
{
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);
}

static float
least(float a, float b, float c)
{
    return fminf(a, fminf(b, c));
}

static float
most(float a, float b, float c)
{
    return fmaxf(a, fmaxf(b, c));
}

/* Nearest depth [size, size] of the mesh from one pose [3, 4], 0 where there is nothing.  Depth is
 * taken as linear in the image. */
void
mesh_depth(float *depth, const float *points, const int32_t *faces, int64_t count,
           const float *pose, float focal, int size)
{
    for (int k = 0; k < size * size; k++)
        depth[k] = 0.0f;
    for (int64_t f = 0; f < count; f++) {
        float p[3][3];
        for (int k = 0; k < 3; k++) {
            const float *v = points + 3 * faces[3 * f + k];
            float c[3];
            for (int r = 0; r < 3; r++)
                c[r] = pose[4 * r] * v[0] + pose[4 * r + 1] * v[1] + pose[4 * r + 2] * v[2] +
                       pose[4 * r + 3];
            p[k][0] = focal * c[0] / c[2] + 0.5f * size;
            p[k][1] = focal * c[1] / c[2] + 0.5f * size;
            p[k][2] = c[2];
        }
        const float area = edge(p[0], p[1], p[2][0], p[2][1]);
        if (area == 0.0f || !(least(p[0][2], p[1][2], p[2][2]) > 0.1f))
            continue;
        const int x0 = (int)fmaxf(ceilf(least(p[0][0], p[1][0], p[2][0]) - 0.5f), 0.0f);
        const int x1 = (int)fminf(floorf(most(p[0][0], p[1][0], p[2][0]) - 0.5f), size - 1.0f);
        const int y0 = (int)fmaxf(ceilf(least(p[0][1], p[1][1], p[2][1]) - 0.5f), 0.0f);
        const int y1 = (int)fminf(floorf(most(p[0][1], p[1][1], p[2][1]) - 0.5f), size - 1.0f);
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++) {
                const float a = edge(p[1], p[2], x + 0.5f, y + 0.5f) / area;
                const float b = edge(p[2], p[0], x + 0.5f, y + 0.5f) / area;
                if (a < 0.0f || b < 0.0f || a + b > 1.0f)
                    continue;
                const float z = a * p[0][2] + b * p[1][2] + (1.0f - a - b) * p[2][2];
                float *d = depth + y * size + x;
                if (*d == 0.0f || z < *d)
                    *d = z;
            }
    }
}

/* inside [n, n, n] (x, y, z) of nodes at -1 + 2 i / n: the parity of the crossings along x. */
void
mesh_inside(uint8_t *inside, const float *points, const int32_t *faces, int64_t count, int n)
{
    const float shift = 1.7e-5f;        // keeps lines off vertices and edges that lie on the grid
    for (int64_t k = 0; k < (int64_t)n * n * n; k++)
        inside[k] = 0;
    for (int64_t f = 0; f < count; f++) {
        const float *v[3];
        float p[3][2];
        for (int k = 0; k < 3; k++) {
            v[k] = points + 3 * faces[3 * f + k];
            p[k][0] = v[k][1];
            p[k][1] = v[k][2];
        }
        const float area = edge(p[0], p[1], p[2][0], p[2][1]);
        if (area == 0.0f)
            continue;
        const float high0 = most(p[0][0], p[1][0], p[2][0]);
        const float high1 = most(p[0][1], p[1][1], p[2][1]);
        const int j0 = (int)fmaxf(floorf((least(p[0][0], p[1][0], p[2][0]) + 1) * n / 2), 0);
        const int k0 = (int)fmaxf(floorf((least(p[0][1], p[1][1], p[2][1]) + 1) * n / 2), 0);
        for (int j = j0; j < n && -1 + 2.0f * j / n <= high0; j++)
            for (int k = k0; k < n && -1 + 2.0f * k / n <= high1; k++) {
                const float y = -1 + 2.0f * j / n + shift, z = -1 + 2.0f * k / n + 0.61f * shift;
                const float a = edge(p[1], p[2], y, z) / area, b = edge(p[2], p[0], y, z) / area;
                if (a < 0.0f || b < 0.0f || a + b > 1.0f)
                    continue;
                const float x = a * v[0][0] + b * v[1][0] + (1 - a - b) * v[2][0];
                for (int i = 0; i < n && -1 + 2.0f * i / n < x; i++)
                    inside[((int64_t)i * n + j) * n + k] ^= 1;
            }
    }
}
