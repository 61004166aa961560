/* TRACER-B7 and FBA matting, and all that carvekit does around them, against its numbers
 * (golden/background). */
#include "kernels/cutout/carvekit.h"

#include "kernels/cutout/tracer.h"
#include "kernels/cutout/trimap.h"
#include "tests/kernels/cutout/golden_units.h"
#include "tests/kernels/cutout/on_device.h"
#include "tests/kernels/cutout/random_fba.h"
#include "tests/kernels/cutout/random_tracer.h"
#include "tests/tools/golden.h"

/* ---- TRACER ---- */

static pf_err
see_tracer(void *user, const char *name, const pf_tensor *t)
{
    struct golden *const g = user;
    const bool late = !strncmp(name, "ObjectAttention", 15) || !strcmp(name, "D0");
    g->tolerance = late ? 2e-5 : 1e-5;
    g->units++;
    if (!strcmp(name, "agg.UAM.spatial")) {
        expect_map(g, "agg.UAM.spatial_q", t, 0);
        expect_map(g, "agg.UAM.spatial_k", t, 1);
        expect_map(g, "agg.UAM.spatial_v", t, 2);
        return PF_OK;
    }
    expect_map(g, !strcmp(name, "ObjectAttention2")   ? "D1"
                  : !strcmp(name, "ObjectAttention1") ? "D2"
                                                      : name, t, 0);
    if (strcmp(name, "ObjectAttention1") && strcmp(name, "ObjectAttention2"))
        expect_statistics(g, strcmp(name, "D0") ? name : "agg", t);
    return PF_OK;
}

/* The weights of r, for a device that holds nothing yet. */
static pf_checkpoint *
weights_of(const struct random_cutout *r)
{
    pf_checkpoint *w;
    reopen_dev(test_device(), "f32");
    assert_ok(pf_checkpoint_open_memory(&w, r->bytes, r->size, "random"));
    return w;
}

/* Shrunk with a filter as wide as it must be, and enlarged. */
static void
test_the_picture_is_prepared_as_the_original_does(void **state)
{
    static const struct {
        const char *name;
        int side, step;
    } sizes[] = {{"tracer.carvekit.64.input_antialias", 64, 1},
                 {"tracer.carvekit.640.input_every8", 640, 8}};
    pf_image photo = golden_picture("photo.png");
    pf_doc doc = {0};
    pf_tensor input;
    (void)state;
    golden_open(&doc, "background/preprocess.safetensors");
    for (int i = 0; i < 2; i++) {
        const int side = sizes[i].side;
        assert_ok(pf_carvekit_prepare(&input, &photo, side));
        const double error = most_apart(&doc, sizes[i].name, input.data, side, 3, sizes[i].step);
        printf("# %s: %.2e\n", sizes[i].name, error);
        assert_true(error <= 1e-5);
        pf_tensor_release(&input);
    }
    pf_doc_release(&doc);
    pf_image_release(&photo);
}

/* The networks in full take seconds: make check-long. */
static void
need_time(void)
{
    if (!getenv("PF_LONG"))
        skip();
}

static void
test_tracer_is_the_original(void **state)
{
    need_time();
    pf_image photo = golden_picture("photo.png"), bytes = golden_picture("tracer-mask-640.png");
    pf_tensor input, mask;
    pf_doc doc = {0};
    pf_tracer net;
    struct random_cutout r;
    int off = 0;
    (void)state;
    golden_open(&doc, "background/tracer-640.safetensors");
    struct golden g = {.doc = &doc};
    random_tracer(&r);
    pf_checkpoint *const w = weights_of(&r);
    assert_true(pf_tracer_recognise(w));
    assert_ok(pf_tracer_load(&net, dev, w));
    pf_checkpoint_close(w);
    random_release(&r);
    assert_ok(pf_carvekit_prepare(&input, &photo, PF_TRACER_SIDE));
    const double prepared = most_apart(&doc, "input_every4", input.data, 640, 3, 4);
    assert_ok(pf_tracer_run(dev, &net, &mask, &input, &(struct pf_cutout_watch){see_tracer, &g}));
    const double error = most_apart(&doc, "mask_every2", mask.data, 640, 1, 2);
    for (int i = 0; i < 640 * 640; i++) {
        const int d = abs((int)(255 * ((float *)mask.data)[i]) -
                          bytes.pixel[(size_t)i * bytes.channels]);
        assert_true(d <= 1);
        off += d;
    }
    printf("# tracer-640: input %.2e, units rel %.2e at %s, mask %.2e, %d bytes off by 1\n",
           prepared, g.worst, g.where, error, off);
    assert_int_equal(g.units, 55 + 3 + 2 + 1 + 6 + 1 + 1 + 2);
    assert_true(prepared <= 1e-5 && error <= 5e-5);
    pf_tracer_release(&net);
    pf_tensor_release(&input);
    pf_tensor_release(&mask);
    pf_doc_release(&doc);
    pf_image_release(&photo);
    pf_image_release(&bytes);
}

