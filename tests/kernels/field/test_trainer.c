/* Training and documents of fields: what is learnt, that a resumed run is the run that was never
 * stopped, and that odd documents are refused.  Small "mlp" fields; the same holds for any kind. */
#include <omp.h>

#include "kernels/field/rays/composite.h"
#include "tests/kernels/field/training.h"

enum { S = 16 };

static void
make_world(struct world *w)
{
    w->conf = pf_conf.neus;
    w->conf.field = "mlp";
    w->conf.sdf_width = w->conf.color_width = w->conf.feature_dim = 32;
    w->conf.sdf_layers = 4;
    w->conf.color_layers = 2;
    w->conf.sdf_frequencies = 2;
    w->conf.coarse_samples = 16;
    w->conf.fine_samples = 16;
    w->conf.fine_rounds = 2;
    w->conf.batch_rays = 96;
    w->conf.foreground_rays = 32;
    w->conf.warm_up = 5;
    w->conf.lr = 2e-3;
    see_ball(w, S);
}

/* ---- tests ---- */

static void
test_a_ball_is_learnt(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    const struct pf_field_losses first = steps(&r, 1), last = steps(&r, 149);
    const float x[] = {0, 0, 0, 0, 0, 0.55f}, o[] = {0, -1.5f, 0, 0, -1.5f, 0};
    const float d[] = {0, 1, 0, 0, 0, 1};
    float sdf[2], rgb[6], mask[2], normal[6];
    assert_int_equal(first.rays, 128);
    assert_int_equal(pf_trainer_steps_done(r.trainer), 150);
    if (!(last.total < 0.3f * first.total))
        fail_msg("loss went from %g to %g only", (double)first.total, (double)last.total);
    assert_ok(pf_field_sdf(r.field, sdf, x, 2));
    assert_true(sdf[0] < -0.1f && sdf[1] > 0.05f);
    assert_ok(pf_field_render(r.field, rgb, mask, normal, o, d, 2));
    assert_true(mask[0] > 0.9f && normal[1] < -0.7f);           /* it faces the camera */
    assert_near(rgb + 3, ((float[]){1, 1, 1}), 3, 0);           /* beside the cube: white */
    assert_near(mask + 1, (float[]){0}, 1, 0);
    stop(&r);
    release_world(&w);
}

/* A view twice, once darker: the tones learn that, and their mean stays 0. */
static void
test_tones_learn_what_one_view_differs_in(void **state)
{
    struct world w;
    pf_doc doc = {0};
    (void)state;
    make_world(&w);
    w.conf.lr_tone = 3;
    memcpy((float *)w.pose.data + 12, w.pose.data, 12 * sizeof(float));
    memcpy(w.alpha + S * S, w.alpha, S * S * sizeof(float));
    for (int i = 0; i < 3 * S * S; i++)
        w.image[3 * S * S + i] = (uint8_t)(w.alpha[i / 3] > 0 ? w.image[i] * 0.7 : 255);
    struct run r = start(&w, NULL);
    steps(&r, 150);
    assert_ok(pf_trainer_save(r.trainer, &doc));
    const float *const tone = pf_doc_get(&doc, "train.tones")->data;
    float mean[PF_TONE] = {0};
    for (int i = 0; i < V * PF_TONE; i++)
        mean[i % PF_TONE] += tone[i] / V;
    assert_near(mean, (float[PF_TONE]){0}, PF_TONE, 1e-6);
    for (int k = 0; k < 3; k++) {               /* at half of full brightness */
        const float one = tone[k] + 2 * tone[3 + k];
        const float other = tone[PF_TONE + k] + 2 * tone[PF_TONE + 3 + k];
        if (!(other < one - 0.2f))
            fail_msg("channel %d: %g and %g", k, (double)one, (double)other);
    }
    stop(&r);
    pf_doc_release(&doc);
    release_world(&w);
}

