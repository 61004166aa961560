/* The fast field: its hash encoding, and its values and gradients against finite differences. */
#include <omp.h>

#include "common/camera.h"
#include "common/config.h"
#include "kernels/field/field.h"
#include "kernels/field/hash/hash_point.h"
#include "kernels/field/net.h"
#include "tests/check.h"

static struct pf_neus_config
small_config(void)
{
    struct pf_neus_config conf = pf_conf.neus;
    conf.field = "hash";
    conf.levels = 4;
    conf.level_features = 2;
    conf.log2_table = 10;
    conf.base_resolution = 4;
    conf.max_resolution = 24;
    conf.hidden = 18;
    conf.color_hidden = 10;
    conf.geo_features = 5;
    conf.init_radius = 0.4;
    conf.start_levels = 2;
    conf.level_steps = 10;
    conf.view_start = 40;
    conf.bound = 0.6;
    return conf;
}

/* A field whose grid is not almost zero. */
static struct pf_net *
rough_net(void)
{
    const struct pf_neus_config conf = small_config();
    struct pf_net *net;
    assert_ok(pf_net_kind("hash")->create(&net, &conf, 1));
    fill_uniform(net->param[0].value, net->param[0].n, 7);
    for (int64_t i = 0; i < net->param[0].n; i++)
        net->param[0].value[i] *= 0.3f;
    return net;
}

/* field.md, 9, at the original's sizes: 16 levels, 2^19 entries, resolutions 16 to 2048. */
static void
test_sizes_and_indices_are_those_of_the_spec(void **state)
{
    struct pf_hash_grid g;
    (void)state;
    assert_ok(pf_hash_grid_init(&g, 16, 2, 19, 16, 2048, 0.5));
    assert_int_equal(g.level[0].res, 16);
    assert_int_equal(g.level[0].size, 4096);
    assert_true(g.level[0].dense);
    assert_int_equal(pf_hash_index(&g.level[0], 3, 2, 1), 3 + 2 * 16 + 256);
    assert_int_equal(pf_hash_index(&g.level[0], 16, 15, 15), 0);    /* vertex res wraps */
    assert_int_equal(g.level[1].res, 23);                               /* 16 * 1.3819 - 1 = 21.1 */
    assert_int_equal(g.level[1].size, 12168);                           /* 23^3, in eights */
    assert_int_equal(g.level[2].offset, 4096 + 12168);
    assert_int_equal(g.level[15].res, 2048);
    assert_int_equal(g.level[15].size, 1 << 19);
    assert_false(g.level[15].dense);
    /* 7 * 2654435761 and 9 * 805459861 modulo 2^19 */
    assert_int_equal(pf_hash_index(&g.level[15], 5, 7, 9), 5 ^ 283607 ^ 332861);
}

/* One dense level that holds a x + b y + c z + d at its vertices gives that everywhere between. */
static void
test_a_dense_level_reproduces_a_linear_function(void **state)
{
    enum { RES = 8 };
    struct pf_hash_grid g;
    float table[RES * RES * RES], want[PF_BLOCK];
    float x[3 * PF_BLOCK], e[4 * PF_BLOCK], jac[4 * PF_BLOCK];
    (void)state;
    assert_ok(pf_hash_grid_init(&g, 1, 1, 12, RES, RES, 0.5));
    for (int i = 0; i < RES * RES * RES; i++)   /* vertex v stands at ((v - 0.5) / 7 - 0.5) */
        table[i] = 2.0f * (float)(i % RES) - (float)(i / RES % RES) + 0.5f * (float)(i / RES / RES);
    fill_uniform(x, 3 * PF_BLOCK, 3);
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        x[i] *= 0.4f;
    for (int p = 0; p < PF_BLOCK; p++)
        want[p] = 0.5f * 1.5f + 7 * (2 * (x[p] + 0.5f) - (x[PF_BLOCK + p] + 0.5f) +
                                     0.5f * (x[2 * PF_BLOCK + p] + 0.5f));
    pf_hash_encode(&g, table, 1, e, jac, x);
    assert_near(e, want, PF_BLOCK, 2e-5);
    for (int p = 0; p < PF_BLOCK; p++)
        assert_near(((float[]){jac[p], jac[PF_BLOCK + p], jac[2 * PF_BLOCK + p]}),
                    ((float[]){14, -7, 3.5f}), 3, 1e-4);
}

