/* FBA matting and what stands before and behind it, against the original's numbers
 * (golden/background) and by definition. */
#include "kernels/cutout/matting.h"

#include "tests/kernels/cutout/golden_units.h"
#include "tests/kernels/cutout/on_device.h"
#include "tests/kernels/cutout/random_fba.h"
#include "tests/tools/golden.h"

static pf_fba net;

/* The network of all tests here. */
static int
load_net(void **state)
{
    struct random_cutout r;
    pf_checkpoint *w;
    assert_int_equal(open_dev(state), 0);
    random_fba(&r, NULL);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "fba"));
    assert_true(pf_fba_recognise(w));
    assert_ok(pf_fba_load(&net, dev, w));
    pf_checkpoint_close(w);
    random_release(&r);
    return 0;
}

/* ---- the network ---- */

static pf_err
see(void *user, const char *name, const pf_tensor *t)
{
    struct golden *const g = user;
    const bool raw = !strcmp(name, "decoder.conv_up4");
    g->units++;
    g->by_rms = !raw;
    g->tolerance = raw ? 3e-5 : 1e-5;
    expect_map(g, raw ? "raw" : name, t, 0);
    expect_statistics(g, name, t);
    return PF_OK;
}

static void
test_the_network_is_the_original(void **state)
{
    pf_doc doc = {0};
    pf_tensor output;
    (void)state;
    golden_open(&doc, "background/fba-128x96.safetensors");
    struct golden g = {.doc = &doc};
    struct pf_fba_input input = {golden_pixels(&doc, "image"), golden_pixels(&doc, "two_channel"),
                                 golden_pixels(&doc, "distance")};
    pf_tensor want = golden_pixels(&doc, "output");
    assert_ok(pf_fba_run(dev, &net, &output, &input, &(struct pf_cutout_watch){see, &g}));
    assert_int_equal(g.units, 1 + 16 + 4 + 4);
    const int64_t n = pf_tensor_count(&want);
    const double rms = check_rms(output.data, want.data, n);
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)((float *)output.data)[i] - ((float *)want.data)[i]));
    printf("# fba-128x96: units %.2e at %s; output rms %.2e, most %.2e\n", g.worst, g.where, rms,
           most);
    assert_true(rms <= 1e-5 && most <= 1e-3);
    pf_tensor_release(&output);
    pf_tensor_release(&want);
    pf_fba_input_release(&input);
    pf_doc_release(&doc);
}

static void
test_other_files_are_refused(void **state)
{
    struct random_cutout r;
    pf_checkpoint *w;
    pf_fba other;
    (void)state;
    random_fba(&r, "decoder.conv_up5");
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "more"));
    assert_fails(pf_fba_load(&other, dev, w), PF_EFORMAT, "holds 198 tensors, FBA matting has 197");
    pf_checkpoint_close(w);
    /* as many as there should be, but not those */
    random_release(&r);
    r = (struct random_cutout){0};
    random_named(&r, "decoder.conv_up4.4", "weight", 7, 16, 1);
    for (int i = 1; i < 197; i++) {
        char name[16];
        snprintf(name, sizeof name, "other%d", i);
        random_named(&r, name, "weight", 1, 0, 0);
    }
    random_write(&r, NULL, NULL);
    assert_ok(pf_checkpoint_open_memory(&w, r.bytes, r.size, "lacking"));
    assert_fails(pf_fba_load(&other, dev, w), PF_EFORMAT, "encoder.conv1.weight");
    pf_checkpoint_close(w);
    random_release(&r);
}

/* ---- before it ---- */

static void
test_distances_are_exact(void **state)
{
    enum { W = 41, H = 29 };
    uint8_t pixel[W * H];
    float d[W * H];
    bool found;
    (void)state;
    for (int rare = 1; rare < 2000; rare *= 4) {
        for (int i = 0; i < W * H; i++)
            pixel[i] = golden_word((uint64_t)rare, (uint64_t)i) % (uint64_t)rare ? 9 : 0;
        pixel[5 * W + 7] = 0;
        assert_ok(pf_distance(d, &found, pixel, W, H));
        assert_true(found);
        for (int i = 0; i < W * H; i++) {
            int least = 1 << 30;
            for (int k = 0; k < W * H; k++) {
                const int x = k % W - i % W, y = k / W - i / W;
                if (!pixel[k] && x * x + y * y < least)
                    least = x * x + y * y;
            }
            assert_true(d[i] == (float)sqrt(least));
        }
    }
    memset(pixel, 1, sizeof pixel);
    assert_ok(pf_distance(d, &found, pixel, W, H));
    assert_false(found);
}

