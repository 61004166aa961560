/* The small golden model, piece by piece and end to end (golden/README.md, tiny/).  Every
 * comparison prints what it measured.  The whole run of 50 steps only where $PF_LONG is set. */
// uses: tools/pf-sample/network.c tools/pf-sample/dump.c tools/pf-sample/vae.c
// uses: tools/pf-sample/volume.c tools/pf-sample/transformer.c tools/pf-sample/depth_transformer.c
// uses: tools/pf-sample/unet.c tools/pf-sample/ddim.c tools/pf-sample/multistep.c
// uses: tools/pf-sample/noise.c
// uses: tools/pf-sample/rig.c tools/pf-sample/model.c tools/pf-sample/sampler.c
// uses: tools/pf-clip-embed/vit.c
#include <unistd.h>

#include "common/camera.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/progress.h"
#include "tests/tools/golden.h"
#include "tools/pf-clip-embed/vit.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/sampler.h"

enum { V = 16, Z = 4, SIDE = 32, LATENT = Z * SIDE * SIDE, STATE = V * LATENT };

static pf_dev *dev;
static pf_checkpoint *weights;
static struct model model;
static struct sampler sampler;
static struct dump dump = {.view = 3, .row = -1};
static pf_doc encode, step1, activations, states, decoded;
static pf_tensor moments;
static bool missing;                    /* no golden data */

/* Load the model and prepare the run that the data come from. */
static int
setup(void **state)
{
    char path[512];
    float clip[64];
    int64_t n;
    (void)state;
    pf_common.quiet = true;
    /* Sanitizers take minutes a step; test_sampler runs the same code. */
    const char *const sanitizers = getenv("PF_SAN");
    if ((sanitizers && *sanitizers) ||
        access(golden_path(path, "tiny/weights.safetensors"), R_OK) != 0) {
        missing = true;
        return 0;
    }
    assert_ok(pf_config_load(&pf_conf, "tests/data/tiny/config.yaml"));
    assert_ok(pf_dev_open(&dev, test_device(), "f32"));
    assert_ok(pf_checkpoint_open(&weights, path));
    assert_ok(model_load(&model, dev, weights, &pf_conf));
    golden_open(&encode, "tiny/encode.safetensors");
    golden_open(&step1, "tiny/step1.safetensors");
    golden_open(&activations, "tiny/step1-view3-activations.safetensors");
    golden_open(&states, "tiny/states.safetensors");
    golden_open(&decoded, "tiny/decoded.safetensors");
    float *embed = golden_floats(&encode, "clip_embed", &n);
    memcpy(clip, embed, sizeof clip);
    free(embed);
    const struct sampler_input in = {(float)(20 * (PF_PI / 180)), 0, clip};
    assert_ok(sampler_begin(&sampler, &model, &in, (float)(50 * (PF_PI / 180))));
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    if (missing)
        return 0;
    sampler_end(&sampler);
    pf_tensor_release(&moments);
    pf_doc_release(&dump.doc);
    pf_doc_release(&encode);
    pf_doc_release(&step1);
    pf_doc_release(&activations);
    pf_doc_release(&states);
    pf_doc_release(&decoded);
    pf_dev_close(dev);
    pf_checkpoint_close(weights);
    return 0;
}

static void
need_golden(void)
{
    if (missing)
        skip();
}

/* The golden photo as the stream has it: channels first. */
static pf_tensor
photo(void)
{
    pf_tensor t;
    int64_t n;
    float *p = golden_floats(&encode, "input_image", &n);
    assert_ok(PF_TENSOR_NEW(&t, PF_F32, 3, 256, 256));
    channels_first(t.data, p, 1, 256 * 256, 3);
    free(p);
    return t;
}

