/* pf-sample's networks on a small model of random weights: laws that hold for any weights. */
// uses: tools/pf-sample/network.c tools/pf-sample/dump.c tools/pf-sample/vae.c
// uses: tools/pf-sample/volume.c tools/pf-sample/transformer.c tools/pf-sample/depth_transformer.c
// uses: tools/pf-sample/unet.c tools/pf-sample/ddim.c tools/pf-sample/multistep.c
// uses: tools/pf-sample/noise.c
// uses: tools/pf-sample/rig.c tools/pf-sample/model.c tools/pf-sample/sampler.c
// uses: tools/pf-sample/plan.c
#include "common/camera.h"
#include "common/opt.h"
#include "tests/tools/pf-sample/random_model.h"
#include "tools/pf-sample/plan.h"
#include "tools/pf-sample/sampler.h"

enum { V = 3, Z = 4, SIDE = 8, STATE = V * Z * SIDE * SIDE };

static const struct pf_config small = {
    .model = {.view_num = V, .image_size = 8 * SIDE, .time_embed_dim = 16, .scale_factor = 0.5,
              .parameterization = "eps"},
    .clip = {.output_dim = 12},
    .vae = {.ch = 32, .ch_mult = {1, 1, 2, 2}, .num_res_blocks = 1, .z_channels = Z},
    .volume = {.dims = {8, 16, 16, 8}, .spatial_size = 8, .spatial_length = 0.5,
               .frustum_depth = 16, .frustum_length = 0.86603, .target_dim = 8},
    .unet = {.in_channels = 2 * Z, .out_channels = Z, .model_channels = 64,
             .channel_mult = {1, 2, 1, 1}, .num_res_blocks = 1, .attention_resolutions = {4, 2, 1},
             .num_heads = 4, .context_dim = 10, .volume_dims = {8, 16, 16, 8}},
    .sampler = {.name = "ddim", .timesteps = "even", .steps = 3, .eta = 1, .cfg_scale = 2,
                .sample_num = 1, .batch_view_num = V},
};

static struct maker maker;              /* the model, made once */

struct loaded {                         /* a model in use */
    struct model m;
    pf_dev *dev;
    pf_checkpoint *weights;
    char path[64];
};

/* Save what the maker holds and load it with this config; unload also after a failure. */
static pf_err
load(struct loaded **to, const struct maker *from, const struct pf_config *conf)
{
    struct loaded *const l = *to = calloc(1, sizeof *l);
    assert_non_null(l);
    snprintf(l->path, sizeof l->path, "/tmp/pf-test-XXXXXX");
    save_model(from, l->path);
    assert_ok(pf_dev_open(&l->dev, test_device(), "f32"));
    assert_ok(pf_checkpoint_open(&l->weights, l->path));
    return model_load(&l->m, l->dev, l->weights, conf);
}

static void
unload(struct loaded *l)
{
    pf_dev_close(l->dev);
    pf_checkpoint_close(l->weights);
    unlink(l->path);
    free(l);
}

/* The latents of one sample at an elevation, in degrees; moments are a formula. */
static pf_err
sample_at(struct loaded *l, float out[STATE], double elevation_deg, int number)
{
    float clip[12], moments[2 * Z * SIDE * SIDE];
    const pf_tensor mo = PF_VIEW(moments, PF_F32, 1, SIDE, SIDE, 2 * Z);
    const struct sampler_input in = {(float)(10 * PF_PI / 180), 0.1f, clip};
    struct sampler s;
    struct noise noise;
    pf_tensor latents = {0};
    fill_uniform(clip, 12, 1);
    fill_uniform(moments, 2 * Z * SIDE * SIDE, 2);
    assert_ok(noise_open(&noise, NULL, 6033));
    noise_key(&noise, elevation_deg, number);
    pf_err err = sampler_begin(&s, &l->m, &in, (float)(elevation_deg * PF_PI / 180));
    if (!err)
        err = sampler_run(&s, &latents, &mo, &noise);
    if (!err)
        memcpy(out, latents.data, STATE * sizeof *out);
    pf_tensor_release(&latents);
    sampler_end(&s);
    noise_close(&noise);
    return err;
}