static void
test_distances_are_the_originals(void **state)
{
    static const char *const names[] = {"soft_default", "edge_small", "nofg"};
    pf_doc doc = {0};
    (void)state;
    golden_open(&doc, "background/fba-encode.safetensors");
    for (int i = 0; i < 3; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s.dt_input", names[i]);
        const pf_tensor *const in = pf_doc_get(&doc, name);
        snprintf(name, sizeof name, "%s.dt", names[i]);
        const pf_tensor *const want = pf_doc_get(&doc, name);
        assert_true(in && want);
        const int64_t n = in->dim[1] * in->dim[2];
        float *const d = malloc((size_t)n * sizeof *d);
        for (int k = 0; k < 2; k++) {
            bool found;
            assert_ok(pf_distance(d, &found, (uint8_t *)in->data + k * n, (int)in->dim[2],
                                  (int)in->dim[1]));
            assert_int_equal(found, i < 2 || k == 0);
            if (found)
                assert_near(d, (float *)want->data + k * n, n, 1e-5);
        }
        free(d);
    }
    pf_doc_release(&doc);
}

/* Sides that are no multiples of 8. */
static void
test_trimaps_are_encoded_as_the_original_does(void **state)
{
    static const char *const names[] = {"soft_default", "edge_small", "nofg"};
    pf_doc doc = {0};
    struct pf_fba_input input;
    (void)state;
    golden_open(&doc, "background/fba-encode.safetensors");
    for (int i = 0; i < 3; i++) {
        char name[48];
        pf_image photo;
        snprintf(name, sizeof name, "%s.trimap", names[i]);
        pf_image trimap = golden_grey(&doc, name);
        assert_ok(pf_image_new(&photo, trimap.width, trimap.height, 3));
        assert_ok(pf_matting_encode(&input, &photo, &trimap));
        snprintf(name, sizeof name, "%s.two_channel", names[i]);
        const double certain = most_apart(&doc, name, input.certain.data, input.certain.dim[1], 2,
                                          1);
        snprintf(name, sizeof name, "%s.distance", names[i]);
        const double distance = most_apart(&doc, name, input.distance.data, input.certain.dim[1],
                                           6, 1);
        printf("# fba-encode %s: trimap %.2e, distances %.2e\n", names[i], certain, distance);
        assert_true(certain <= 5e-7 && distance <= 4e-6);
        pf_fba_input_release(&input);
        pf_image_release(&photo);
        pf_image_release(&trimap);
    }
    pf_doc_release(&doc);
}

static void
test_photos_are_encoded_as_the_original_does(void **state)
{
    pf_image photo = golden_picture("photo.png"), trimap;
    struct pf_fba_input input;
    pf_doc doc = {0};
    (void)state;
    golden_open(&doc, "background/fba-encode.safetensors");
    assert_ok(pf_image_new(&trimap, photo.width, photo.height, 1));
    assert_ok(pf_matting_encode(&input, &photo, &trimap));
    assert_int_equal(input.image.dim[1], 208);
    assert_int_equal(input.image.dim[0], 152);
    assert_true(most_apart(&doc, "photo.bgr_208x152", input.image.data, 208, 3, 1) <= 5e-7);
    pf_fba_input_release(&input);
    pf_image_release(&photo);
    pf_image_release(&trimap);
    pf_doc_release(&doc);
}

static void
test_trimaps_of_another_size_are_refused(void **state)
{
    pf_image photo, trimap;
    struct pf_fba_input input;
    (void)state;
    assert_ok(pf_image_new(&photo, 40, 40, 3));
    assert_ok(pf_image_new(&trimap, 40, 41, 1));
    assert_fails(pf_matting_encode(&input, &photo, &trimap), PF_ESHAPE, "does not suit a photo");
    pf_image_release(&photo);
    pf_image_release(&trimap);
}

/* ---- the whole, from a mask on ---- */

