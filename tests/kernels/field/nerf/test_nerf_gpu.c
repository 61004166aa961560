/* The field of densities on a GPU against the CPU: points, rays, gradients, the grid, training; the
 * same bytes twice and through a checkpoint.  Skipped where there is no GPU. */
#include "tests/kernels/field/training.h"
#include "tests/kernels/gpu.h"

enum { S = 24, KINDS = 2 };

static struct pf_neus_config
config(int which)
{
    struct pf_neus_config c = pf_conf.nerf;
    c.field = "nerf";
    c.batch_rays = 300;
    c.steps = 60;
    c.warm_up = 5;
    c.occupancy_resolution = 16;
    c.ray_samples = 200;
    c.log2_table = 13;
    if (which == 0) {           /* widths that fill no 16 */
        c.levels = 5;
        c.level_features = 3;
        c.hidden = 32;
        c.color_hidden = 16;
        c.geo_features = 6;
        c.occupancy_resolution = 13;
    }
    if (sanitized()) {
        c.batch_rays = 12;
        c.ray_samples = 60;
        c.occupancy_resolution = 8;
    }
    return c;
}

static void
make_world(struct world *w, int which)
{
    w->conf = config(which);
    see_ball(w, S);
}

/* Every number of it matters, and half of its cells are occupied: the same on every device. */
static pf_field *
rough(pf_dev *dev, int which)
{
    const struct pf_neus_config conf = config(which);
    pf_field *f;
    assert_ok(pf_field_new(&f, dev, &conf, 3));
    roughen(f, 0.5f, 0.1f);
    return f;
}

static void
test_rays_look_the_same(void **state)
{
    enum { N = 700 };
    static float o[3 * N], d[3 * N], a[7 * N], b[7 * N];
    (void)state;
    need_gpu();
    fill_uniform(o, 3 * N, 5);
    fill_uniform(d, 3 * N, 6);
    for (int i = 0; i < N; i++) {
        float length = 0, way = 0;
        for (int k = 0; k < 3; k++)
            length += o[3 * i + k] * o[3 * i + k];
        for (int k = 0; k < 3; k++) {
            o[3 * i + k] *= 1.5f / sqrtf(length);
            d[3 * i + k] = 0.6f * d[3 * i + k] - o[3 * i + k];
            way += d[3 * i + k] * d[3 * i + k];
        }
        for (int k = 0; k < 3; k++)
            d[3 * i + k] /= sqrtf(way);
    }
    for (int which = 0; which < KINDS; which++) {
        pf_field *host = rough(NULL, which), *device = rough(gpu, which);
        const int n = sanitized() ? 40 : N;
        assert_ok(pf_field_render(host, a, a + 3 * n, a + 4 * n, o, d, n));
        assert_ok(pf_field_render(device, b, b + 3 * n, b + 4 * n, o, d, n));
        assert_near(b, a, 3 * n, 2e-4);
        assert_near(b + 3 * n, a + 3 * n, n, 2e-4);
        assert_memory_equal(b + 4 * n, a + 4 * n, 3 * (size_t)n * sizeof *a);   /* no normals */
        pf_field_free(host);
        pf_field_free(device);
    }
}