static void
run_with(float out[STATE], const struct maker *from, const struct pf_config *conf,
         double elevation_deg)
{
    struct loaded *l;
    assert_ok(load(&l, from, conf));
    assert_ok(sample_at(l, out, elevation_deg, 0));
    unload(l);
}

/* What most tests compare with: the model's sample at 30 degrees, made once. */
static const float *
usual(void)
{
    static float out[STATE];
    static bool made;
    if (!made)
        run_with(out, &maker, &small, 30);
    made = true;
    return out;
}

/* A copy of the model, to be changed. */
static void
copy_model(struct maker *to)
{
    for (int i = 0; i < maker.doc.tensors; i++)
        assert_ok(pf_doc_put(&to->doc, maker.doc.tensor[i].name, &maker.doc.tensor[i].t));
}

static int
setup(void **state)
{
    (void)state;
    pf_common.quiet = true;
    pf_common.device = test_device();           /* a plan's */
    pf_common.precision = "f32";
    make_model(&maker, &small);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    pf_doc_release(&maker.doc);
    return 0;
}

/* The same sums over another number of rows are the same bytes on a CPU; on a GPU other tiles add
 * in another order. */
static void
assert_same_sums(const float got[STATE], const float want[STATE])
{
    if (strcmp(test_device(), "cpu"))
        assert_true(check_rms(got, want, STATE) < 1e-5);
    else
        assert_memory_equal(got, want, STATE * sizeof *got);
}

/* Every view keeps its own mask and Pluecker map in both branches (no mixed-up rows), in any
 * batch. */
static void
test_batch_view_num_changes_nothing(void **state)
{
    float few[STATE];
    (void)state;
    for (int batch = 1; batch < V; batch++) {
        struct pf_config conf = small;
        conf.sampler.batch_view_num = batch;
        run_with(few, &maker, &conf, 30);
        assert_same_sums(few, usual());
    }
}

static void
test_same_seed_same_bytes(void **state)
{
    float again[STATE];
    (void)state;
    run_with(again, &maker, &small, 30);
    assert_memory_equal(again, usual(), sizeof again);
}

/* What else a run makes does not change a sample, also where a solver remembers; another elevation
 * or sample is another one. */
static void
samples_of(const char *solver)
{
    struct pf_config conf = small;
    struct loaded *l;
    float first[STATE], again[STATE], other[STATE];
    conf.sampler.name = solver;
    assert_ok(load(&l, &maker, &conf));
    assert_ok(sample_at(l, first, 30, 0));
    assert_ok(sample_at(l, other, -20, 0));
    assert_true(check_rms(other, first, STATE) > 1e-3);
    assert_ok(sample_at(l, other, 30, 1));
    assert_true(check_rms(other, first, STATE) > 1e-3);
    assert_ok(sample_at(l, again, 30, 0));
    assert_memory_equal(again, first, sizeof first);
    unload(l);
}

static void
test_samples_do_not_depend_on_each_other(void **state)
{
    (void)state;
    samples_of("ddim");
    samples_of("unipc");
}

/* The first step is the same for all without noise, and each goes on in its own way. */
static void
test_solvers_begin_alike(void **state)
{
    static const char *const name[] = {"ddim", "dpmpp-2m", "unipc"};
    float one[3][STATE], three[3][STATE];
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct pf_config conf = small;
        conf.sampler.name = name[i];
        conf.sampler.eta = 0;
        run_with(three[i], &maker, &conf, 30);
        conf.sampler.steps = 1;
        run_with(one[i], &maker, &conf, 30);
        assert_true(check_rms(one[i], one[0], STATE) < 1e-3);
        for (int k = 0; k < i; k++)
            assert_true(check_rms(three[i], three[k], STATE) > 2e-3);
    }
}