/* ---- all of it ---- */

/* How many bytes differ, how many of them by more than most, and by how much all do in the mean. */
struct apart {
    int off, far;
    double mean;
};

static struct apart
bytes_apart(const pf_image *got, const pf_image *want, int most)
{
    struct apart a = {0};
    const size_t n = pf_image_bytes(want);
    assert_int_equal(pf_image_bytes(got), n);
    for (size_t i = 0; i < n; i++) {
        const int d = abs(got->pixel[i] - want->pixel[i]);
        a.off += d > 0;
        a.far += d > most;
        a.mean += d / (double)n;
    }
    return a;
}

/* Trimap and colours from what the original had before them. */
static void
test_the_steps_between_are_the_originals(void **state)
{
    static const char *const runs[] = {"full", "givenmask"};
    pf_doc doc = {0};
    (void)state;
    golden_open(&doc, "background/chain.safetensors");
    for (int i = 0; i < 2; i++) {
        char name[48];
        pf_image photo = golden_picture("photo.png"), trimap;
        snprintf(name, sizeof name, "chain-%s.png", runs[i]);
        pf_image rgba = golden_picture(name);
        snprintf(name, sizeof name, "%s.mask", runs[i]);
        pf_image mask = golden_grey(&doc, name);
        snprintf(name, sizeof name, "%s.trimap", runs[i]);
        pf_image want = golden_grey(&doc, name);
        snprintf(name, sizeof name, "%s.alpha", runs[i]);
        pf_image alpha = golden_grey(&doc, name);
        assert_ok(pf_trimap(&trimap, &mask, 231, 30, 5));
        assert_int_equal(bytes_apart(&trimap, &want, 0).off, 0);
        pf_carvekit_colours(&photo, &alpha);
        for (size_t k = 0; k < pf_image_bytes(&rgba); k++)
            assert_int_equal(rgba.pixel[k], k % 4 == 3 ? alpha.pixel[k / 4]
                                                       : photo.pixel[k / 4 * 3 + k % 4]);
        pf_image *const all[] = {&photo, &trimap, &rgba, &mask, &want, &alpha};
        for (int k = 0; k < 6; k++)
            pf_image_release(all[k]);
    }
    pf_doc_release(&doc);
}

static void
test_the_whole_is_the_original(void **state)
{
    need_time();
    pf_image photo = golden_picture("photo.png"), mask;
    pf_doc doc = {0};
    struct random_cutout r;
    pf_tensor input, share;
    pf_tracer tracer;
    pf_fba net;
    (void)state;
    golden_open(&doc, "background/chain.safetensors");
    pf_image want_mask = golden_grey(&doc, "full.mask"), want = golden_grey(&doc, "full.alpha");
    random_tracer(&r);
    pf_checkpoint *w = weights_of(&r);
    assert_ok(pf_tracer_load(&tracer, dev, w));
    assert_ok(pf_carvekit_prepare(&input, &photo, PF_TRACER_SIDE));
    assert_ok(pf_tracer_run(dev, &tracer, &share, &input, NULL));
    pf_tracer_release(&tracer);
    pf_tensor_release(&input);
    assert_ok(pf_carvekit_mask(&mask, &share, photo.width, photo.height));
    pf_checkpoint_close(w);
    random_release(&r);
    const struct apart first = bytes_apart(&mask, &want_mask, 1);
    random_fba(&r, NULL);
    w = weights_of(&r);
    assert_ok(pf_fba_load(&net, dev, w));
    pf_checkpoint_close(w);
    random_release(&r);
    assert_ok(pf_carvekit_matting(&mask, &photo, dev, &net, false));
    const struct apart last = bytes_apart(&mask, &want, 2);
    printf("# chain full: %d mask bytes differ, %d by more than 1; %d alpha bytes, %d by more than "
           "2, mean %.4f\n", first.off, first.far, last.off, last.far, last.mean);
    assert_int_equal(first.far, 0);
    assert_true(last.mean < 1);
    pf_image_release(&photo);
    pf_image_release(&mask);
    pf_image_release(&want_mask);
    pf_image_release(&want);
    pf_tensor_release(&share);
    pf_doc_release(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_picture_is_prepared_as_the_original_does),
        cmocka_unit_test(test_tracer_is_the_original),
        cmocka_unit_test(test_the_steps_between_are_the_originals),
        cmocka_unit_test(test_the_whole_is_the_original),
    };
    return cmocka_run_group_tests(tests, open_dev, close_dev);
}
