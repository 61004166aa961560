/* Networks that cut out from ONNX models of the kinds that people have: the same bytes as from the
 * safetensors file of the same weights. */
#include "kernels/cutout/cutout.h"
#include "tests/kernels/cutout/on_device.h"
#include "tests/kernels/cutout/random_onnx.h"

/* The mask of a small picture by the weights in these bytes. */
static void
mask_of(pf_tensor *mask, const void *bytes, size_t size, enum pf_cutout_kind kind)
{
    pf_tensor input = noise_picture(24, 40);
    pf_checkpoint *w;
    pf_cutout net;
    reopen_dev("cpu", NULL);
    assert_ok(pf_checkpoint_open_memory(&w, bytes, size, "model"));
    assert_ok(pf_cutout_load(&net, dev, w));
    pf_checkpoint_close(w);
    assert_int_equal(net.kind, kind);
    assert_ok(pf_cutout_run(dev, &net, mask, &input, NULL));
    pf_tensor_release(&input);
}

/* However an exporter left the norms and the names. */
static void
test_onnx_models_give_the_same_bytes(void **state)
{
    struct random_cutout r;
    pf_tensor want, mask;
    (void)state;
    random_cutout(&r, "u2netp");
    mask_of(&want, r.bytes, r.size, PF_U2NETP);
    for (enum onnx_style style = ONNX_NORMS; style <= ONNX_NAMELESS; style++) {
        struct onnx_bytes model = random_onnx(&r, style);
        mask_of(&mask, model.at, model.n, PF_U2NETP);
        assert_memory_equal(mask.data, want.data, pf_tensor_bytes(&want));
        pf_tensor_release(&mask);
        free(model.at);
    }
    pf_tensor_release(&want);
    random_release(&r);
}

/* Some norms are there and one is not: it was lost, not folded. */
static void
test_a_norm_that_is_missing_is_told(void **state)
{
    static const char name[] = "stage2.rebnconv3d.bn_s1.";
    struct random_cutout r;
    pf_checkpoint *w;
    pf_cutout net;
    char *at;
    (void)state;
    random_cutout(&r, "u2netp");
    while ((at = memmem(r.bytes, r.size, name, sizeof name - 1)))
        at[7] = 'R';
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "lacking"));
    assert_fails(pf_cutout_load(&net, dev, w), PF_EFORMAT,
                 "has no tensor stage2.rebnconv3d.bn_s1.weight");
    pf_checkpoint_close(w);
    random_release(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx_models_give_the_same_bytes),
        cmocka_unit_test(test_a_norm_that_is_missing_is_told),
    };
    return cmocka_run_group_tests(tests, open_dev, close_dev);
}