/* eps of both branches of a run with this cfg_scale, at the same x. */
static void
eps_with(float cond[STATE], float uncond[STATE], double cfg_scale)
{
    struct loaded *l;
    float clip[12], x[STATE], latent[Z * SIDE * SIDE];
    struct pf_config conf = small;
    struct sampler s;
    pf_tensor on_dev = {0}, c = {0}, u = {0}, first = PF_VIEW(x, PF_F32, V, Z, SIDE, SIDE),
              in = PF_VIEW(latent, PF_F32, 1, Z, SIDE, SIDE),
              out = PF_VIEW(cond, PF_F32, V, Z, SIDE, SIDE);
    conf.sampler.cfg_scale = cfg_scale;
    fill_uniform(clip, 12, 1);
    fill_uniform(x, STATE, 2);
    fill_uniform(latent, Z * SIDE * SIDE, 3);
    assert_ok(load(&l, &maker, &conf));
    assert_ok(sampler_begin(&s, &l->m, &(struct sampler_input){0.3f, 0, clip}, 0.5f));
    assert_ok(sampler_condition(&s, &in));
    assert_ok(PF_ALLOC(l->dev, &on_dev, PF_F32, V, SIDE, SIDE, Z));
    assert_ok(PF_ALLOC(l->dev, &c, PF_F32, V, SIDE, SIDE, Z));
    assert_ok(PF_ALLOC(l->dev, &u, PF_F32, V, SIDE, SIDE, Z));
    assert_ok(sampler_put(&l->m.run, &on_dev, &first));
    assert_ok(sampler_eps(&s, &c, &u, &on_dev, 500));
    assert_ok(sampler_get(&l->m.run, &out, &c));
    if (s.branches == 2) {
        out.data = uncond;
        assert_ok(sampler_get(&l->m.run, &out, &u));
    }
    sampler_end(&s);
    unload(l);
}

/* Scale 1 leaves the branch without condition away and gives the same conditional eps. */
static void
test_scale_1_is_the_conditional_branch_alone(void **state)
{
    float both[STATE], uncond[STATE], alone[STATE];
    (void)state;
    eps_with(both, uncond, 2);
    eps_with(alone, NULL, 1);
    assert_same_sums(alone, both);
    assert_true(check_rms(uncond, both, STATE) > 1e-2);
}

/* Scale every tensor whose name contains both words. */
static void
scale(struct maker *m, const char *word, const char *second, float factor)
{
    for (int i = 0; i < m->doc.tensors; i++)
        if (strstr(m->doc.tensor[i].name, word) && strstr(m->doc.tensor[i].name, second)) {
            float *p = m->doc.tensor[i].t.data;
            for (int64_t k = 0; k < pf_tensor_count(&m->doc.tensor[i].t); k++)
                p[k] *= factor;
        }
}

/* proj_out = 0 is skipped; proj_out = -0 is computed: both add nothing. */
static void
test_layer1_is_skipped_where_it_adds_nothing(void **state)
{
    struct maker zero = {0}, minus = {0};
    struct loaded *l;
    float skipped[STATE], computed[STATE];
    (void)state;
    copy_model(&zero);
    copy_model(&minus);
    scale(&zero, "layer1", "proj_out", 0);
    for (int i = 0; i < zero.doc.tensors; i++)          // 0 * -x is -0
        if (strstr(zero.doc.tensor[i].name, "layer1.proj_out"))
            memset(zero.doc.tensor[i].t.data, 0, pf_tensor_bytes(&zero.doc.tensor[i].t));
    scale(&minus, "layer1", "proj_out", 0);
    assert_ok(load(&l, &zero, &small));
    assert_false(unet_has_spad(&l->m.unet));
    unload(l);
    run_with(skipped, &zero, &small, 30);
    run_with(computed, &minus, &small, 30);
    assert_memory_equal(skipped, computed, sizeof skipped);
    assert_true(check_rms(usual(), skipped, STATE) > 1e-4);
    pf_doc_release(&zero.doc);
    pf_doc_release(&minus.doc);
}

/* SyncDreamer's names: x + out2 once, which is ours with layer1 off and half of layer2's output. */
static void
test_sync_dreamer_is_recognised(void **state)
{
    struct maker ours = {0}, theirs = {.sync_dreamer = true};
    float a[STATE], b[STATE];
    (void)state;
    copy_model(&ours);
    scale(&ours, "layer1", "proj_out", 0);
    scale(&ours, "layer2", "proj_out", 0.5f);
    make_model(&theirs, &small);
    run_with(a, &ours, &small, 30);
    run_with(b, &theirs, &small, 30);
    assert_memory_equal(a, b, sizeof a);
    pf_doc_release(&ours.doc);
    pf_doc_release(&theirs.doc);
}

