/* The networks that cut out, against the originals' numbers (golden/background) and by what must
 * hold without them; on a GPU where PF_TEST_DEVICE says so. */
#include "kernels/cutout/cutout.h"

#include "tests/kernels/cutout/random_cutout.h"

static pf_dev *dev;

static int
open_dev(void **state)
{
    (void)state;
    return pf_dev_open(&dev, test_device(), "f32");
}

static int
close_dev(void **state)
{
    (void)state;
    pf_dev_close(dev);
    return 0;
}

/* Reopen: layers live as long as their device. */
static void
load_on(pf_cutout *net, const char *name, const char *device, const char *precision)
{
    struct random_cutout r;
    pf_checkpoint *w;
    pf_dev_close(dev);
    assert_ok(pf_dev_open(&dev, device, precision));
    random_cutout(&r, name);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, name));
    assert_ok(pf_cutout_load(net, dev, w));
    pf_checkpoint_close(w);
    random_release(&r);
}

static void
load(pf_cutout *net, const char *name)
{
    load_on(net, name, test_device(), "f32");
}

/* ---- the original's numbers ---- */

enum { CHANNELS_MAX = 512 };
struct golden {
    const pf_doc *doc;
    int units;                  /* that were compared */
    double worst;
    char where[96];
};

static void
expect_statistic(struct golden *g, const char *what, const char *unit, const float *got, int64_t C)
{
    char name[96];
    int64_t n;
    snprintf(name, sizeof name, "%s.%s", what, unit);
    float *want = golden_floats(g->doc, name, &n);
    assert_int_equal(n, C);
    const double e = check_rel(got, want, n);
    if (!(e <= g->worst)) {
        g->worst = e;
        snprintf(g->where, sizeof g->where, "%s", name);
    }
    if (!(e <= 1e-5))
        fail_msg("%s: max error %.3g of the largest value, allowed 1e-5", name, e);
    free(want);
}

/* Mean and root mean square over all pixels. */
static pf_err
see(void *user, const char *name, const pf_tensor *t)
{
    struct golden *const g = user;
    const int64_t C = t->dim[3], pixels = t->dim[1] * t->dim[2];
    const float *const x = t->data;
    float mean[CHANNELS_MAX], rms[CHANNELS_MAX];
    for (int64_t c = 0; c < C; c++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < pixels; i++) {
            sum += x[i * C + c];
            square += (double)x[i * C + c] * x[i * C + c];
        }
        mean[c] = (float)(sum / (double)pixels);
        rms[c] = (float)sqrt(square / (double)pixels);
    }
    expect_statistic(g, "rms", name, rms, C);
    /* a mean may be near 0 where its terms are not: it is measured by the rms */
    char full[96];
    int64_t n;
    snprintf(full, sizeof full, "mean.%s", name);
    float *want = golden_floats(g->doc, full, &n);
    assert_int_equal(n, C);
    float most = 0;
    for (int64_t c = 0; c < C; c++)
        most = fmaxf(most, rms[c]);
    assert_near(mean, want, n, 1e-5 * most);
    free(want);
    g->units++;
    return PF_OK;
}

/* [1, 3, H, W] to [1, H, W, 3]. */
static pf_tensor
golden_picture(const pf_doc *doc)
{
    const pf_tensor *const from = pf_doc_get(doc, "input");
    pf_tensor to;
    assert_non_null(from);
    const int64_t H = from->dim[2], W = from->dim[3];
    assert_ok(PF_TENSOR_NEW(&to, PF_F32, 1, H, W, 3));
    for (int64_t i = 0; i < H * W * 3; i++)
        ((float *)to.data)[i] = ((const float *)from->data)[i % 3 * H * W + i / 3];
    return to;
}

static void
compare(const char *net_name, const char *file, const char *mask_name, int units)
{
    pf_doc doc = {0};
    pf_cutout net;
    pf_tensor mask;
    int64_t n;
    golden_open(&doc, file);
    struct golden g = {.doc = &doc};
    load(&net, net_name);
    pf_tensor input = golden_picture(&doc);
    assert_ok(pf_cutout_run(dev, &net, &mask, &input, &(struct pf_cutout_watch){see, &g}));
    assert_int_equal(g.units, units);
    float *want = golden_floats(&doc, mask_name, &n);
    assert_int_equal(n, pf_tensor_count(&mask));
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(((float *)mask.data)[i] - want[i]));
    printf("# %-36s units rel %.2e at %s, mask %.2e\n", file, g.worst, g.where, most);
    assert_near((float *)mask.data, want, n, 1e-5);
    free(want);
    pf_tensor_release(&input);
    pf_tensor_release(&mask);
    pf_doc_release(&doc);
}

/* 112 units, 11 stages, 6 sides, and outconv or conv_in. */
static void
test_u2netp_is_the_original(void **state)
{
    (void)state;
    compare("u2netp", "background/u2netp-320.safetensors", "d0", 130);
}

static void
test_odd_sizes_are_the_originals(void **state)
{
    (void)state;
    compare("u2netp", "background/u2netp-67x101.safetensors", "d0", 130);
}

static void
test_u2net_is_the_original(void **state)
{
    (void)state;
    compare("u2net", "background/u2net-160.safetensors", "d0", 130);
}

static void
test_isnet_is_the_original(void **state)
{
    (void)state;
    compare("isnet", "background/isnet-256.safetensors", "d1", 130);
}

/* ---- without them ---- */