static void
test_one_step_has_the_gradients_of_the_cpu(void **state)
{
    (void)state;
    need_gpu();
    for (int which = 0; which < KINDS; which++) {
        struct pf_field_losses la, lb;
        float va = 0, vb = 0;
        struct world w;
        pf_doc da = {0}, db = {0};
        make_world(&w, which);
        struct run a = {rough(NULL, which), NULL}, b = {rough(gpu, which), NULL};
        assert_ok(pf_trainer_new(&a.trainer, a.field, &w.views, &w.conf, 3));
        assert_ok(pf_trainer_new(&b.trainer, b.field, &w.views, &w.conf, 3));
        assert_ok(pf_trainer_gradients(a.trainer, &la, &va));
        assert_ok(pf_trainer_gradients(b.trainer, &lb, &vb));
        assert_ok(pf_trainer_fetch_gradients(b.trainer));
        assert_near(&lb.total, &la.total, 1, 1e-4 * la.total);
        assert_near(&lb.psnr, &la.psnr, 1, 0.01);
        assert_true(va == 0 && vb == 0 && lb.eikonal == 0);
        for (int i = 0; i < a.field->net->params; i++) {
            const struct pf_param *p = &a.field->net->param[i], *q = &b.field->net->param[i];
            const double e = check_rms(q->grad, p->grad, p->n);
            if (i < 6 && !(e <= 2e-3))
                fail_msg("field %d, %s: gradients differ by %g", which, p->name, e);
        }
        /* The grid as the update before the step left it, of all cells. */
        assert_ok(pf_trainer_step(a.trainer, &la));
        assert_ok(pf_trainer_step(b.trainer, &lb));
        assert_ok(pf_field_save(a.field, &da));
        assert_ok(pf_field_save(b.field, &db));
        const pf_tensor *x = pf_doc_get(&da, "field.grid.density");
        const pf_tensor *y = pf_doc_get(&db, "field.grid.density");
        assert_true(x && y);
        assert_rms((const float *)y->data, (const float *)x->data, pf_tensor_count(x), 1e-4);
        pf_doc_release(&da);
        pf_doc_release(&db);
        stop(&a);
        stop(&b);
        release_world(&w);
    }
}

/* Updates of a part of the grid too, which begin at step 256. */
static void
test_losses_stay_those_of_the_cpu(void **state)
{
    (void)state;
    need_gpu();
    if (sanitized())
        skip();
    for (int which = 0; which < KINDS; which++) {
        struct world w;
        make_world(&w, which);
        w.conf.steps = 300;
        w.conf.batch_rays = 60;
        struct run a = start(&w, NULL), b = start(&w, gpu);
        double sums[2] = {0, 0};
        for (int i = 0; i < 300; i++) {
            const struct pf_field_losses la = steps(&a, 1), lb = steps(&b, 1);
            sums[0] += la.total;
            sums[1] += lb.total;
            if (i < 5)
                assert_near(&lb.total, &la.total, 1, 0.01 * la.total);
        }
        if (!(fabs(sums[1] - sums[0]) <= 0.03 * sums[0]))
            fail_msg("field %d: losses of 300 steps add up to %g, on the CPU to %g", which, sums[1],
                     sums[0]);
        stop(&a);
        stop(&b);
        release_world(&w);
    }
}

/* Twice the same, through a checkpoint too, whose steps are on another device or not. */
static void
test_the_same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    need_gpu();
    if (sanitized())
        skip();
    for (int which = 0; which < KINDS; which++) {
        struct world w;
        pf_doc whole = {0}, twice = {0}, half = {0}, again = {0};
        make_world(&w, which);
        struct run a = start(&w, gpu), b = start(&w, gpu);
        steps(&a, 275);
        assert_ok(pf_trainer_save(a.trainer, &whole));
        steps(&b, 270);                         /* the grid is brought up to date at 272 */
        assert_ok(pf_trainer_save(b.trainer, &half));
        steps(&b, 5);
        assert_ok(pf_trainer_save(b.trainer, &twice));
        assert_same(&whole, &twice);
        stop(&b);
        b = start(&w, gpu);
        assert_ok(pf_trainer_load(b.trainer, &half));
        steps(&b, 5);
        assert_ok(pf_trainer_save(b.trainer, &again));
        assert_same(&whole, &again);
        stop(&b);
        b = start(&w, NULL);                    /* the CPU takes it up as well */
        assert_ok(pf_trainer_load(b.trainer, &half));
        steps(&b, 3);
        stop(&a);
        stop(&b);
        pf_doc_release(&whole);
        pf_doc_release(&twice);
        pf_doc_release(&half);
        pf_doc_release(&again);
        release_world(&w);
    }
}

static void
test_there_is_no_surface(void **state)
{
    float sdf, x[3] = {0, 0, 0};
    (void)state;
    need_gpu();
    pf_field *f = rough(gpu, 0);
    assert_fails(pf_field_sdf(f, &sdf, x, 1), PF_EARG, "a field of kind nerf has no surface");
    pf_field_free(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rays_look_the_same),
        cmocka_unit_test(test_one_step_has_the_gradients_of_the_cpu),
        cmocka_unit_test(test_losses_stay_those_of_the_cpu),
        cmocka_unit_test(test_the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(test_there_is_no_surface),
    };
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