static void
test_clip_embedding(void **state)
{
    static struct vit vit;
    pf_tensor image, input, clip;
    int64_t n;
    (void)state;
    need_golden();
    image = photo();
    assert_ok(vit_load(&vit, dev, weights, &pf_conf));
    assert_ok(vit_preprocess(&input, &image, 224));
    float *want = golden_floats(&encode, "clip_preprocessed", &n);
    assert_near((float *)input.data, want, n, 2e-4);
    assert_ok(vit_embed(dev, &clip, &vit, &input));
    golden_compare(clip.data, &encode, "clip_embed", 0, 64, 1e-4);
    free(want);
    pf_tensor_release(&image);
    pf_tensor_release(&input);
    pf_tensor_release(&clip);
}

/* OpenAI's file holds the same encoder. */
static void
test_clip_from_its_own_file(void **state)
{
    static struct vit vit;
    char path[512];
    pf_checkpoint *own;
    pf_dev *d;
    pf_tensor image, input, clip;
    (void)state;
    need_golden();
    image = photo();
    assert_ok(pf_dev_open(&d, test_device(), "f32"));
    assert_ok(pf_checkpoint_open(&own, golden_path(path, "tiny/clip-jit.pt")));
    assert_ok(vit_load(&vit, d, own, &pf_conf));
    assert_ok(vit_preprocess(&input, &image, 224));
    assert_ok(vit_embed(d, &clip, &vit, &input));
    golden_compare(clip.data, &encode, "clip_embed", 0, 64, 1e-4);
    pf_tensor_release(&image);
    pf_tensor_release(&input);
    pf_tensor_release(&clip);
    pf_dev_close(d);
    pf_checkpoint_close(own);
}

/* The encoder against the float64 values; the posterior's sample. */
static void
test_vae_encoder(void **state)
{
    pf_tensor image, eps, latent;
    float first[2][LATENT];
    (void)state;
    need_golden();
    image = photo();
    model.run.dump = &dump;
    assert_ok(sampler_encode(&model, &moments, &image));
    model.run.dump = NULL;
    golden_compare(pf_doc_get(&dump.doc, "vae_encoder_out")->data, &encode, "vae_encoder_out", 0,
                   2 * LATENT, 1e-4);
    channels_first(first[0], moments.data, 1, SIDE * SIDE, 2 * Z);
    golden_compare(first[0], &encode, "vae_moments_mean", 0, LATENT, 1e-4);
    golden_compare(first[1], &encode, "vae_moments_logvar", 0, LATENT, 1e-4);
    assert_ok(PF_TENSOR_NEW(&eps, PF_F32, 1, Z, SIDE, SIDE));
    assert_ok(PF_TENSOR_NEW(&latent, PF_F32, 1, Z, SIDE, SIDE));
    golden_noise(eps.data, LATENT, 7001, 0);
    assert_ok(sampler_latent(&model, &latent, &moments, &eps));
    golden_compare(latent.data, &encode, "x_input_float64_vae", 0, LATENT, 1e-4);
    pf_tensor_release(&image);
    pf_tensor_release(&eps);
    pf_tensor_release(&latent);
}

static void
test_view_embedding(void **state)
{
    int64_t n;
    (void)state;
    need_golden();
    float *want = golden_floats(&encode, "v_embed", &n);
    assert_near((float *)sampler.views.embed.data, want, n, 2e-7);
    free(want);
}

/* Give the steps the input latent that the golden run used. */
static void
condition(void)
{
    pf_tensor latent = *pf_doc_get(&encode, "x_input");
    assert_ok(sampler_condition(&sampler, &latent));
}

/* A state [1, 16, 4, 32, 32] of states.safetensors as [16, 4, 32, 32]. */
static pf_tensor
golden_state(const char *name)
{
    const pf_tensor *t = pf_doc_get(&states, name);
    assert_non_null(t);
    return PF_VIEW(t->data, PF_F32, V, Z, SIDE, SIDE);
}

static void
step_noise(pf_tensor *noise, int number)
{
    golden_noise(noise->data, STATE, 7001, 8192 + (uint64_t)STATE * (uint64_t)number);
}