static pf_tensor
picture(int64_t H, int64_t W)
{
    pf_tensor t;
    assert_ok(PF_TENSOR_NEW(&t, PF_F32, 1, H, W, 3));
    fill_uniform(t.data, pf_tensor_count(&t), 5);
    return t;
}

static void
test_any_size_gives_a_mask_of_it(void **state)
{
    static const int64_t size[][2] = {{1, 1}, {33, 2}, {40, 56}};
    pf_cutout net;
    (void)state;
    load(&net, "u2netp");
    assert_int_equal(net.kind, PF_U2NETP);
    for (int i = 0; i < 3; i++) {
        pf_tensor input = picture(size[i][0], size[i][1]), mask;
        assert_ok(pf_cutout_run(dev, &net, &mask, &input, NULL));
        assert_true(pf_tensor_is(&mask, PF_F32, 2, size[i]));
        assert_ok(pf_tensor_expect_range(&mask, "mask", 0, 1, "0 to 1"));
        pf_tensor_release(&mask);
        pf_tensor_release(&input);
    }
}

/* ReLU and max pool made it a number, and the mask a bad one. */
static void
test_what_is_no_number_is_told(void **state)
{
    pf_cutout net;
    pf_tensor input = picture(40, 24), mask;
    (void)state;
    load(&net, "u2netp");
    ((float *)input.data)[3 * (20 * 24 + 12)] = NAN;
    assert_fails(pf_cutout_run(dev, &net, &mask, &input, NULL), PF_EFORMAT,
                 "the network's output is not finite");
    pf_tensor_release(&input);
}

static void
test_two_runs_give_the_same_bytes(void **state)
{
    pf_cutout net;
    pf_tensor input = picture(40, 24), mask, again;
    (void)state;
    load(&net, "u2netp");
    assert_ok(pf_cutout_run(dev, &net, &mask, &input, NULL));
    assert_ok(pf_cutout_run(dev, &net, &again, &input, NULL));
    assert_memory_equal(mask.data, again.data, pf_tensor_bytes(&mask));
    pf_tensor_release(&mask);
    pf_tensor_release(&again);
    pf_tensor_release(&input);
}

/* ---- CUDA ---- */

static double
mean_difference(const pf_tensor *a, const pf_tensor *b)
{
    double sum = 0;
    for (int64_t i = 0; i < pf_tensor_count(a); i++)
        sum += fabs((double)((float *)a->data)[i] - ((float *)b->data)[i]);
    return sum / (double)pf_tensor_count(a);
}

/* Each network at a size of odd maps, in every precision, against the CPU's mask. */
static void
test_cuda_masks_are_near_the_cpus(void **state)
{
    static const char *const nets[] = {"u2netp", "u2net", "isnet"};
    static const struct {
        const char *name;
        double most;
    } precision[] = {{"f32", 1e-5}, {"tf32", 4e-3}, {"f16", 4e-3}, {"bf16", 3e-2}};
    pf_dev *gpu = NULL;
    (void)state;
    if (pf_dev_open(&gpu, "cuda", "f32") != PF_OK) {
        print_message("# %s\n", pf_error());
        skip();
    }
    pf_dev_close(gpu);
    for (int n = 0; n < 3; n++) {
        pf_tensor input = picture(201, 157), want, mask;
        pf_cutout net;
        load_on(&net, nets[n], "cpu", "f32");
        assert_ok(pf_cutout_run(dev, &net, &want, &input, NULL));
        for (int p = 0; p < 4; p++) {
            load_on(&net, nets[n], "cuda", precision[p].name);
            assert_ok(pf_cutout_run(dev, &net, &mask, &input, NULL));
            const double d = mean_difference(&mask, &want);
            print_message("# %s in %s: masks differ by %.2e in the mean\n", nets[n],
                          precision[p].name, d);
            assert_true(d <= precision[p].most);
            pf_tensor_release(&mask);
        }
        pf_tensor_release(&want);
        pf_tensor_release(&input);
    }
}

static void
test_other_files_are_refused(void **state)
{
    struct random_cutout r;
    pf_checkpoint *w;
    pf_cutout net;
    (void)state;
    assert_ok(pf_checkpoint_open(&w, "tests/data/checkpoint/small.ckpt"));
    assert_fails(pf_cutout_load(&net, dev, w), PF_EFORMAT, "holds no network that cuts out");
    pf_checkpoint_close(w);
    random_cutout(&r, "u2netp");
    char *const at = memmem(r.bytes, r.size, "stage5d.rebnconv2d.bn_s1.bias", 29);
    assert_non_null(at);
    at[28] = 'z';
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "lacking"));
    assert_fails(pf_cutout_load(&net, dev, w), PF_EFORMAT, "stage5d.rebnconv2d.bn_s1.bias");
    pf_checkpoint_close(w);
    random_release(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u2netp_is_the_original),
        cmocka_unit_test(test_odd_sizes_are_the_originals),
        cmocka_unit_test(test_u2net_is_the_original),
        cmocka_unit_test(test_isnet_is_the_original),
        cmocka_unit_test(test_any_size_gives_a_mask_of_it),
        cmocka_unit_test(test_what_is_no_number_is_told),
        cmocka_unit_test(test_two_runs_give_the_same_bytes),
        cmocka_unit_test(test_cuda_masks_are_near_the_cpus),
        cmocka_unit_test(test_other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, open_dev, close_dev);
}