static void
test_the_encoding_is_continuous_across_cells_and_levels_switch_off(void **state)
{
    struct pf_hash_grid g;
    float x[3 * PF_BLOCK] = {0}, e[8 * PF_BLOCK], *table;
    (void)state;
    assert_ok(pf_hash_grid_init(&g, 4, 2, 9, 4, 60, 0.5));
    table = malloc(sizeof(float) * 2 * (size_t)g.entries);
    fill_uniform(table, 2 * g.entries, 5);
    /* Pairs of points on both sides of a wall of the finest level, 1e-6 apart. */
    for (int p = 0; p < PF_BLOCK; p++)
        x[p] = ((float)(10 + p / 2 % 16) + 0.5f) / 59 - 0.5f + (p % 2 ? 1e-6f : -1e-6f);
    pf_hash_encode(&g, table, 4, e, NULL, x);
    for (int c = 0; c < 8; c++)
        for (int p = 0; p < PF_BLOCK; p += 2)
            assert_near(&e[c * PF_BLOCK + p], &e[c * PF_BLOCK + p + 1], 1, 1e-3);
    pf_hash_encode(&g, table, 1, e, NULL, x);
    assert_true(e[0] != 0);
    for (int i = 2 * PF_BLOCK; i < 8 * PF_BLOCK; i++)
        assert_true(e[i] == 0);
    free(table);
}

static void
test_an_encoding_that_makes_no_sense_is_refused(void **state)
{
    struct pf_hash_grid g;
    struct pf_neus_config conf = small_config();
    struct pf_net *net;
    (void)state;
    assert_fails(pf_hash_grid_init(&g, 17, 2, 15, 8, 64, 0.5), PF_EARG, "levels is 17");
    assert_fails(pf_hash_grid_init(&g, 8, 9, 15, 8, 64, 0.5), PF_EARG, "level_features is 9");
    assert_fails(pf_hash_grid_init(&g, 8, 2, 30, 8, 64, 0.5), PF_EARG, "log2_table is 30");
    assert_fails(pf_hash_grid_init(&g, 8, 2, 15, 64, 8, 0.5), PF_EARG, "max_resolution 8");
    assert_fails(pf_hash_grid_init(&g, 8, 2, 15, 8, 64, NAN), PF_EARG, "bound");
    conf.geo_features = 0;
    assert_fails(pf_net_kind("hash")->create(&net, &conf, 1), PF_EARG, "geo_features is 0");
}

static void
test_a_new_field_is_a_sphere(void **state)
{
    struct pf_neus_config conf = small_config();
    struct pf_net *net;
    float x[3 * 200], sdf[200], grad[3 * 200];
    (void)state;
    conf.hidden = 64;
    assert_ok(pf_net_kind("hash")->create(&net, &conf, 3));
    fill_uniform(x, 600, 4);
    for (int i = 0; i < 600; i++)
        x[i] *= 0.55f;
    assert_ok(net->ops->forward(net, sdf, grad, NULL, x, NULL, 200, false));
    for (int i = 0; i < 200; i++) {
        const float *p = x + 3 * i, *g = grad + 3 * i;
        const float r = sqrtf(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
        const float outward = (g[0] * p[0] + g[1] * p[1] + g[2] * p[2]) / r;
        assert_near(&sdf[i], &(float){r - 0.4f}, 1, 0.04);
        if (r > 0.2f)           /* near the origin softplus rounds the tip off */
            assert_near(&outward, &(float){1}, 1, 0.12);
    }
    net->ops->free(net);
}

/* ---- gradients ---- */

enum { POINTS = 150 };          /* two blocks and a part */
struct probe {
    float x[3 * POINTS], dir[3 * POINTS];
    float a[POINTS], b[3 * POINTS], c[3 * POINTS];      /* cotangents of sdf, grad, rgb */
};

static void
make_probe(struct probe *p)
{
    fill_uniform(p->x, 3 * POINTS, 11);
    fill_uniform(p->dir, 3 * POINTS, 12);
    fill_uniform(p->a, POINTS, 13);
    fill_uniform(p->b, 3 * POINTS, 14);
    fill_uniform(p->c, 3 * POINTS, 15);
    for (int i = 0; i < POINTS; i++) {
        float *d = p->dir + 3 * i, length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        for (int k = 0; k < 3; k++) {
            p->x[3 * i + k] *= 0.5f;
            d[k] /= length;
        }
    }
}

/* a . sdf + b . grad + c . rgb */
static double
loss(struct pf_net *net, const struct probe *p, bool looking)
{
    float sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS];
    double sum = 0;
    assert_ok(net->ops->forward(net, sdf, grad, rgb, p->x, looking ? p->dir : NULL, POINTS, true));
    for (int i = 0; i < POINTS; i++)
        sum += (double)p->a[i] * sdf[i];
    for (int i = 0; i < 3 * POINTS; i++)
        sum += (double)p->b[i] * grad[i] + (double)p->c[i] * rgb[i];
    return sum;
}