/* Seven steps at once, with other numbers of threads, and 3 + 4 steps through a checkpoint. */
static void
test_a_resumed_run_is_the_uninterrupted_one(void **state)
{
    const int threads = omp_get_max_threads();
    struct world w;
    pf_doc whole = {0}, half = {0}, again = {0};
    (void)state;
    make_world(&w);
    w.conf.batch_rays = 400;               /* 1024 pixels: reshuffled on the way */
    struct run a = start(&w, NULL), b = start(&w, NULL);
    omp_set_num_threads(3);
    steps(&a, 7);
    assert_ok(pf_trainer_save(a.trainer, &whole));
    omp_set_num_threads(1);
    steps(&b, 3);
    assert_ok(pf_trainer_save(b.trainer, &half));
    omp_set_num_threads(threads);
    stop(&b);
    b = start(&w, NULL);
    assert_ok(pf_trainer_load(b.trainer, &half));
    assert_int_equal(pf_trainer_steps_done(b.trainer), 3);
    steps(&b, 4);
    assert_ok(pf_trainer_save(b.trainer, &again));
    assert_same(&whole, &again);
    stop(&a);
    stop(&b);
    pf_doc_release(&whole);
    pf_doc_release(&half);
    pf_doc_release(&again);
    release_world(&w);
}

static void
test_a_saved_field_looks_the_same(void **state)
{
    struct world w;
    pf_doc doc = {0};
    pf_field *copy;
    float x[3 * 200], a[7 * 200], b[7 * 200];
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    steps(&r, 2);
    assert_ok(pf_field_save(r.field, &doc));
    assert_ok(pf_field_load(&copy, NULL, &doc, &pf_conf.neus));
    assert_string_equal(pf_field_kind(copy), "mlp");
    assert_true(pf_field_bound(copy) == 0.6);
    fill_uniform(x, 600, 9);
    assert_ok(pf_field_eval(r.field, a, a + 200, a + 800, x, NULL, 200));
    assert_ok(pf_field_eval(copy, b, b + 200, b + 800, x, NULL, 200));
    assert_memory_equal(a, b, sizeof(a));
    pf_field_free(copy);
    stop(&r);
    pf_doc_release(&doc);
    release_world(&w);
}

/* Foreground rays come from pixels that are not white; without any the batch is the smaller. */
static void
test_a_white_world_has_no_foreground_rays(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    memset(w.image, 255, sizeof(w.image));
    struct run r = start(&w, NULL);
    assert_int_equal(steps(&r, 1).rays, 96);
    stop(&r);
    release_world(&w);
}

/* A loss that is not finite is told and changes nothing. */
static void
test_a_loss_that_is_not_finite_leaves_the_field(void **state)
{
    struct world w;
    struct pf_field_losses l;
    pf_doc before = {0}, after = {0};
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    for (int i = 0; i < V * S * S; i++)
        w.alpha[i] = INFINITY;
    assert_ok(pf_trainer_save(r.trainer, &before));
    assert_ok(pf_trainer_step(r.trainer, &l));
    assert_false(isfinite(l.total));
    assert_ok(pf_trainer_save(r.trainer, &after));
    assert_same(&before, &after);
    stop(&r);
    pf_doc_release(&before);
    pf_doc_release(&after);
    release_world(&w);
}

static void
refused(const pf_doc *doc, const char *words)
{
    pf_field *f;
    assert_fails(pf_field_load(&f, NULL, doc, &pf_conf.neus), PF_EFORMAT, words);
    assert_null(f);
}

