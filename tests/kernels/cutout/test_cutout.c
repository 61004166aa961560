/* The networks that cut out, against the originals' numbers (golden/background) and by what must
 * hold without them; on a GPU where PF_TEST_DEVICE says so. */
#include "kernels/cutout/cutout.h"

#include "tests/kernels/cutout/golden_units.h"
#include "tests/kernels/cutout/on_device.h"
#include "tests/kernels/cutout/random_cutout.h"

static void
load_on(pf_cutout *net, const char *name, const char *device, const char *precision)
{
    struct random_cutout r;
    pf_checkpoint *w;
    reopen_dev(device, precision);
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

static pf_err
see(void *user, const char *name, const pf_tensor *t)
{
    struct golden *const g = user;
    expect_statistics(g, name, t);
    g->units++;
    return PF_OK;
}

static void
compare(const char *net_name, const char *file, const char *mask_name, int units)
{
    pf_doc doc = {0};
    pf_cutout net;
    pf_tensor mask;
    int64_t n;
    golden_open(&doc, file);
    struct golden g = {.doc = &doc, .tolerance = 1e-5};
    load(&net, net_name);
    pf_tensor pixels = golden_pixels(&doc, "input");
    const pf_tensor input = PF_VIEW(pixels.data, PF_F32, 1, pixels.dim[0], pixels.dim[1], 3);
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
    pf_tensor_release(&pixels);
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

static void
test_any_size_gives_a_mask_of_it(void **state)
{
    static const int64_t size[][2] = {{1, 1}, {33, 2}, {40, 56}};
    pf_cutout net;
    (void)state;
    load(&net, "u2netp");
    assert_int_equal(net.kind, PF_U2NETP);
    for (int i = 0; i < 3; i++) {
        pf_tensor input = noise_picture(size[i][0], size[i][1]), mask;
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
    pf_tensor input = noise_picture(40, 24), mask;
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
    pf_tensor input = noise_picture(40, 24), mask, again;
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
        pf_tensor input = noise_picture(201, 157), want, mask;
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