/* Elevation 0, of the photo or the target, has finite cameras (the pole); so have the ends. */
static void
test_any_elevation_is_finite(void **state)
{
    static const double deg[] = {0, -89, 89, 10};       // 10 is the photo's own
    struct loaded *l;
    float out[STATE];
    (void)state;
    assert_ok(load(&l, &maker, &small));
    for (int i = 0; i < 4; i++) {
        assert_ok(sample_at(l, out, deg[i], 0));
        for (int k = 0; k < STATE; k++)
            assert_true(isfinite(out[k]));
    }
    unload(l);
}

static void
test_memory_does_not_grow_with_steps(void **state)
{
    size_t peak[2], kept[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct loaded *l;
        struct pf_config conf = small;
        float out[STATE];
        conf.sampler.steps = i ? 9 : 2;
        assert_ok(load(&l, &maker, &conf));
        assert_ok(sample_at(l, out, 30, 0));
        peak[i] = pf_dev_peak(l->dev);
        kept[i] = pf_dev_kept(l->dev);
        unload(l);
    }
    assert_int_equal(peak[0], peak[1]);
    assert_int_equal(kept[0], kept[1]);
}

/* All that pf-sample does for one photo. */
static void
run_all(struct loaded *l, int elevations)
{
    float clip[12] = {0};
    const struct sampler_input in = {.clip = clip};
    pf_tensor image, moments;
    struct noise noise;
    assert_ok(PF_TENSOR_NEW(&image, PF_F32, 3, 8 * SIDE, 8 * SIDE));
    fill_uniform(image.data, pf_tensor_count(&image), 1);
    assert_ok(noise_open(&noise, NULL, 6033));
    assert_ok(sampler_encode(&l->m, &moments, &image));
    for (int e = 0; e < elevations; e++) {
        struct sampler s;
        assert_ok(sampler_begin(&s, &l->m, &in, 0.2f * (float)e));
        for (int i = 0; i < l->m.conf.sampler.sample_num; i++) {
            pf_tensor latents, pictures;
            assert_ok(sampler_run(&s, &latents, &moments, &noise));
            assert_ok(sampler_decode(&l->m, &pictures, NULL, &latents));
            pf_tensor_release(&latents);
            pf_tensor_release(&pictures);
        }
        sampler_end(&s);
    }
    noise_close(&noise);
    pf_tensor_release(&image);
    pf_tensor_release(&moments);
}

/* To the byte, whatever the options.  So many views that the UNet takes more than the VAE does. */
static void
test_a_plan_is_what_the_run_takes(void **state)
{
    static const struct { int batch, cfg, samples, elevations, steps; } with[] = {
        {1, 2, 1, 1, 1}, {5, 1, 1, 2, 2}, {8, 2, 2, 1, 1}, {12, 2, 1, 1, 3}};
    /* The second has powers of two, its own, and all views. */
    static const int batches[] = {1, 2, 4, 5, 8, 12};
    struct maker twelve = {0};
    struct pf_config conf = small;
    size_t peak[4];
    (void)state;
    conf.model.view_num = 12;
    make_model(&twelve, &conf);
    for (int i = 0; i < 4; i++) {
        struct loaded *l;
        struct plan p;
        conf.sampler.batch_view_num = with[i].batch;
        conf.sampler.cfg_scale = with[i].cfg;
        conf.sampler.sample_num = with[i].samples;
        conf.sampler.steps = with[i].steps;
        assert_ok(load(&l, &twelve, &conf));
        assert_ok(plan_make(&p, l->weights, &conf));
        run_all(l, with[i].elevations);
        assert_int_equal(p.row[p.own].batch, with[i].batch);
        assert_int_equal(p.row[p.own].kept, pf_dev_kept(l->dev));
        assert_int_equal(p.row[p.own].peak, pf_dev_peak(l->dev));
        assert_int_equal(p.row[p.own].need, pf_dev_need(l->dev));
        assert_string_equal(p.device, pf_dev_name(l->dev));
        for (int b = 0; i == 1 && b < 6; b++)
            assert_int_equal(p.row[b].batch, batches[b]);
        assert_int_equal(p.n, i == 1 ? 6 : 5);
        peak[i] = p.row[p.own].peak;
        unload(l);
    }
    assert_true(peak[0] < peak[2] && peak[2] < peak[3]);
    pf_doc_release(&twelve.doc);
}