static void
test_odd_documents_are_refused(void **state)
{
    struct world w;
    pf_doc doc = {0};
    pf_field *f;
    char *config;
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    refused(&doc, "no field.config");
    assert_ok(pf_field_save(r.field, &doc));
    config = strdup(pf_doc_get_meta(&doc, "field.config"));

    static const char *const odd[][2] = {
        {"{", "not JSON"},
        {"[]", "kind"},
        {"{\"kind\": 3}", "kind"},
        {"{\"kind\": \"cube\"}", "kind"},
        {"{\"kind\": \"mlp\"}", "bound"},
        {"{\"kind\": \"mlp\", \"bound\": -1}", "bound"},
        {"{\"kind\": \"mlp\", \"bound\": 0.6, \"step\": -1}", "step"},
        {"{\"kind\": \"mlp\", \"bound\": 0.6, \"step\": 0, \"sdf_width\": 1e9}", "sdf_width"},
        {"{\"kind\": \"mlp\", \"bound\": 0.6, \"step\": 0, \"sdf_width\": 99999}", "sdf_width"},
        {"{\"kind\": \"mlp\", \"bound\": 0.6, \"step\": 0, \"sdf_width\": 4096, \"sdf_layers\": 16,"
         " \"sdf_frequencies\": 2, \"feature_dim\": 4096, \"color_width\": 4096, \"color_layers\": "
         "16,"
         " \"color_frequencies\": 4, \"coarse_samples\": 16, \"fine_samples\": 16, "
         "\"fine_rounds\": 2}",
         "asks for a network"},
    };
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        assert_ok(pf_doc_set_meta(&doc, "field.config", odd[i][0]));
        refused(&doc, odd[i][1]);
    }
    assert_ok(pf_doc_set_meta(&doc, "field.config", config));

    const pf_tensor *bias = pf_doc_get(&doc, "field.sdf.lin1.bias");
    const float kept = ((float *)bias->data)[2];
    ((float *)bias->data)[2] = NAN;
    refused(&doc, "field.sdf.lin1.bias: element 2 is not finite");
    ((float *)bias->data)[2] = kept;
    assert_ok(pf_field_load(&f, NULL, &doc, &pf_conf.neus));
    pf_field_free(f);

    float few[3] = {0};
    const pf_tensor t = PF_VIEW(few, PF_F32, 3);
    assert_ok(pf_doc_put(&doc, "field.color.lin1.bias", &t));
    assert_fails(pf_field_load(&f, NULL, &doc, &pf_conf.neus), PF_ESHAPE, "field.color.lin1.bias");
    pf_doc_drop(&doc, "field.color.lin1.bias");
    refused(&doc, "field.color.lin1.bias");
    free(config);
    stop(&r);
    pf_doc_release(&doc);
    release_world(&w);
}

static void
test_a_checkpoint_of_another_field_is_refused(void **state)
{
    struct world w;
    pf_doc doc = {0}, field = {0};
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    assert_ok(pf_trainer_save(r.trainer, &doc));
    assert_ok(pf_field_save(r.field, &field));
    assert_fails(pf_trainer_load(r.trainer, &field), PF_EFORMAT, "train.step");
    stop(&r);
    w.conf.color_width = 24;
    r = start(&w, NULL);
    assert_fails(pf_trainer_load(r.trainer, &doc), PF_EARG, "color_width 32, the config says 24");
    stop(&r);
    pf_doc_release(&doc);
    pf_doc_release(&field);
    release_world(&w);
}

static void
test_learning_rates_of_both_kinds(void **state)
{
    struct pf_neus_config c = pf_conf.neus;
    (void)state;
    c.steps = 2000;
    c.warm_up = 100;
    c.lr_end = 0.01;
    c.field = "mlp";
    assert_true(fabs(pf_neus_rate(&c, 0) - 0.02) < 1e-9);
    assert_true(fabs(pf_neus_rate(&c, 50) - 0.51) < 1e-9);
    assert_true(fabs(pf_neus_rate(&c, 999) - 1) < 1e-9);
    assert_true(fabs(pf_neus_rate(&c, 1000) - 0.1) < 1e-9);
    c.field = "hash";
    assert_true(fabs(pf_neus_rate(&c, 100) - 1) < 1e-9);
    assert_true(fabs(pf_neus_rate(&c, 1050) - 0.1) < 1e-9);
    c.warm_up = 0;
    c.steps = 0;
    assert_true(fabs(pf_neus_rate(&c, 0) - 1) < 1e-9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ball_is_learnt),
        cmocka_unit_test(test_tones_learn_what_one_view_differs_in),
        cmocka_unit_test(test_a_resumed_run_is_the_uninterrupted_one),
        cmocka_unit_test(test_a_saved_field_looks_the_same),
        cmocka_unit_test(test_a_white_world_has_no_foreground_rays),
        cmocka_unit_test(test_a_loss_that_is_not_finite_leaves_the_field),
        cmocka_unit_test(test_odd_documents_are_refused),
        cmocka_unit_test(test_a_checkpoint_of_another_field_is_refused),
        cmocka_unit_test(test_learning_rates_of_both_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