static void
clear(struct pf_net *net)
{
    for (int i = 0; i < net->params; i++)
        memset(net->param[i].grad, 0, sizeof(float) * (size_t)net->param[i].n);
}

/* Along random directions in each parameter: the slope of the loss is the gradient's. */
static void
check_gradients(bool looking, int step)
{
    struct pf_net *net = rough_net();
    struct probe p;
    net->ops->set_step(net, step);
    make_probe(&p);
    clear(net);
    loss(net, &p, looking);
    assert_ok(net->ops->backward(net, p.a, p.b, p.c));
    for (int i = 0; i < net->params; i++) {
        const struct pf_param *w = &net->param[i];
        const size_t bytes = sizeof(float) * (size_t)w->n;
        float *way = malloc(bytes), *start = memcpy(malloc(bytes), w->value, bytes);
        for (uint64_t trial = 0; trial < 3; trial++) {
            const float h = 1e-4f;              /* below the 0.01 on which softplus bends */
            double slope = 0, size = 0, at[2];
            fill_uniform(way, w->n, 100 + 10 * (uint64_t)i + trial);
            for (int64_t k = 0; k < w->n; k++) {
                slope += (double)way[k] * w->grad[k];
                size += (double)w->grad[k] * w->grad[k];
            }
            for (int side = 0; side < 2; side++) {
                for (int64_t k = 0; k < w->n; k++)
                    w->value[k] = start[k] + (side ? h : -h) * way[k];
                at[side] = loss(net, &p, looking);
            }
            memcpy(w->value, start, bytes);
            const double found = (at[1] - at[0]) / (2 * h), error = fabs(found - slope);
            if (!(error <= 0.01 * sqrt(size) + 0.02))   /* + rounding of 900 floats / h */
                fail_msg("%s: slope %g, gradient says %g (its norm is %g)", w->name, found, slope,
                         sqrt(size));
        }
        free(way);
        free(start);
    }
    net->ops->free(net);
}

static void
test_gradients_are_finite_differences(void **state)
{
    (void)state;
    check_gradients(true, 200);
    check_gradients(true, 110);                 /* the direction counts by 0.7 */
}

static void
test_gradients_seen_from_the_normal_are_too(void **state)
{
    (void)state;
    check_gradients(false, 90);
}

/* Before view_start a colour is the same from everywhere; later it is not. */
static void
test_the_direction_comes_in_late(void **state)
{
    struct pf_net *net = rough_net();
    struct probe p;
    float from_there[3 * POINTS], from_normal[3 * POINTS], unused[3 * POINTS];
    (void)state;
    make_probe(&p);
    for (int step = 40; step <= 140; step += 100) {
        net->ops->set_step(net, step);
        assert_ok(net->ops->forward(net, NULL, unused, from_there, p.x, p.dir, POINTS, false));
        assert_ok(net->ops->forward(net, NULL, unused, from_normal, p.x, NULL, POINTS, false));
        const bool same = !memcmp(from_there, from_normal, sizeof from_there);
        assert_int_equal(same, step == 40);
    }
    net->ops->free(net);
}