static void
test_the_chain_is_the_original(void **state)
{
    pf_image photo = golden_picture("photo.png"), alpha;
    pf_doc doc = {0};
    (void)state;
    golden_open(&doc, "background/chain.safetensors");
    pf_image trimap = golden_grey(&doc, "givenmask.trimap");
    pf_image want = golden_grey(&doc, "givenmask.alpha");
    assert_ok(pf_matting(dev, &net, &alpha, NULL, &photo, &trimap));
    int off = 0, far = 0;
    for (size_t i = 0; i < pf_image_bytes(&alpha); i++) {
        const int d = abs(alpha.pixel[i] - want.pixel[i]);
        off += d > 0;
        far += d > 2;
    }
    printf("# chain givenmask: %d of %zu alpha bytes differ, %d of them by more than 2\n", off,
           pf_image_bytes(&alpha), far);
    assert_true(far <= (int)pf_image_bytes(&alpha) / 1000);
    pf_image_release(&photo);
    pf_image_release(&alpha);
    pf_image_release(&trimap);
    pf_image_release(&want);
    pf_doc_release(&doc);
}

/* The network sees a photo that is too large at 2048 pixels. */
static void
test_large_photos_are_shrunk(void **state)
{
    enum { W = 3 * 2048, H = 3 * 8 };   /* every third pixel is the middle of one there */
    pf_image photo, trimap, small, small_trimap, got, before;
    struct pf_fba_input input;
    pf_tensor output;
    (void)state;
    assert_ok(pf_image_new(&photo, W, H, 3));
    assert_ok(pf_image_new(&trimap, W, H, 1));
    for (int i = 0; i < 3 * W * H; i++)
        photo.pixel[i] = (uint8_t)golden_word(1, (uint64_t)i);
    for (int i = 0; i < W * H; i++)
        trimap.pixel[i] = i % W < 2048 ? 0 : i % W < 4096 ? 127 : 255;
    assert_ok(pf_image_new(&before, W, H, 3));
    memcpy(before.pixel, photo.pixel, pf_image_bytes(&photo));
    assert_ok(pf_matting(dev, &net, &got, &photo, &photo, &trimap));
    assert_ok(pf_image_resize(&small, &before, 2048, 8));
    assert_ok(pf_image_resize(&small_trimap, &trimap, 2048, 8));
    assert_ok(pf_matting_encode(&input, &small, &small_trimap));
    assert_ok(pf_fba_run(dev, &net, &output, &input, NULL));
    pf_fba_input_release(&input);
    int between = 0;
    for (int i = 0; i < W * H; i++) {
        const int x = i % W, y = i / W, a = got.pixel[i];
        between += a > 0 && a < 255;
        assert_true(x >= 2048 || a == 0);
        if (x >= 2048 && x % 3 == 1 && y % 3 == 1) {
            const float *const want = (float *)output.data + 7 * (y / 3 * 2048 + x / 3);
            assert_int_equal(a, want[0] < 0.3f ? 0 : (int)(255 * want[0]));
            for (int c = 0; c < 3 && a > 0 && a < 255; c++)
                assert_int_equal(photo.pixel[3 * i + c], (int)(255 * want[3 - c] + 0.5f));
        }
        if (a == 0 || a == 255)
            assert_memory_equal(photo.pixel + 3 * i, before.pixel + 3 * i, 3);
    }
    assert_true(got.width == W && got.height == H && between > 100);
    pf_image *const all[] = {&photo, &trimap, &small, &small_trimap, &got, &before};
    for (int k = 0; k < 6; k++)
        pf_image_release(all[k]);
    pf_tensor_release(&output);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_network_is_the_original),
        cmocka_unit_test(test_other_files_are_refused),
        cmocka_unit_test(test_distances_are_exact),
        cmocka_unit_test(test_distances_are_the_originals),
        cmocka_unit_test(test_trimaps_are_encoded_as_the_original_does),
        cmocka_unit_test(test_photos_are_encoded_as_the_original_does),
        cmocka_unit_test(test_trimaps_of_another_size_are_refused),
        cmocka_unit_test(test_the_chain_is_the_original),
        cmocka_unit_test(test_large_photos_are_shrunk),
    };
    return cmocka_run_group_tests(tests, load_net, close_dev);
}