static void
compare_dump(const pf_doc *golden, const char *name, double rel)
{
    const pf_tensor *t = pf_doc_get(&dump.doc, name);
    if (!t)
        fail_msg("%s was not dumped", name);
    golden_compare(t->data, golden, name, 0, pf_tensor_count(t), rel);
}

/* One step from a state of the golden run: its eps, and the state that it leads to.  Dumps under
 * step<number>. */
static void
compare_step(int number, const char *from, const char *to)
{
    const pf_tensor start = golden_state(from);
    char eps[32];
    pf_tensor x, noise;
    assert_ok(pf_tensor_copy(&x, &start));
    assert_ok(PF_TENSOR_NEW(&noise, PF_F32, V, Z, SIDE, SIDE));
    step_noise(&noise, number);
    assert_ok(sampler_put(&model.run, &sampler.noise, &noise));
    assert_ok(sampler_put(&model.run, &sampler.x, &x));
    model.run.dump = &dump;
    assert_ok(sampler_step(&sampler, 50 - number));
    model.run.dump = NULL;
    assert_ok(sampler_get(&model.run, &x, &sampler.x));
    snprintf(eps, sizeof eps, "step%d.eps", number);
    compare_dump(&states, eps, 5e-5);
    golden_compare(x.data, &states, to, 0, STATE, 5e-5);
    pf_tensor_release(&x);
    pf_tensor_release(&noise);
}

/* The first step: what every network makes on the way, and the second from its own state. */
static void
test_first_two_steps(void **state)
{
    (void)state;
    need_golden();
    const size_t mark = pf_dev_mark(dev);
    condition();
    compare_step(1, "x_T", "step1.x_prev");
    compare_dump(&states, "step1.eps_cond", 5e-5);
    compare_dump(&states, "step1.eps_uncond", 5e-5);
    compare_step(2, "step1.x_prev", "step2.x_prev");
    pf_dev_reset(dev, mark);
}

static void
test_volumes_of_the_first_step(void **state)
{
    static const char *const whole[] = {
        "t_embed", "spatial_volume", "view3.target_encoder_out", "view3.frustum_16",
        "view3.frustum_8", "view3.frustum_4", "view3.unet_output_cond", "view3.unet_output_uncond",
    };
    int64_t n;
    (void)state;
    need_golden();
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        compare_dump(&step1, whole[i], 5e-5);
    static const int plane[] = {0, 16, 47};
    static const char *const ours[] = {"view3.frustum_input", "view3.frustum_32"};
    static const char *const theirs[] = {"view3.frustum_input_planes_0_16_47",
                                         "view3.frustum_32_planes_0_16_47"};
    for (int k = 0; k < 2; k++) {
        float three[16][3][1024], *all = golden_floats(&dump.doc, ours[k], &n);
        for (int c = 0; c < 16; c++)
            for (int p = 0; p < 3; p++)
                memcpy(three[c][p], all + (c * 48 + plane[p]) * 1024, sizeof three[c][p]);
        golden_compare(three[0][0], &step1, theirs[k], 0, 16 * 3 * 1024, 5e-5);
        free(all);
    }
    float *f16 = golden_floats(&dump.doc, "view3.frustum_32", &n);
    golden_compare(f16, &step1, "view3.frustum_32_f16", 0, n, 1e-3);
    free(f16);
}

static void
test_activations_of_the_first_step(void **state)
{
    (void)state;
    need_golden();
    for (int i = 0; i < activations.tensors; i++)
        compare_dump(&activations, activations.tensor[i].name,
                     activations.tensor[i].t.dtype == PF_F16 ? 1e-3 : 5e-5);
}

/* The last two steps, each from the golden run's state. */
static void
test_last_two_steps(void **state)
{
    (void)state;
    need_golden();
    const size_t mark = pf_dev_mark(dev);
    condition();
    compare_step(49, "step49.x_in", "step49.x_prev");
    compare_step(50, "step49.x_prev", "final_latents");
    pf_dev_reset(dev, mark);
}

