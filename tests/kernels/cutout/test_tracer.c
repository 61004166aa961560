/* TRACER-B7 by what must hold without the original's numbers; test_carvekit.c has those. */
#include "kernels/cutout/tracer.h"

#include "tests/kernels/cutout/on_device.h"
#include "tests/kernels/cutout/random_tracer.h"

/* Of weights that are all 0 each map is 0, and the share of the object one half. */
static void
test_a_network_of_zeros_says_one_half(void **state)
{
    static const int64_t size[] = {64, 96};
    struct random_cutout r;
    pf_checkpoint *w;
    pf_tracer net;
    pf_tensor mask, input = noise_picture(64, 96), odd = noise_picture(64, 48);
    (void)state;
    random_tracer_names(&r);
    random_write(&r, NULL, NULL);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "zeros"));
    assert_true(pf_tracer_recognise(w));
    assert_ok(pf_tracer_load(&net, dev, w));
    pf_checkpoint_close(w);
    random_release(&r);
    assert_ok(pf_tracer_run(dev, &net, &mask, &input, NULL));
    assert_true(pf_tensor_is(&mask, PF_F32, 2, size));
    for (int64_t k = 0; k < pf_tensor_count(&mask); k++)
        assert_true(((float *)mask.data)[k] == 0.5f);
    pf_tensor_release(&mask);
    assert_fails(pf_tracer_run(dev, &net, &mask, &odd, NULL), PF_ESHAPE,
                 "multiples of 32, not 48 x 64");
    pf_tensor_release(&input);
    pf_tensor_release(&odd);
    pf_tracer_release(&net);
}

static void
test_files_that_lack_something_are_refused(void **state)
{
    struct random_cutout r = {0};
    pf_checkpoint *w;
    pf_tracer net;
    (void)state;
    random_part(&r, "encoder", "_conv_stem.weight", 64, 3, 3, 3);
    random_norm(&r, "encoder", "_bn0", 64);
    random_write(&r, random_tracer_gain, NULL);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "lacking"));
    assert_fails(pf_tracer_load(&net, dev, w), PF_EFORMAT,
                 "encoder._blocks.0._depthwise_conv.weight");
    pf_checkpoint_close(w);
    /* the variances come last */
    const float negative = -1;
    memcpy(r.bytes + r.size - sizeof negative, &negative, sizeof negative);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "negative"));
    assert_fails(pf_tracer_load(&net, dev, w), PF_EFORMAT, "_bn0.running_var has a negative");
    pf_checkpoint_close(w);
    random_release(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_network_of_zeros_says_one_half),
        cmocka_unit_test(test_files_that_lack_something_are_refused),
    };
    return cmocka_run_group_tests(tests, open_dev, close_dev);
}