/* grad is the derivative of sdf in space, where no cell ends within the step. */
static void
test_the_gradient_in_space_is_the_slope_of_sdf(void **state)
{
    struct pf_net *net = rough_net();
    struct probe p;
    float grad[3 * POINTS], sdf[POINTS];
    float ahead[3 * POINTS], behind[3 * POINTS], up[POINTS], down[POINTS];
    int close = 0;
    (void)state;
    make_probe(&p);
    assert_ok(net->ops->forward(net, sdf, grad, NULL, p.x, NULL, POINTS, false));
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 3 * POINTS; i++) {
            ahead[i] = p.x[i] + (i % 3 == k ? 2e-4f : 0);
            behind[i] = p.x[i] - (i % 3 == k ? 2e-4f : 0);
        }
        assert_ok(net->ops->sdf(net, up, ahead, POINTS));
        assert_ok(net->ops->sdf(net, down, behind, POINTS));
        for (int i = 0; i < POINTS; i++)
            close += fabsf((up[i] - down[i]) / 4e-4f - grad[3 * i + k]) < 0.02f;
    }
    assert_true(close > 3 * POINTS * 95 / 100);         /* the others straddle a wall */
    net->ops->free(net);
}

static void
test_sdf_alone_is_that_of_forward(void **state)
{
    struct pf_net *net = rough_net();
    struct probe p;
    float a[POINTS], b[POINTS], grad[3 * POINTS];
    (void)state;
    make_probe(&p);
    assert_ok(net->ops->forward(net, a, grad, NULL, p.x, NULL, POINTS, false));
    assert_ok(net->ops->sdf(net, b, p.x, POINTS));
    assert_near(a, b, POINTS, 1e-5);
    p.x[0] = NAN;               /* never an index out of a table */
    p.x[4] = 1e30f;
    assert_ok(net->ops->sdf(net, b, p.x, POINTS));
    assert_near(b + 2, a + 2, POINTS - 2, 1e-5);
    net->ops->free(net);
}

static void
test_gradients_do_not_depend_on_the_number_of_threads(void **state)
{
    struct pf_net *net = rough_net();
    struct probe p;
    const int threads = omp_get_max_threads();
    float *first[64] = {0};
    (void)state;
    make_probe(&p);
    for (int t = 1; t <= 5; t += 2) {
        omp_set_num_threads(t);
        clear(net);
        loss(net, &p, true);
        assert_ok(net->ops->backward(net, p.a, p.b, p.c));
        for (int i = 0; i < net->params; i++) {
            const size_t bytes = sizeof(float) * (size_t)net->param[i].n;
            if (t == 1)
                first[i] = memcpy(malloc(bytes), net->param[i].grad, bytes);
            else
                assert_memory_equal(first[i], net->param[i].grad, bytes);
        }
    }
    omp_set_num_threads(threads);
    for (int i = 0; i < net->params; i++)
        free(first[i]);
    net->ops->free(net);
}

/* Levels that are not in use yet get no gradient; more of them come in with the steps. */
static void
test_levels_come_in_one_after_the_other(void **state)
{
    struct pf_net *net = rough_net();
    struct pf_hash_grid g;
    struct probe p;
    (void)state;
    make_probe(&p);
    assert_ok(pf_hash_grid_init(&g, 4, 2, 10, 4, 24, 0.6));
    assert_int_equal(net->param[0].dim[0], g.entries);
    for (int step = 0; step <= 20; step += 10) {
        net->ops->set_step(net, step);
        clear(net);
        loss(net, &p, true);
        assert_ok(net->ops->backward(net, p.a, p.b, p.c));
        for (int l = 0; l < 4; l++) {
            bool any = false;
            for (int64_t i = 0; i < 2 * g.level[l].size; i++)
                any |= net->param[0].grad[2 * g.level[l].offset + i] != 0;
            assert_int_equal(any, l < 2 + step / 10);
        }
    }
    net->ops->free(net);
}

/* ---- training ---- */

enum { VIEWS = 3, SIZE = 16, STEPS = 24 };