/* Where the run does not fit, the largest batch that does is named. */
static void
test_a_plan_that_does_not_fit_says_what_does(void **state)
{
    static const struct { size_t mb_free; const char *says; } want[] = {
        {0, NULL}, {400, NULL}, {399, "--batch-view-num 2 does, it needs 250.0 MB"},
        {249, "--batch-view-num 1 does, it needs 150.0 MB"},
        {149, "even --batch-view-num 1 needs 150.0 MB"}};
    struct plan p = {.device = "a card", .n = 3, .own = 2};
    (void)state;
    for (int i = 0; i < 3; i++)
        p.row[i] = (struct plan_row){1 << i, 50000000, 90000000,
                                     (size_t)(150 + 100 * i + 50 * (i == 2)) * 1000000};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char *text = NULL;
        size_t size;
        FILE *const to = open_memstream(&text, &size);
        assert_non_null(to);
        p.free = want[i].mb_free * 1000000;
        assert_ok(plan_print(&p, to));
        fclose(to);
        assert_non_null(strstr(text, "400.0 MB  this run"));
        assert_true((strstr(text, "free: a card") != NULL) == (p.free != 0));
        assert_true((strstr(text, "does not fit") != NULL) == (want[i].says != NULL));
        assert_true(!want[i].says || strstr(text, want[i].says));
        free(text);
    }
    FILE *const full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_fails(plan_print(&p, full), PF_EIO, "cannot write");
    fclose(full);
}

static void
test_pictures_are_clamped_and_truncated(void **state)
{
    struct loaded *l;
    float latents[STATE];
    const pf_tensor t = PF_VIEW(latents, PF_F32, V, Z, SIDE, SIDE);
    pf_tensor pictures, raw;
    (void)state;
    fill_uniform(latents, STATE, 4);
    assert_ok(load(&l, &maker, &small));
    assert_ok(sampler_decode(&l->m, &pictures, &raw, &t));
    const int64_t S = 8 * SIDE;
    for (int64_t v = 0; v < V; v++)
        for (int64_t p = 0; p < S * S; p++)
            for (int64_t c = 0; c < 3; c++) {
                const float x = ((float *)raw.data)[(v * 3 + c) * S * S + p];
                const int want = (int)((fmaxf(-1, fminf(x, 1)) + 1) * 0.5f * 255.0f);
                assert_int_equal(((uint8_t *)pictures.data)[(v * S * S + p) * 3 + c], want);
            }
    pf_tensor_release(&pictures);
    pf_tensor_release(&raw);
    unload(l);
}

/* A config of another size: the tensor and both shapes are named. */
static void
test_weights_of_another_size_are_refused(void **state)
{
    struct loaded *l;
    struct pf_config conf = small;
    (void)state;
    conf.unet.context_dim = 11;
    assert_fails(load(&l, &maker, &conf), PF_ESHAPE, "attn2.to_v.weight");
    assert_non_null(strstr(pf_error(), "10]"));
    assert_non_null(strstr(pf_error(), "11]"));
    unload(l);
}

static void
test_a_missing_tensor_is_named(void **state)
{
    struct maker m = {0};
    struct loaded *l;
    (void)state;
    copy_model(&m);
    pf_doc_drop(&m.doc, "spatial_volume.frustum_volume_feats.up1.v_conv.bias");
    assert_fails(load(&l, &m, &small), PF_EFORMAT, "frustum_volume_feats.up1.v_conv.bias");
    unload(l);
    pf_doc_release(&m.doc);
}