/* Bytes of V pictures [V, 256, 256, 3] against the strip 0.png. */
static void
compare_strip(const pf_tensor *pictures, double *psnr, int *worst)
{
    char path[512];
    pf_image strip;
    double square = 0;
    assert_ok(pf_image_read(&strip, golden_path(path, "tiny/0.png")));
    *worst = 0;
    for (int v = 0; v < V; v++)
        for (int y = 0; y < 256; y++)
            for (int i = 0; i < 768; i++) {
                const int d = ((uint8_t *)pictures->data)[(v * 256 + y) * 768 + i] -
                              strip.pixel[(y * V + v) * 768 + i];
                square += (double)d * d;
                *worst = abs(d) > *worst ? abs(d) : *worst;
            }
    *psnr = square > 0 ? 10 * log10(255.0 * 255.0 / (square / (V * 256.0 * 768.0))) : 999;
    pf_image_release(&strip);
}

static void
test_decoder(void **state)
{
    pf_tensor pictures, raw, latents;
    float center[3][64][64];
    double psnr;
    int worst;
    (void)state;
    need_golden();
    latents = golden_state("final_latents");
    assert_ok(sampler_decode(&model, &pictures, &raw, &latents));
    const float *p = raw.data;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 64; y++)
            memcpy(center[c][y], p + (c * 256 + 96 + y) * 256 + 96, sizeof center[c][y]);
    int64_t n;
    float *want = golden_floats(&decoded, "view0_f32_center", &n);
    printf("# view0_f32_center rel %.2e\n", check_rel(center[0][0], want, n));
    assert_near(center[0][0], want, n, 1e-4);
    free(want);
    for (int i = 0; i < 4; i++)
        golden_compare(p + 5 * i * 3 * 65536, &decoded, "views_0_5_10_15", i * 3 * 65536,
                       3 * 65536, 1e-3);
    compare_strip(&pictures, &psnr, &worst);
    printf("# 0.png: PSNR %.1f dB, worst %d counts\n", psnr, worst);
    assert_true(worst <= 1);
    pf_tensor_release(&pictures);
    pf_tensor_release(&raw);
}

/* All 50 steps from x_T; the input latent from our own encoder and the adjusted noise. */
static void
test_whole_run(void **state)
{
    static const struct {
        int step;
        double rms;
    } check[] = {{10, 1e-4}, {20, 3e-4}, {30, 5e-4}, {40, 8e-4}};
    pf_tensor x, noise, latent, image, pictures;
    double psnr, slowest = 0;
    int64_t n;
    int worst;
    (void)state;
    need_golden();
    if (!getenv("PF_LONG"))
        skip();
    const size_t mark = pf_dev_mark(dev);
    image = photo();
    pf_tensor_release(&moments);
    assert_ok(sampler_encode(&model, &moments, &image));
    pf_tensor eps = *pf_doc_get(&encode, "posterior_noise_adjusted");
    assert_ok(PF_TENSOR_NEW(&latent, PF_F32, 1, Z, SIDE, SIDE));
    assert_ok(sampler_latent(&model, &latent, &moments, &eps));
    golden_compare(latent.data, &encode, "x_input", 0, LATENT, 1e-5);
    assert_ok(sampler_condition(&sampler, &latent));
    const pf_tensor first = golden_state("x_T");
    assert_ok(PF_TENSOR_NEW(&noise, PF_F32, V, Z, SIDE, SIDE));
    assert_ok(pf_tensor_copy(&x, &first));
    assert_ok(sampler_put(&model.run, &sampler.x, &x));
    const double start = pf_seconds();
    for (int number = 1; number <= 50; number++) {
        const double began = pf_seconds();
        step_noise(&noise, number);
        assert_ok(sampler_put(&model.run, &sampler.noise, &noise));
        assert_ok(sampler_step(&sampler, 50 - number));
        slowest = fmax(slowest, pf_seconds() - began);
        for (int i = 0; i < 4; i++) {
            char name[64];
            if (check[i].step != number)
                continue;
            snprintf(name, sizeof name, "chain.x_after_step%d", number);
            float *want = golden_floats(&states, name, &n);
            assert_ok(sampler_get(&model.run, &x, &sampler.x));
            printf("# %s rms %.2e of %.0e\n", name, check_rms(x.data, want, n), check[i].rms);
            assert_rms((float *)x.data, want, n, check[i].rms);
            free(want);
        }
    }
    printf("# 50 steps in %.1f s, the slowest %.2f s\n", pf_seconds() - start, slowest);
    assert_ok(sampler_get(&model.run, &x, &sampler.x));
    float *want = golden_floats(&states, "final_latents", &n);
    psnr = golden_psnr(x.data, want, n);
    printf("# final_latents rms %.2e rel %.2e PSNR %.1f dB\n", check_rms(x.data, want, n),
           check_rel(x.data, want, n), psnr);
    assert_rms((float *)x.data, want, n, 1e-3);
    assert_rel((float *)x.data, want, n, 5e-3);
    assert_true(psnr >= 70);
    assert_ok(sampler_decode(&model, &pictures, NULL, &x));
    compare_strip(&pictures, &psnr, &worst);
    printf("# 0.png: PSNR %.1f dB, worst %d counts\n", psnr, worst);
    assert_true(psnr >= 50);
    free(want);
    pf_tensor_release(&image);
    pf_tensor_release(&latent);
    pf_tensor_release(&noise);
    pf_tensor_release(&x);
    pf_tensor_release(&pictures);
    pf_dev_reset(dev, mark);
}