static void
train(pf_trainer *t, int steps)
{
    struct pf_field_losses losses;
    for (int i = 0; i < steps; i++) {
        assert_ok(pf_trainer_step(t, &losses));
        assert_true(isfinite(losses.total));
    }
}

/* The grid of distances is a part of a checkpoint: at step 16 it is made anew, at 20 it is not. */
static void
test_a_resumed_run_is_the_run_that_was_never_stopped(void **state)
{
    struct pf_neus_config conf = small_config();
    uint8_t image[VIEWS * SIZE * SIZE * 3];
    float alpha[VIEWS * SIZE * SIZE];
    pf_tensor pose, K;
    pf_field *whole, *part;
    pf_trainer *t;
    pf_doc doc = {0}, first = {0}, second = {0};
    (void)state;
    conf.batch_rays = 48;
    conf.foreground_rays = 16;
    conf.occupancy_resolution = 12;
    conf.ray_samples = 16;
    conf.lambda_area = 0.01;
    conf.lr_tone = 0.1;
    conf.area_points = 64;
    for (int i = 0; i < VIEWS * SIZE * SIZE; i++) {             /* a disc on white */
        const int x = i % SIZE - SIZE / 2, y = i / SIZE % SIZE - SIZE / 2;
        alpha[i] = x * x + y * y < 20;
        for (int k = 0; k < 3; k++)
            image[3 * i + k] = alpha[i] > 0 ? (uint8_t)(100 + 9 * x - 7 * y * k) : 255;
    }
    assert_ok(pf_rig_tensors(&pose, &K, NULL, NULL, VIEWS, 0.3, SIZE));
    const struct pf_field_views views = {VIEWS, SIZE, SIZE, image, alpha, pose.data, K.data};

    assert_ok(pf_field_new(&whole, NULL, &conf, 5));
    assert_ok(pf_trainer_new(&t, whole, &views, &conf, 5));
    train(t, STEPS);
    assert_ok(pf_trainer_save(t, &first));
    pf_trainer_free(t);

    assert_ok(pf_field_new(&part, NULL, &conf, 5));
    assert_ok(pf_trainer_new(&t, part, &views, &conf, 5));
    train(t, 20);
    assert_ok(pf_trainer_save(t, &doc));
    pf_trainer_free(t);
    pf_field_free(part);

    assert_ok(pf_field_new(&part, NULL, &conf, 6));
    assert_ok(pf_trainer_new(&t, part, &views, &conf, 6));
    assert_ok(pf_trainer_load(t, &doc));
    train(t, STEPS - 20);
    assert_ok(pf_trainer_save(t, &second));
    pf_trainer_free(t);

    assert_int_equal(first.tensors, second.tensors);
    for (int i = 0; i < first.tensors; i++)
        assert_memory_equal(first.tensor[i].t.data, second.tensor[i].t.data,
                            pf_tensor_bytes(&first.tensor[i].t));
    pf_doc_release(&doc);
    pf_doc_release(&first);
    pf_doc_release(&second);
    pf_field_free(whole);
    pf_field_free(part);
    pf_tensor_release(&pose);
    pf_tensor_release(&K);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_indices_are_those_of_the_spec),
        cmocka_unit_test(test_a_dense_level_reproduces_a_linear_function),
        cmocka_unit_test(test_the_encoding_is_continuous_across_cells_and_levels_switch_off),
        cmocka_unit_test(test_an_encoding_that_makes_no_sense_is_refused),
        cmocka_unit_test(test_a_new_field_is_a_sphere),
        cmocka_unit_test(test_gradients_are_finite_differences),
        cmocka_unit_test(test_gradients_seen_from_the_normal_are_too),
        cmocka_unit_test(test_the_direction_comes_in_late),
        cmocka_unit_test(test_the_gradient_in_space_is_the_slope_of_sdf),
        cmocka_unit_test(test_sdf_alone_is_that_of_forward),
        cmocka_unit_test(test_gradients_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(test_levels_come_in_one_after_the_other),
        cmocka_unit_test(test_a_resumed_run_is_the_run_that_was_never_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
