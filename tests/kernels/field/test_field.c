/* A field on a GPU against the same field on the CPU: what it looks like, its gradients, its
 * training; the same bytes twice, and a resumed run.  Skipped where there is no GPU. */
#include "tests/kernels/field/training.h"
#include "tests/kernels/gpu.h"

enum { S = 24 };

static pf_dev *rough_gpu;       /* of bf16: halves train the original's field; gpu: f32 */

static int
open_gpus(void **state)
{
    open_gpu(state);
    if (gpu)
        assert_ok(pf_dev_open(&rough_gpu, "cuda", "bf16"));
    return 0;
}

static int
close_gpus(void **state)
{
    pf_dev_close(rough_gpu);
    return close_gpu(state);
}

/* ---- fields of odd and of usual sizes ---- */

enum { ODD, WIDE, HUGE_ONE, USUAL, FULL_MLP, SMALL_MLP, KINDS };

/* Racecheck is about shared memory, of which these have next to none of their own.  In what remains
 * each of the kernels runs on some tiles that are full and on one that is not: a point and a ray's
 * sample are some 10^4 accesses. */
static bool
left_out(int which)
{
    return sanitized() && (which == HUGE_ONE || which == FULL_MLP);
}

static struct pf_neus_config
config(int which)
{
    static const struct { int levels, features, hidden, color, geo; } hash[] = {
        [ODD] = {5, 2, 18, 10, 5},              /* rows that fill no four */
        [WIDE] = {8, 3, 70, 37, 12},            /* a tile of 32 points backward */
        [HUGE_ONE] = {16, 4, 200, 96, 40},      /* in global memory */
        [USUAL] = {10, 2, 64, 32, 13},          /* configs/neus.yaml */
    };
    struct pf_neus_config c = pf_conf.neus;
    c.bound = 0.6;
    c.batch_rays = 300;
    c.foreground_rays = 100;
    c.warm_up = 5;
    c.lr_end = 0.05;
    c.steps = 60;
    c.anneal_steps = 40;
    c.lambda_rgb = 0.5;
    c.lambda_mask = 1;
    c.lambda_eikonal = 0.1;
    if (which == FULL_MLP) {                    /* configs/neus-mlp.yaml, but for its batch */
        c.field = "mlp";
        c.batch_rays = 40;
        c.foreground_rays = 8;
        c.lr = 5e-4;
        return c;
    }
    if (which == SMALL_MLP) {
        c.field = "mlp";
        c.sdf_width = 48;
        c.color_width = 40;
        c.feature_dim = 30;
        c.sdf_layers = 4;
        c.color_layers = 2;
        c.sdf_frequencies = 3;
        c.color_frequencies = 2;
        c.coarse_samples = 16;
        c.fine_samples = 16;
        c.fine_rounds = 2;
        c.lr = 1e-3;
        return c;
    }
    c.field = "hash";
    c.levels = hash[which].levels;
    c.level_features = hash[which].features;
    c.hidden = hash[which].hidden;
    c.color_hidden = hash[which].color;
    c.geo_features = hash[which].geo;
    c.log2_table = 12;
    c.base_resolution = 4;
    c.max_resolution = 60;
    c.init_radius = 0.4;
    c.start_levels = 3;
    c.level_steps = 10;
    c.occupancy_resolution = 32;
    c.ray_samples = 24;
    c.lambda_area = which == WIDE ? 0 : 0.003;
    c.area_points = 203;
    c.lr_variance = 0.3;
    c.view_start = 0;
    if (which == ODD) {                         /* all that configs/neus.yaml leaves out */
        c.anneal_steps = 0;                     /* which would delay some */
        c.view_start = 20;
        c.lr_tone = 0.1;
    }
    c.lr = 1e-2;
    if (sanitized()) {
        c.batch_rays = 12;
        c.foreground_rays = 4;
        c.area_points = 19;
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

/* A field whose every parameter matters: the same on every device. */
static pf_field *
rough_field(pf_dev *dev, int which)
{
    const struct pf_neus_config conf = config(which);
    pf_field *f;
    assert_ok(pf_field_new(&f, dev, &conf, 3));
    roughen(f, 0.1f, 0.02f);
    return f;
}

/* n rows of 3 within tol of their rms, but for one in 300: gradients jump where a cell of the grid
 * ends, and a rounding decides on which side of that a point lies. */
static void
close_but_few(const char *what, int which, const float *got, const float *want, int n, double tol)
{
    double rms = 0;
    int off = 0;
    for (int i = 0; i < 3 * n; i++)
        rms += want[i] * want[i] / (3.0 * n);
    for (int i = 0; i < n; i++) {
        bool near_by = true;
        for (int k = 0; k < 3; k++)
            near_by &= fabs((double)got[3 * i + k] - want[3 * i + k]) <= tol * sqrt(rms);
        off += !near_by;
    }
    if (off > n / 300)
        fail_msg("field %d: %d of %d points have another %s", which, off, n, what);
}

/* ---- tests ---- */

static void
test_points_look_the_same(void **state)
{
    static const int counts[] = {1, 65, 63, 64, 3000};
    enum { MOST = 3000 };
    static float x[3 * MOST], dir[3 * MOST], want[7 * MOST], got[7 * MOST], alone[MOST];
    (void)state;
    need_gpu();
    fill_uniform(x, 3 * MOST, 5);
    fill_uniform(dir, 3 * MOST, 6);
    for (int i = 0; i < MOST; i++) {
        float *d = dir + 3 * i;
        const float length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        for (int k = 0; k < 3; k++) {
            x[3 * i + k] *= 0.65f;              /* some are outside of the cube */
            d[k] /= length;
        }
    }
    for (int which = 0; which < KINDS; which++) {
        if (left_out(which))
            continue;
        pf_field *a = rough_field(NULL, which), *b = rough_field(gpu, which);
        for (int c = 0; c < (sanitized() ? 2 : 5); c++)
            for (int looking = 0; looking < 2; looking++) {
                const int n = counts[c] > 300 && which == FULL_MLP ? 300 : counts[c];
                const float *way = looking ? dir : NULL;
                memset(got, 0xff, sizeof(got));
                memset(alone, 0xff, sizeof(alone));
                assert_ok(pf_field_eval(a, want, want + MOST, want + 4 * MOST, x, way, n));
                assert_ok(pf_field_eval(b, got, got + MOST, got + 4 * MOST, x, way, n));
                assert_ok(pf_field_sdf(b, alone, x, n));
                assert_rms(got, want, n, 1e-5);
                assert_rms(alone, want, n, 1e-5);
                close_but_few("gradient", which, got + MOST, want + MOST, n, 1e-3);
                close_but_few("colour", which, got + 4 * MOST, want + 4 * MOST, n, 1e-3);
                assert_ok(pf_field_eval(b, NULL, NULL, alone, x, way, n / 3));  /* a colour alone */
                /* cublasLt has other ways for other sizes. */
                assert_rms(alone, got + 4 * MOST, n / 3 * 3, 1e-5);
            }
        pf_field_free(a);
        pf_field_free(b);
    }
}

static void
test_rays_look_the_same(void **state)
{
    enum { N = 500 };
    static float o[3 * N], d[3 * N], want[7 * N], got[7 * N];
    (void)state;
    need_gpu();
    fill_uniform(o, 3 * N, 7);
    fill_uniform(d, 3 * N, 8);
    for (int i = 0; i < N; i++) {
        float far = 0, length = 0;
        for (int k = 0; k < 3; k++)
            far += o[3 * i + k] * o[3 * i + k];
        for (int k = 0; k < 3; k++) {
            o[3 * i + k] *= 1.5f / sqrtf(far);
            d[3 * i + k] = (i % 5 ? 0.4f : 1.2f) * d[3 * i + k] - o[3 * i + k];
            length += d[3 * i + k] * d[3 * i + k];
        }
        for (int k = 0; k < 3; k++)
            d[3 * i + k] /= sqrtf(length);
    }
    for (int which = 0; which < KINDS; which++) {
        if (left_out(which))
            continue;
        pf_field *a = rough_field(NULL, which), *b = rough_field(gpu, which);
        const int n = sanitized() ? N / 25 : which == FULL_MLP ? N / 10 : N;
        memset(got, 0xff, sizeof(got));
        assert_ok(pf_field_render(a, want, want + 3 * n, want + 4 * n, o, d, n));
        assert_ok(pf_field_render(b, got, got + 3 * n, got + 4 * n, o, d, n));
        assert_rms(got, want, 7 * n, 5e-3);     /* a rounding may move a ray's samples */
        assert_ok(pf_field_render(b, NULL, want, NULL, o, d, n));
        assert_memory_equal(want, got + 3 * n, (size_t)n * sizeof(float));
        pf_field_free(a);
        pf_field_free(b);
    }
}

/* The losses of one step within loss_tol, the gradients within tol of their rms. */
static void
compare_one_step(int which, pf_dev *dev, double loss_tol, double tol)
{
    struct pf_field_losses la, lb;
    float va = 0, vb = 0;
    struct world w;
    make_world(&w, which);
    struct run a = {rough_field(NULL, which), NULL}, b = {rough_field(dev, which), NULL};
    assert_ok(pf_trainer_new(&a.trainer, a.field, &w.views, &w.conf, 3));
    assert_ok(pf_trainer_new(&b.trainer, b.field, &w.views, &w.conf, 3));
    assert_ok(pf_trainer_gradients(a.trainer, &la, &va));
    assert_ok(pf_trainer_gradients(b.trainer, &lb, &vb));
    assert_ok(pf_trainer_fetch_gradients(b.trainer));
    assert_int_equal(la.rays, lb.rays);
    assert_near(&lb.total, &la.total, 1, loss_tol * la.total);
    assert_near(&lb.rgb, &la.rgb, 1, loss_tol * la.rgb);
    assert_near(&lb.mask, &la.mask, 1, loss_tol * la.mask);
    assert_near(&lb.eikonal, &la.eikonal, 1, loss_tol * la.eikonal);
    assert_near(&lb.psnr, &la.psnr, 1, 0.01);
    assert_near(&vb, &va, 1, 2e-2 * fabsf(va));
    for (int i = 0; i < a.field->net->params; i++) {
        const struct pf_param *p = &a.field->net->param[i], *q = &b.field->net->param[i];
        const double e = check_rms(q->grad, p->grad, p->n);
        if (!(e <= tol))
            fail_msg("field %d, %s: gradients differ by %g", which, p->name, e);
    }
    stop(&a);
    stop(&b);
    release_world(&w);
}

static void
test_one_step_has_the_gradients_of_the_cpu(void **state)
{
    (void)state;
    need_gpu();
    for (int which = 0; which < KINDS; which++)
        if (!left_out(which))
            compare_one_step(which, gpu, 1e-3, 2e-2);   /* a rounding may move a ray's samples */
}

static void
test_so_it_has_in_halves(void **state)
{
    (void)state;
    need_gpu();
    compare_one_step(SMALL_MLP, rough_gpu, 3e-3, 3e-2);
    if (!left_out(FULL_MLP))
        compare_one_step(FULL_MLP, rough_gpu, 3e-3, 3e-2);
}

/* Halves train the original's field as well: its losses stay within the 2 % that f32's have. */
static void
test_losses_stay_those_of_the_cpu(void **state)
{
    static const int kinds[] = {USUAL, SMALL_MLP, SMALL_MLP, ODD};
    (void)state;
    need_gpu();
    if (sanitized())
        skip();
    for (int k = 0; k < 4; k++) {
        struct world w;
        make_world(&w, kinds[k]);
        struct run a = start(&w, NULL), b = start(&w, k == 2 ? rough_gpu : gpu);
        double sums[2] = {0, 0};
        for (int i = 0; i < 50; i++) {
            const struct pf_field_losses la = steps(&a, 1), lb = steps(&b, 1);
            sums[0] += la.total;
            sums[1] += lb.total;
            if (i < 5)
                assert_near(&lb.total, &la.total, 1, 0.01 * la.total);
        }
        if (!(fabs(sums[1] - sums[0]) <= 0.02 * sums[0]))
            fail_msg("field %d: losses of 50 steps add up to %g, on the CPU to %g", kinds[k],
                     sums[1], sums[0]);
        assert_true(fabsf(a.field->variance - b.field->variance) <
                    0.02f * fabsf(a.field->variance));
        stop(&a);
        stop(&b);
        release_world(&w);
    }
}

/* Twice the same, through a checkpoint too, whose steps are on another device or not. */
static void
test_the_same_seed_gives_the_same_bytes(void **state)
{
    static const int kinds[] = {ODD, USUAL, SMALL_MLP};
    (void)state;
    need_gpu();
    if (sanitized())
        skip();
    for (int k = 0; k < 3; k++) {
        struct world w;
        pf_doc whole = {0}, twice = {0}, half = {0}, again = {0};
        make_world(&w, kinds[k]);
        struct run a = start(&w, gpu), b = start(&w, gpu);
        steps(&a, 23);
        assert_ok(pf_trainer_save(a.trainer, &whole));
        steps(&b, 18);                          /* the grid is made anew at 16 */
        assert_ok(pf_trainer_save(b.trainer, &half));
        steps(&b, 5);
        assert_ok(pf_trainer_save(b.trainer, &twice));
        assert_same(&whole, &twice);
        stop(&b);
        b = start(&w, gpu);
        assert_ok(pf_trainer_load(b.trainer, &half));
        assert_int_equal(pf_trainer_steps_done(b.trainer), 18);
        steps(&b, 5);
        assert_ok(pf_trainer_save(b.trainer, &again));
        assert_same(&whole, &again);
        stop(&b);
        b = start(&w, NULL);                    /* the CPU takes it up as well */
        assert_ok(pf_trainer_load(b.trainer, &half));
        steps(&b, 1);
        stop(&a);
        stop(&b);
        pf_doc_release(&whole);
        pf_doc_release(&twice);
        pf_doc_release(&half);
        pf_doc_release(&again);
        release_world(&w);
    }
}

/* What a trained field looks like does not depend on whether it went through a document. */
static void
test_a_saved_field_looks_the_same(void **state)
{
    (void)state;
    need_gpu();
    for (int which = 0; which < KINDS && !left_out(which); which += KINDS - 1) {
        enum { N = 200 };
        struct world w;
        pf_doc doc = {0};
        pf_field *copy, *host;
        float x[3 * N], a[7 * N], b[7 * N];
        make_world(&w, which);
        struct run r = start(&w, gpu);
        steps(&r, 3);
        assert_ok(pf_field_save(r.field, &doc));
        assert_ok(pf_field_load(&copy, gpu, &doc, &pf_conf.neus));
        assert_ok(pf_field_load(&host, NULL, &doc, &pf_conf.neus));
        fill_uniform(x, 3 * N, 9);
        assert_ok(pf_field_eval(r.field, a, a + N, a + 4 * N, x, NULL, N));
        assert_ok(pf_field_eval(copy, b, b + N, b + 4 * N, x, NULL, N));
        assert_memory_equal(a, b, sizeof(a));
        assert_ok(pf_field_eval(host, b, b + N, b + 4 * N, x, NULL, N));
        assert_rms(b, a, N, 1e-5);
        pf_field_free(copy);
        pf_field_free(host);
        stop(&r);
        pf_doc_release(&doc);
        release_world(&w);
    }
}

static void
test_a_loss_that_is_not_finite_leaves_the_field(void **state)
{
    (void)state;
    need_gpu();
    for (int which = 0; which < KINDS && !left_out(which); which += KINDS - 1) {
        struct world w;
        struct pf_field_losses l;
        pf_doc before = {0}, after = {0};
        make_world(&w, which);
        for (int i = 0; i < V * S * S; i++)
            w.alpha[i] = INFINITY;
        struct run r = start(&w, gpu);
        assert_ok(pf_field_save(r.field, &before));
        assert_ok(pf_trainer_step(r.trainer, &l));
        assert_false(isfinite(l.total));
        assert_int_equal(pf_trainer_steps_done(r.trainer), 0);
        assert_ok(pf_field_save(r.field, &after));
        assert_same(&before, &after);
        stop(&r);
        pf_doc_release(&before);
        pf_doc_release(&after);
        release_world(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_look_the_same),
        cmocka_unit_test(test_rays_look_the_same),
        cmocka_unit_test(test_one_step_has_the_gradients_of_the_cpu),
        cmocka_unit_test(test_so_it_has_in_halves),
        cmocka_unit_test(test_losses_stay_those_of_the_cpu),
        cmocka_unit_test(test_the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(test_a_saved_field_looks_the_same),
        cmocka_unit_test(test_a_loss_that_is_not_finite_leaves_the_field),
    };
    return cmocka_run_group_tests(tests, open_gpus, close_gpus);
}