static void
test_schedule(void **state)
{
    static const int counts[] = {50, 20, 200};
    static struct ddim d;
    float alphas[DDIM_TIMES];
    pf_doc doc = {0};
    int64_t n;
    (void)state;
    golden_open(&doc, "schedule/schedule.safetensors");
    ddim_alphas(alphas);
    float *want = golden_floats(&doc, "alphas_cumprod", &n);
    for (int i = 0; i < DDIM_TIMES; i++)
        assert_true(alphas[i] == want[i]);
    free(want);
    for (int k = 0; k < 3; k++) {
        static const char *const part[] = {"timesteps", "sigmas", "sqrt_one_minus_alphas", "alphas",
                                           "alphas_prev"};
        assert_ok(ddim_times(&d, counts[k], "even"));
        ddim_schedule(&d, alphas, 1.0, false);
        for (int p = 0; p < 5; p++) {
            char name[64];
            snprintf(name, sizeof name, "ddim%d.%s", counts[k], part[p]);
            want = golden_floats(&doc, name, &n);
            assert_int_equal(n, counts[k]);
            for (int i = 0; i < n; i++) {
                const struct pf_ddim_coefficients *c = &d.c[i];
                const double got[] = {d.t[i], c->sigma, c->sqrt_one_minus_a,
                                      (double)c->sqrt_a * c->sqrt_a,
                                      (double)c->sqrt_a_prev * c->sqrt_a_prev};
                if (!(fabs(got[p] / want[i] - 1) <= (p ? 2e-6 : 0)))
                    fail_msg("%s[%d] is %.9g, expected %.9g", name, i, got[p], want[i]);
            }
            free(want);
        }
    }
    want = golden_floats(&doc, "timestep_embedding.t", &n);
    float *dim320 = golden_floats(&doc, "timestep_embedding.dim320", &n), got[320];
    for (int i = 0; i < 6; i++) {
        ddim_sinusoid(got, 320, (int)want[i]);
        assert_near(got, dim320 + 320 * i, 320, 2e-6);
    }
    free(want);
    free(dim320);
    pf_doc_release(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_clip_embedding),
        cmocka_unit_test(test_clip_from_its_own_file),
        cmocka_unit_test(test_vae_encoder),
        cmocka_unit_test(test_view_embedding),
        cmocka_unit_test(test_first_two_steps),
        cmocka_unit_test(test_volumes_of_the_first_step),
        cmocka_unit_test(test_activations_of_the_first_step),
        cmocka_unit_test(test_last_two_steps),
        cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_whole_run),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
