/* scenes.h - what the tests of the rasteriser share: scenes made by hand, and views of them. */
#ifndef PF_TEST_SCENES_H
#define PF_TEST_SCENES_H
#include "common/camera.h"
#include "kernels/raster/raster_priv.h"
#include "tests/check.h"

static inline void *
zeroed(int64_t n, size_t size)
{
    void *const p = calloc((size_t)n + 1, size);
    assert_non_null(p);
    return p;
}

/* Zeroed numbers for so much, one white material without texture, two-sided; normals are 0. */
static inline pf_scene
scene_new(int64_t vertices, int64_t triangles)
{
    pf_scene s = {.vertices = vertices, .triangles = triangles, .materials = 1, .up = PF_UP_Z};
    s.position = zeroed(3 * vertices, sizeof *s.position);
    s.normal = zeroed(3 * vertices, sizeof *s.normal);
    s.uv = zeroed(2 * vertices, sizeof *s.uv);
    s.color = zeroed(4 * vertices, sizeof *s.color);
    s.index = zeroed(3 * triangles, sizeof *s.index);
    s.material_of = zeroed(triangles, sizeof *s.material_of);
    s.material = zeroed(1, sizeof *s.material);
    s.texture = zeroed(1, sizeof *s.texture);
    for (int64_t i = 0; i < 4 * vertices; i++)
        s.color[i] = 1;
    *s.material = (struct pf_material){.color = {1, 1, 1, 1}, .texture = -1, .two_sided = 1};
    return s;
}

/* n x n squares, each of two triangles, over [-0.5, 0.5]^2: at (a, b) lies place(a, b). */
static inline pf_scene
sheet_new(int n, void (*place)(float p[3], float a, float b))
{
    pf_scene s = scene_new((n + 1) * (n + 1), 2 * n * n);
    for (int i = 0; i < (n + 1) * (n + 1); i++) {
        const float a = (float)(i % (n + 1)) / (float)n, b = (float)i / (float)(n + 1);
        place(s.position + 3 * i, a - 0.5f, floorf(b) / (float)n - 0.5f);
        s.uv[2 * i] = a;
        s.uv[2 * i + 1] = floorf(b) / (float)n;
    }
    for (int t = 0; t < 2 * n * n; t++) {
        const uint32_t at = (uint32_t)(t / 2 / n * (n + 1) + t / 2 % n), row = (uint32_t)n + 1;
        const uint32_t corner[2][3] = {{at, at + 1, at + row + 1}, {at, at + row + 1, at + row}};
        memcpy(s.index + 3 * t, corner[t % 2], sizeof corner[0]);
    }
    return s;
}

/* A ball of radius 0.4 with a bumpy surface, normals, colours and a texture with holes; stripes of
 * longitude are one-sided. */
static inline pf_scene
ball_new(int rings, int sectors)
{
    pf_scene s = scene_new((rings + 1) * (sectors + 1), 2 * rings * sectors);
    const struct pf_material materials[3] = {
        {.color = {0.9f, 0.5f, 0.3f, 1}, .texture = -1, .two_sided = 1},
        {.color = {1, 1, 1, 1}, .texture = 0, .two_sided = 1, .cutoff = 0.5f},
        {.color = {0.2f, 0.9f, 0.4f, 1}, .texture = 0, .wrap = {PF_WRAP_MIRROR, PF_WRAP_CLAMP}},
    };
    s.materials = 3;
    s.textures = 1;
    free(s.material);
    s.material = zeroed(3, sizeof *s.material);
    memcpy(s.material, materials, sizeof materials);
    *s.texture = (struct pf_texture){16, 8, 0};
    s.texel = zeroed(16 * 8 * 4, 1);
    for (int i = 0; i < 16 * 8 * 4; i++)
        s.texel[i] = i % 4 == 3 ? (i / 4 % 5 ? 255 : 0) : (uint8_t)(i * 37);
    for (int i = 0; i < (rings + 1) * (sectors + 1); i++) {
        const int ring = i / (sectors + 1), sector = i % (sectors + 1);
        const double b = PF_PI * ring / rings, a = 2 * PF_PI * (sector % sectors) / sectors;
        const double n[3] = {sin(b) * cos(a), sin(b) * sin(a), cos(b)};
        for (int k = 0; k < 3; k++) {
            s.normal[3 * i + k] = (float)n[k];
            s.position[3 * i + k] = (float)(n[k] * (0.4 + 0.02 * sin(9 * a) * sin(7 * b)));
            s.color[4 * i + k] = (float)(0.5 + 0.5 * n[k]);
        }
        s.uv[2 * i] = 3 * (float)sector / (float)sectors - 1;
        s.uv[2 * i + 1] = (float)ring / (float)rings;
    }
    for (int t = 0; t < 2 * rings * sectors; t++) {
        const int ring = t / 2 / sectors, sector = t / 2 % sectors;
        const uint32_t at = (uint32_t)(ring * (sectors + 1) + sector), row = (uint32_t)sectors + 1;
        const uint32_t corner[2][3] = {{at, at + row, at + row + 1}, {at, at + row + 1, at + 1}};
        memcpy(s.index + 3 * t, corner[t % 2], sizeof corner[0]);
        s.material_of[t] = (uint32_t)(sector * 9 / sectors % 3);
    }
    return s;
}

/* ---- views ---- */

struct drawn {
    struct pf_raster_view v;
};

static inline struct drawn
drawn_new(int width, int height)
{
    const int64_t n = (int64_t)width * height;
    return (struct drawn){{width, height, zeroed(3 * n, 1), zeroed(n, sizeof(float)),
                           zeroed(n, sizeof(float)), zeroed(3 * n, sizeof(float))}};
}

static inline void
drawn_free(struct drawn *d)
{
    free(d->v.image);
    free(d->v.alpha);
    free(d->v.depth);
    free(d->v.normal);
}

/* The rig's camera for pictures of this side, at these angles in degrees. */
static inline struct pf_raster_camera
rig_camera(double elevation, double azimuth, int size)
{
    struct pf_raster_camera c;
    double pose[12], K[9];
    pf_camera_pose(pose, elevation * PF_PI / 180, azimuth * PF_PI / 180);
    pf_camera_intrinsics(K, size);
    pf_raster_aim(&c, pose, K);
    return c;
}

static inline struct drawn
draw_scene(pf_dev *dev, const pf_scene *s, const struct pf_raster_camera *c, int width, int height,
           enum pf_light light)
{
    struct drawn d = drawn_new(width, height);
    pf_raster *r;
    assert_ok(pf_raster_open(&r, dev, s));
    assert_ok(pf_raster_view(r, &d.v, c, light));
    pf_raster_close(r);
    return d;
}

static inline void
assert_same_view(const struct drawn *a, const struct drawn *b)
{
    const size_t n = (size_t)a->v.width * a->v.height;
    assert_memory_equal(a->v.alpha, b->v.alpha, n * sizeof(float));
    assert_memory_equal(a->v.depth, b->v.depth, n * sizeof(float));
    assert_memory_equal(a->v.normal, b->v.normal, 3 * n * sizeof(float));
    assert_memory_equal(a->v.image, b->v.image, 3 * n);
}

#endif
