/* A texture shows the field's colours and normals where the mesh lies. */
// uses: tools/pf-extract-mesh/texture.c tools/pf-extract-mesh/atlas.c
// uses: tools/pf-extract-mesh/charts.c tools/pf-extract-mesh/pack.c
// uses: tools/pf-extract-mesh/normals.c tools/pf-extract-mesh/blend.c
#include "tests/check.h"

#include "common/config.h"
#include "tools/pf-extract-mesh/texture.h"

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void
make_unit(float v[3])
{
    const float length = sqrtf(dot(v, v));
    for (int k = 0; k < 3; k++)
        v[k] /= length;
}

/* An octahedron around the origin whose normals lean to the side. */
static struct pf_mesh
octahedron(float radius)
{
    struct pf_mesh m;
    assert_ok(pf_mesh_new(&m, 6, 8));
    m.normal = calloc(18, sizeof *m.normal);
    memset(m.vertex, 0, 18 * sizeof *m.vertex);
    for (int v = 0; v < 6; v++) {
        const float side = v < 3 ? 1 : -1;
        m.vertex[3 * v + v % 3] = side * radius;
        m.normal[3 * v + v % 3] = side;
        m.normal[3 * v + (v + 1) % 3] = 0.4f;
        make_unit(m.normal + 3 * v);
    }
    for (uint32_t f = 0; f < 8; f++) {          /* bits: which ends of the axes */
        const uint32_t c[3] = {f & 1 ? 3 : 0, f & 2 ? 4 : 1, f & 4 ? 5 : 2};
        const bool mirrored = (f & 1) ^ (f >> 1 & 1) ^ (f >> 2 & 1);
        m.face[3 * f] = c[0];
        m.face[3 * f + 1] = c[mirrored ? 2 : 1];
        m.face[3 * f + 2] = c[mirrored ? 1 : 2];
    }
    return m;
}

/* Weights of face f's corners at a texel's middle; false: it is not inside. */
static bool
weigh(float weight[3], const struct pf_atlas *a, int64_t f, int x, int y)
{
    const float *p[3];
    bool inside = true;
    for (int k = 0; k < 3; k++)
        p[k] = a->at + 2 * (int64_t)a->face[3 * f + k];
    const float area = (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) -
                       (p[1][1] - p[0][1]) * (p[2][0] - p[0][0]);
    for (int k = 0; k < 3; k++) {
        const float *const b = p[(k + 1) % 3], *const c = p[(k + 2) % 3];
        weight[k] = ((c[0] - b[0]) * ((float)y + 0.5f - b[1]) -
                     (c[1] - b[1]) * ((float)x + 0.5f - b[0])) / area;
        inside &= weight[k] > 0.02f;
    }
    return inside;
}

/* Compare some texels of a face with the field; returns how many, and adds to lean those where the
 * mesh's normal is not the field's. */
static int
compare(int *lean, const struct pf_texture *t, const struct pf_mesh *m, pf_field *field, int64_t f)
{
    const struct pf_atlas *const a = &t->atlas;
    int n = 0;
    for (int i = 0; i < a->size * a->size; i += 11) {
        float weight[3], p[3] = {0}, up[3] = {0}, right[3], back[3], is[3];
        float gradient[3], rgb[3], sdf;
        if (!weigh(weight, a, f, i % a->size, i / a->size))
            continue;
        for (int c = 0; c < 9; c++) {
            p[c % 3] += weight[c / 3] * m->vertex[3 * m->face[3 * f + c / 3] + c % 3];
            up[c % 3] += weight[c / 3] * m->normal[3 * m->face[3 * f + c / 3] + c % 3];
        }
        /* Down along the distance to where the field's surface is. */
        for (int step = 0; step < 4; step++) {
            assert_ok(pf_field_eval(field, &sdf, gradient, rgb, p, NULL, 1));
            for (int k = 0; k < 3; k++)
                p[k] -= sdf * gradient[k] / dot(gradient, gradient);
        }
        make_unit(gradient);
        make_unit(up);
        /* The frame as a renderer makes it: the chart's right made upright to the normal. */
        memcpy(right, a->right[a->chart[f]], sizeof right);
        for (int k = 0; k < 3; k++)
            right[k] -= up[k] * dot(a->right[a->chart[f]], up);
        make_unit(right);
        for (int k = 0; k < 3; k++)
            back[k] = up[(k + 1) % 3] * right[(k + 2) % 3] - up[(k + 2) % 3] * right[(k + 1) % 3];
        for (int k = 0; k < 3; k++) {
            const uint8_t *const map = t->normal.pixel + 3 * i;
            is[k] = (2 * map[0] / 255.0f - 1) * right[k] + (2 * map[1] / 255.0f - 1) * back[k] +
                    (2 * map[2] / 255.0f - 1) * up[k];
            assert_true(fabsf(rgb[k] - t->color.pixel[3 * i + k] / 255.0f) < 0.05f);
        }
        assert_true(dot(is, gradient) > 0.98f); /* 11 degrees: the step to the surface is one */
        *lean += dot(up, gradient) < 0.97f;      /* so that a map of nothing would be seen */
        n++;
    }
    return n;
}

static void
test_texels_have_colour_and_normal_of_the_field(void **state)
{
    struct pf_neus_config conf = pf_conf.neus;
    struct pf_texture t;
    pf_field *field;
    pf_dev *dev;
    int texels = 0, lean = 0;
    (void)state;
    conf.field = "hash";
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_ok(pf_field_new(&field, dev, &conf, 1));
    struct pf_mesh m = octahedron((float)conf.init_radius * 1.2f);
    assert_ok(pf_texture_make(&t, &m, 64, field, NULL, true));
    for (int64_t f = 0; f < m.faces; f++)
        texels += compare(&lean, &t, &m, field, f);
    assert_true(texels > 64 && lean > texels / 4);
    pf_texture_release(&t);
    pf_mesh_release(&m);
    pf_field_free(field);
    pf_dev_close(dev);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texels_have_colour_and_normal_of_the_field),
    };
    return cmocka_run_group_tests_name("texture", tests, NULL, NULL);
}