/* A transformer's norm that was missing had SyncDreamer's weights taken for ours, and the other way
 * round. */
static void
test_a_missing_norm_is_named_as_the_model_has_it(void **state)
{
    static const char *const missing[] = {"input_blocks.1.1.layer2.norm.weight",
                                          "input_blocks.1.1.norm.weight"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct maker m = {.sync_dreamer = i == 1};
        struct loaded *l;
        char name[200], words[250];
        make_model(&m, &small);
        snprintf(name, sizeof name, "model.diffusion_model.%s", missing[i]);
        pf_doc_drop(&m.doc, name);
        snprintf(words, sizeof words, "has no tensor %s", name);
        assert_fails(load(&l, &m, &small), PF_EFORMAT, words);
        unload(l);
        pf_doc_release(&m.doc);
    }
}

static void
put_alphas(struct maker *m, pf_dtype dtype, const float values[DDIM_TIMES])
{
    pf_tensor t;
    assert_ok(PF_TENSOR_NEW(&t, dtype, DDIM_TIMES));
    pf_from_f32(t.data, values, dtype, DDIM_TIMES);
    assert_ok(pf_doc_put(&m->doc, "alphas_cumprod", &t));
    pf_tensor_release(&t);
}

/* A checkpoint stored wholly in BF16 was refused: "alphas_cumprod[0] is 1".  In F16, and widened
 * again, it would have been a coarser schedule. */
static void
test_rounded_tables_are_computed_again(void **state)
{
    static const pf_dtype types[] = {PF_BF16, PF_F16};
    float formula[DDIM_TIMES], rounded[DDIM_TIMES];
    uint16_t half[DDIM_TIMES];
    struct maker m = {0};
    struct loaded *l;
    (void)state;
    ddim_alphas(formula);
    copy_model(&m);
    for (int i = 0; i < 4; i++) {
        pf_from_f32(half, formula, types[i % 2], DDIM_TIMES);
        pf_to_f32(rounded, half, types[i % 2], DDIM_TIMES);
        put_alphas(&m, i < 2 ? types[i] : PF_F32, rounded);
        assert_ok(load(&l, &m, &small));
        assert_memory_equal(l->m.alphas_cumprod, formula, sizeof formula);
        unload(l);
    }
    for (int i = 0; i < DDIM_TIMES; i++)                // another schedule: the checkpoint's counts
        rounded[i] = 0.9f * formula[i];
    put_alphas(&m, PF_F32, rounded);
    assert_ok(load(&l, &m, &small));
    assert_memory_equal(l->m.alphas_cumprod, rounded, sizeof rounded);
    unload(l);
    rounded[7] = 1;
    put_alphas(&m, PF_F32, rounded);
    assert_fails(load(&l, &m, &small), PF_EFORMAT, "alphas_cumprod[7] is 1");
    unload(l);
    pf_doc_release(&m.doc);
}

static void
test_sizes_that_do_not_divide_are_refused(void **state)
{
    struct loaded *l;
    struct pf_config conf = small;
    (void)state;
    conf.model.image_size = 72;
    assert_fails(load(&l, &maker, &conf), PF_EARG, "image_size is 72");
    unload(l);
}

static void
test_damaged_weights_stop_the_first_step(void **state)
{
    struct maker m = {0};
    struct loaded *l;
    float out[STATE];
    (void)state;
    copy_model(&m);
    scale(&m, "out.2.bias", "diffusion_model", NAN);
    assert_fails(load(&l, &m, &small), PF_EFORMAT, "is not finite");
    unload(l);
    pf_doc_release(&m.doc);
    copy_model(&m);
    scale(&m, "out.2.", "diffusion_model", 1e38f);      // finite; what it gives is not
    assert_ok(load(&l, &m, &small));
    assert_fails(sample_at(l, out, 30, 0), PF_EFORMAT,  // a GPU is asked once, at the end
                 strcmp(test_device(), "cpu") ? "is not finite" : "step 1 of 3");
    unload(l);
    pf_doc_release(&m.doc);
}

/* Counts that do not divide 1000 still give so many rising times below 1000. */
static void
test_any_number_of_steps(void **state)
{
    static const int counts[] = {1, 3, 7, 30, 999, 1000};
    static struct ddim d;
    float alphas[DDIM_TIMES];
    (void)state;
    ddim_alphas(alphas);
    for (int i = 0; i < 6; i++) {
        assert_ok(ddim_times(&d, counts[i], "even"));
        ddim_schedule(&d, alphas, 1, false);
        assert_int_equal(d.steps, counts[i]);
        for (int k = 0; k < counts[i]; k++) {
            assert_true(d.t[k] < DDIM_TIMES && (!k || d.t[k] > d.t[k - 1]));
            assert_true(isfinite(d.c[k].sigma) && d.c[k].dir > 0 && d.c[k].sqrt_a > 0);
        }
    }
}

/* Step counts that do not divide 1000 gave another list than SyncDreamer's: every 1000 // S-th
 * time, plus 1. */
static void
test_original_timesteps(void **state)
{
    static const struct { int steps, n, last; } lists[] = {
        {1, 1, 1}, {50, 50, 981}, {30, 31, 991}, {31, 32, 993}, {60, 63, 993},
        {200, 200, 996}, {400, 500, 999},
    };
    static const int beyond[] = {27, 300, 501, 999};        // 1000 is no time
    static struct ddim d;
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_ok(ddim_times(&d, lists[i].steps, "original"));
        assert_int_equal(d.steps, lists[i].n);
        assert_int_equal(d.t[0], 1);
        assert_int_equal(d.t[d.steps - 1], lists[i].last);
        for (int k = 1; k < d.steps; k++)
            assert_int_equal(d.t[k] - d.t[k - 1], DDIM_TIMES / lists[i].steps);
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        assert_fails(ddim_times(&d, beyond[i], "original"), PF_EARG, "ends at time 1000");
    assert_ok(ddim_times(&d, 30, "even"));
    assert_int_equal(d.steps, 30);
}

/* From the last time on, whatever the steps; all thousand are all times. */
static void
test_trailing_timesteps(void **state)
{
    static struct ddim d;
    (void)state;
    for (int steps = 1; steps <= DDIM_TIMES; steps++) {
        assert_ok(ddim_times(&d, steps, "trailing"));
        assert_int_equal(d.steps, steps);
        assert_int_equal(d.t[steps - 1], DDIM_TIMES - 1);
        for (int k = 1; k < steps; k++)
            assert_true(abs((d.t[k] - d.t[k - 1]) * steps - DDIM_TIMES) < steps);
    }
    assert_int_equal(d.t[0], 0);
    assert_ok(ddim_times(&d, 3, "trailing"));
    assert_int_equal(d.t[0], 332);
    assert_int_equal(d.t[1], 666);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_view_num_changes_nothing),
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_samples_do_not_depend_on_each_other),
        cmocka_unit_test(test_solvers_begin_alike),
        cmocka_unit_test(test_scale_1_is_the_conditional_branch_alone),
        cmocka_unit_test(test_layer1_is_skipped_where_it_adds_nothing),
        cmocka_unit_test(test_sync_dreamer_is_recognised),
        cmocka_unit_test(test_any_elevation_is_finite),
        cmocka_unit_test(test_memory_does_not_grow_with_steps),
        cmocka_unit_test(test_a_plan_is_what_the_run_takes),
        cmocka_unit_test(test_a_plan_that_does_not_fit_says_what_does),
        cmocka_unit_test(test_pictures_are_clamped_and_truncated),
        cmocka_unit_test(test_weights_of_another_size_are_refused),
        cmocka_unit_test(test_a_missing_tensor_is_named),
        cmocka_unit_test(test_a_missing_norm_is_named_as_the_model_has_it),
        cmocka_unit_test(test_rounded_tables_are_computed_again),
        cmocka_unit_test(test_sizes_that_do_not_divide_are_refused),
        cmocka_unit_test(test_damaged_weights_stop_the_first_step),
        cmocka_unit_test(test_any_number_of_steps),
        cmocka_unit_test(test_original_timesteps),
        cmocka_unit_test(test_trailing_timesteps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
