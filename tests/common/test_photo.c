/* What photos bring along: EXIF orientation, colour profiles, animations, formats of other
 * programs; and that none of it is believed.  The blocks are put around the fixtures here. */
#include "tests/check.h"

#include <jpeglib.h>
#include <lcms2.h>
#include <zlib.h>

#include "common/image_format.h"

#define IMAGES "tests/data/images/"

/* ---- bytes ---- */

struct bytes {
    uint8_t data[1 << 15];
    size_t size;
};

static void
put(struct bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* n bytes of v, the lowest first unless big. */
static void
put_number(struct bytes *b, uint32_t v, int n, bool big)
{
    for (int i = 0; i < n; i++)
        put(b, &(uint8_t){(uint8_t)(v >> 8 * (big ? n - 1 - i : i))}, 1);
}

static struct bytes
file(const char *name)
{
    char path[200];
    struct bytes b;
    snprintf(path, sizeof path, IMAGES "%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.size = fread(b.data, 1, sizeof b.data, f);
    fclose(f);
    return b;
}

/* An EXIF block with a make, an orientation and a resolution unit. */
static struct bytes
exif(int orientation, bool big)
{
    const int tags[][2] = {{0x10f, 'x'}, {0x112, orientation}, {0x128, 2}};
    struct bytes b = {.size = 0};
    put(&b, big ? "MM\0*" : "II*\0", 4);
    put_number(&b, 8, 4, big);
    put_number(&b, 3, 2, big);
    for (int i = 0; i < 3; i++) {
        put_number(&b, (uint32_t)tags[i][0], 2, big);
        put_number(&b, i ? 3 : 2, 2, big);
        put_number(&b, 1, 4, big);
        put_number(&b, (uint32_t)tags[i][1], 2, big);
        put_number(&b, 0, 2, big);
    }
    put_number(&b, 0, 4, big);
    return b;
}

/* A PNG with one more chunk: behind IHDR, or before IEND. */
static struct bytes
png_with(const struct bytes *png, const char *type, const struct bytes *data, bool last)
{
    const size_t at = last ? png->size - 12 : 33;
    struct bytes b = {.size = 0}, chunk = {.size = 0};
    put(&chunk, type, 4);
    put(&chunk, data->data, data->size);
    put(&b, png->data, at);
    put_number(&b, (uint32_t)data->size, 4, true);
    put(&b, chunk.data, chunk.size);
    put_number(&b, (uint32_t)crc32(0, chunk.data, (uInt)chunk.size), 4, true);
    put(&b, png->data + at, png->size - at);
    return b;
}

/* A JPEG with one more segment, before all others. */
static struct bytes
jpeg_with(const struct bytes *jpeg, int marker, const char *mark, int n, const struct bytes *data)
{
    struct bytes b = {.size = 0};
    put(&b, jpeg->data, 2);
    put_number(&b, 0xff00u | (unsigned)marker, 2, true);
    put_number(&b, (uint32_t)(2 + n + data->size), 2, true);
    put(&b, mark, n);
    put(&b, data->data, data->size);
    put(&b, jpeg->data + 2, jpeg->size - 2);
    return b;
}

static void
put_chunk(struct bytes *b, const char *type, const struct bytes *data)
{
    put(b, type, 4);
    put_number(b, (uint32_t)data->size, 4, false);
    put(b, data->data, data->size);
    if (data->size & 1)
        put(b, "", 1);
}

enum { ANIMATED = 2, WITH_EXIF = 8, WITH_ALPHA = 16, WITH_ICC = 32 };

/* The lossless fixture, 13 x 9, in the extended container: on a canvas, with a profile, with EXIF;
 * in an animation as the frame at (2, 4). */
static struct bytes
webp_with(unsigned flags, int width, int height, const struct bytes *icc, const struct bytes *after)
{
    const struct bytes simple = file("flag_lossless.webp");
    struct bytes b = {.size = 0}, part = {.size = 0};
    put(&b, "RIFF\0\0\0\0WEBP", 12);
    put_number(&part, flags | WITH_ALPHA, 4, false);
    put_number(&part, (uint32_t)width - 1, 3, false);
    put_number(&part, (uint32_t)height - 1, 3, false);
    put_chunk(&b, "VP8X", &part);
    if (icc)
        put_chunk(&b, "ICCP", icc);
    if (flags & ANIMATED) {
        part.size = 0;
        put(&part, "\0\0\0\0\0\0", 6);        /* background, loops */
        put_chunk(&b, "ANIM", &part);
        part.size = 0;
        for (int i = 0; i < 5; i++) /* half of x and y, width - 1 and height - 1, duration */
            put_number(&part, (uint32_t[]){1, 2, 12, 8, 100}[i], 3, false);
        put(&part, "\2", 1);
        put(&part, simple.data + 12, simple.size - 12);
        put_chunk(&b, "ANMF", &part);
    } else {
        put(&b, simple.data + 12, simple.size - 12);
    }
    if (after)
        put_chunk(&b, "EXIF", after);
    const struct bytes all = b;
    b.size = 4;
    put_number(&b, (uint32_t)all.size - 8, 4, false);
    b.size = all.size;
    return b;
}

static pf_image
read_bytes(const struct bytes *b)
{
    pf_image image;
    assert_ok(pf_image_read_memory(&image, b->data, b->size, "photo"));
    return image;
}

static pf_image
read_plain(const char *name)
{
    const struct bytes b = file(name);
    return read_bytes(&b);
}

/* ---- orientation ---- */

/* EXIF's eight ways to store a picture, by its standard: where row 0 and column 0 are seen. */
static const char *const seen[9] = {NULL, "012|345", "210|543", "543|210", "345|012",
                                    "03|14|25", "30|41|52", "52|41|30", "25|14|03"};

static void
test_a_turned_picture_is_set_upright(void **state)
{
    (void)state;
    for (int o = 1; o <= 8; o++) {
        pf_image image;
        assert_ok(pf_image_new(&image, 3, 2, 1));
        memcpy(image.pixel, "012345", 6);
        assert_ok(pf_image_turn(&image, o));
        assert_int_equal(image.width, o >= 5 ? 2 : 3);
        assert_int_equal(image.height, o >= 5 ? 3 : 2);
        for (int y = 0; y < image.height; y++)
            assert_memory_equal(image.pixel + y * image.width, seen[o] + y * (image.width + 1),
                                image.width);
        pf_image_release(&image);
    }
}

/* The file reads as its pixels, turned: what the formats do with the block. */
static void
assert_turned(const struct bytes *with, const char *plain, int orientation)
{
    pf_image got = read_bytes(with), want = read_plain(plain);
    assert_ok(pf_image_turn(&want, orientation));
    assert_int_equal(got.width, want.width);
    assert_int_equal(got.height, want.height);
    assert_memory_equal(got.pixel, want.pixel, pf_image_bytes(&want));
    pf_image_release(&got);
    pf_image_release(&want);
}

static void
test_exif_orientation_is_honoured_in_every_format(void **state)
{
    const struct bytes png = file("flag.png"), jpeg = file("photo.jpg");
    (void)state;
    for (int o = 1; o <= 8; o++) {
        const struct bytes block = exif(o, o % 2);
        struct bytes with = png_with(&png, "eXIf", &block, false);
        assert_turned(&with, "flag.png", o);
        with = png_with(&png, "eXIf", &block, true);
        assert_turned(&with, "flag.png", o);
        with = jpeg_with(&jpeg, 0xe1, "Exif\0", 6, &block);
        assert_turned(&with, "photo.jpg", o);
        with = webp_with(WITH_EXIF, 13, 9, NULL, &block);
        assert_turned(&with, "flag_lossless.webp", o);
    }
}

/* pf-stream pack: a camera belongs to the pixels as COLMAP read them, which turns nothing. */
static void
test_stored_pixels_are_not_turned(void **state)
{
    const struct bytes png = file("flag.png"), block = exif(6, false);
    const struct bytes with = png_with(&png, "eXIf", &block, false);
    char path[] = "/tmp/test_photo.XXXXXX";
    const int fd = mkstemp(path);
    pf_image got, want = read_plain("flag.png");
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, with.data, with.size), with.size);
    close(fd);
    assert_ok(pf_image_read_stored(&got, path));
    assert_int_equal(got.width, want.width);
    assert_memory_equal(got.pixel, want.pixel, pf_image_bytes(&want));
    pf_image_release(&got);
    assert_ok(pf_image_read(&got, path));
    assert_int_equal(got.width, want.height);
    pf_image_release(&got);
    pf_image_release(&want);
    assert_int_equal(unlink(path), 0);
}

static void
test_nonsense_in_exif_turns_nothing(void **state)
{
    (void)state;
    for (int o = 0; o <= 9; o++) {
        const struct bytes block = exif(o, false);
        assert_int_equal(pf_exif_orientation(block.data, block.size), o >= 1 && o <= 8 ? o : 1);
        /* Cut short, from a block of its own that a sanitizer guards; every byte in turn set to
         * 255. */
        for (size_t n = 0; n < block.size; n++) {
            uint8_t *part = malloc(n + !n);
            memcpy(part, block.data, n);
            const int got = pf_exif_orientation(part, n);
            assert_true(got == 1 || (n >= 34 && got == o));
            for (size_t i = 0; i < n; i++) {
                const uint8_t kept = part[i];
                part[i] = 255;
                const int turned = pf_exif_orientation(part, n);
                assert_true(turned >= 1 && turned <= 8);
                part[i] = kept;
            }
            free(part);
        }
    }
}

/* ---- colour ---- */

static const cmsCIExyY d65 = {.3127, .3290, 1};
static const cmsCIExyYTRIPLE p3_primaries = {{.680, .320, 1}, {.265, .690, 1}, {.150, .060, 1}};

static struct bytes
saved(cmsHPROFILE profile)
{
    struct bytes b;
    cmsUInt32Number size;
    assert_non_null(profile);
    assert_true(cmsSaveProfileToMem(profile, NULL, &size) && size <= sizeof b.data);
    assert_true(cmsSaveProfileToMem(profile, b.data, &size));
    b.size = size;
    cmsCloseProfile(profile);
    return b;
}

/* Display P3, which phones write: its primaries with sRGB's curve. */
static struct bytes
p3(void)
{
    const double curve[] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    cmsToneCurve *c = cmsBuildParametricToneCurve(NULL, 4, curve);
    const struct bytes b =
        saved(cmsCreateRGBProfile(&d65, &p3_primaries, (cmsToneCurve *[]){c, c, c}));
    cmsFreeToneCurve(c);
    return b;
}

/* An iCCP chunk's data: name, method, compressed profile. */
static struct bytes
iccp(const struct bytes *icc)
{
    struct bytes b = {.size = 0};
    uLongf n = sizeof b.data - 3;
    put(&b, "p\0\0", 3);
    assert_int_equal(compress(b.data + 3, &n, icc->data, icc->size), Z_OK);
    b.size += n;
    return b;
}

static double
srgb_to_linear(double v)
{
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double
srgb_from_linear(double v)
{
    v = fmin(fmax(v, 0), 1);
    return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static double
power_to_linear(double v)
{
    return pow(v, 2.2);
}

/* Opaque pixels of got are want's, seen as P3; alpha is want's.  The matrix is the published one of
 * linear P3 to linear sRGB. */
static void
assert_was_p3(const pf_image *got, const pf_image *want, double (*linear)(double))
{
    static const double m[3][3] = {
        {1.2249, -0.2247, 0}, {-0.0420, 1.0419, 0}, {-0.0197, -0.0786, 1.0979}};
    const int C = want->channels;
    assert_int_equal(got->channels, C);
    for (int i = 0; i < want->width * want->height; i++) {
        const uint8_t *w = want->pixel + C * i, *g = got->pixel + C * i;
        assert_true(C == 3 || w[3] == g[3]);
        for (int c = 0; c < 3; c++) {
            double v = 0;
            for (int k = 0; k < 3; k++)
                v += m[c][k] * linear(w[k] / 255.0);
            if (fabs(255 * srgb_from_linear(v) - g[c]) > 2)
                fail_msg("channel %d of pixel %d is %d, not %.1f", c, i, g[c],
                         255 * srgb_from_linear(v));
        }
    }
}

static void
check_p3(const struct bytes *with, const char *plain, double (*linear)(double))
{
    pf_image want = read_plain(plain), got = read_bytes(with);
    assert_string_equal(pf_image_note(), "");
    assert_was_p3(&got, &want, linear);
    pf_image_release(&got);
    pf_image_release(&want);
}

static void
test_a_wide_gamut_profile_is_converted(void **state)
{
    const struct bytes icc = p3(), png = file("flag.png"), rgb = file("photo_rgb.png"),
                       jpeg = file("photo.jpg");
    const struct bytes chunk = iccp(&icc);
    (void)state;
    struct bytes with = png_with(&png, "iCCP", &chunk, false);
    check_p3(&with, "flag.png", srgb_to_linear);
    with = png_with(&rgb, "iCCP", &chunk, false);
    check_p3(&with, "photo_rgb.png", srgb_to_linear);
    with = jpeg_with(&jpeg, 0xe2, "ICC_PROFILE\0\1\1", 14, &icc);
    check_p3(&with, "photo.jpg", srgb_to_linear);
    with = webp_with(WITH_ICC, 13, 9, &icc, NULL);
    check_p3(&with, "flag_lossless.webp", srgb_to_linear);
}

static struct bytes
chrm(const uint32_t v[8])
{
    struct bytes b = {.size = 0};
    for (int i = 0; i < 8; i++)
        put_number(&b, v[i], 4, true);
    return b;
}

static struct bytes
gama(uint32_t v)
{
    struct bytes b = {.size = 0};
    put_number(&b, v, 4, true);
    return b;
}

static void
test_gama_and_chrm_are_converted(void **state)
{
    const struct bytes png = file("photo_rgb.png"), grey = file("grey.png");
    const struct bytes wide =
        chrm((uint32_t[]){31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000});
    struct bytes linear = gama(100000), usual = gama(45455);
    (void)state;
    struct bytes with = png_with(&png, "cHRM", &wide, false);
    with = png_with(&with, "gAMA", &usual, false);
    check_p3(&with, "photo_rgb.png", power_to_linear);
    with = png_with(&grey, "gAMA", &linear, false);
    pf_image got = read_bytes(&with), want = read_plain("grey.png");
    for (int i = 0; i < 3 * 13 * 9; i++)
        assert_true(fabs(got.pixel[i] - 255 * srgb_from_linear(want.pixel[i] / 255.0)) <= 1);
    pf_image_release(&got);
    pf_image_release(&want);
}

/* Most files say somehow that they are sRGB, which may not change a byte. */
static void
test_srgb_by_any_name_changes_nothing(void **state)
{
    const struct bytes icc = saved(cmsCreate_sRGBProfile()), png = file("photo.png"),
                       jpeg = file("photo.jpg");
    const struct bytes chunk = iccp(&icc), usual = gama(45455);
    const struct bytes same =
        chrm((uint32_t[]){31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000});
    (void)state;
    struct bytes with = png_with(&png, "iCCP", &chunk, false);
    assert_turned(&with, "photo.png", 1);
    with = png_with(&png, "gAMA", &usual, false);
    assert_turned(&with, "photo.png", 1);
    with = png_with(&with, "cHRM", &same, false);
    assert_turned(&with, "photo.png", 1);
    with = jpeg_with(&jpeg, 0xe2, "ICC_PROFILE\0\1\1", 14, &icc);
    assert_turned(&with, "photo.jpg", 1);
    assert_string_equal(pf_image_note(), "");
}

static void
test_a_grey_profile_keeps_grey(void **state)
{
    cmsToneCurve *curve = cmsBuildGamma(NULL, 1);
    const struct bytes icc = saved(cmsCreateGrayProfile(cmsD50_xyY(), curve)),
                       png = file("grey_alpha.png");
    const struct bytes chunk = iccp(&icc), with = png_with(&png, "iCCP", &chunk, false);
    pf_image got = read_bytes(&with), want = read_plain("grey_alpha.png");
    (void)state;
    for (int i = 0; i < 13 * 9; i++) {
        const uint8_t *g = got.pixel + 4 * i;
        assert_int_equal(g[3], want.pixel[4 * i + 3]);
        for (int c = 0; c < 3; c++)
            assert_true(fabs(g[c] - 255 * srgb_from_linear(want.pixel[4 * i] / 255.0)) <= 2);
    }
    pf_image_release(&got);
    pf_image_release(&want);
    cmsFreeToneCurve(curve);
}

/* The picture is read as it is, and the note says so. */
static void
assert_noted(const struct bytes *with, const char *plain, const char *words)
{
    pf_image want = read_plain(plain);
    assert_string_equal(pf_image_note(), "");
    pf_image got = read_bytes(with);
    if (!strstr(pf_image_note(), words))
        fail_msg("\"%s\" says nothing of %s", pf_image_note(), words);
    assert_memory_equal(got.pixel, want.pixel, pf_image_bytes(&want));
    pf_image_release(&got);
    pf_image_release(&want);
}

static void
test_a_profile_that_is_not_used_gives_a_note(void **state)
{
    struct bytes icc = p3(), grey, lab = saved(cmsCreateLab4Profile(NULL));
    const struct bytes jpeg = file("photo.jpg"), png = file("photo.png");
    cmsToneCurve *curve = cmsBuildGamma(NULL, 1);
    (void)state;
    grey = saved(cmsCreateGrayProfile(cmsD50_xyY(), curve));
    cmsFreeToneCurve(curve);
    struct bytes with =
        jpeg_with(&jpeg, 0xe2, "ICC_PROFILE\0\1\2", 14, &icc); /* the second is missing */
    assert_noted(&with, "photo.jpg", "profile is damaged");
    with = jpeg_with(&jpeg, 0xe2, "ICC_PROFILE\0\1\1", 14, &grey);
    assert_noted(&with, "photo.jpg", "profile is not for its pixels");
    with = webp_with(WITH_ICC, 13, 9, &lab, NULL);
    assert_noted(&with, "flag_lossless.webp", "profile is not for its pixels");
    icc.size = 100;
    with = webp_with(WITH_ICC, 13, 9, &icc, NULL);
    assert_noted(&with, "flag_lossless.webp", "profile cannot be read");
    const struct bytes chunk = iccp(&icc);
    with = png_with(&png, "iCCP", &chunk, false);
    assert_noted(&with, "photo.png", "profile is damaged");
}

/* One in CMYK as Adobe's programs write it, inverted; of one ink. */
static struct bytes
cmyk_jpeg(const uint8_t ink[4])
{
    enum { SIDE = 16 };
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr error;
    struct bytes b;
    unsigned char *data = NULL;
    unsigned long size = 0;
    uint8_t row[4 * SIDE], *rows[] = {row};
    for (int i = 0; i < 4 * SIDE; i++)
        row[i] = ink[i % 4];
    jpeg.err = jpeg_std_error(&error);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = jpeg.image_height = SIDE;
    jpeg.input_components = 4;
    jpeg.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < SIDE; y++)
        jpeg_write_scanlines(&jpeg, rows, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    b.size = 0;
    put(&b, data, size);
    free(data);
    return b;
}

static void
test_cmyk_becomes_rgb(void **state)
{
    static const int want[] = {100, 50, 25};
    const struct bytes jpeg = cmyk_jpeg((uint8_t[]){200, 100, 50, 128}), icc = p3();
    pf_image image = read_bytes(&jpeg);
    (void)state;
    assert_string_equal(pf_image_note(), "");
    assert_int_equal(image.channels, 3);
    for (int i = 0; i < 16 * 16 * 3; i++)
        assert_true(abs(image.pixel[i] - want[i % 3]) <= 1);
    pf_image_release(&image);
    const struct bytes with = jpeg_with(&jpeg, 0xe2, "ICC_PROFILE\0\1\1", 14, &icc);
    image = read_bytes(&with);
    assert_non_null(strstr(pf_image_note(), "CMYK colours are converted without its profile"));
    pf_image_release(&image);
}

static void
test_a_cicp_chunk_that_is_not_srgb_gives_a_note(void **state)
{
    const struct bytes png = file("photo.png"), wide = {"\x0c\x0d\0\1", 4},
                       same = {"\1\x0d\0\1", 4};
    struct bytes with = png_with(&png, "cICP", &same, false);
    (void)state;
    assert_turned(&with, "photo.png", 1);
    assert_string_equal(pf_image_note(), "");
    with = png_with(&png, "cICP", &wide, false);
    assert_noted(&with, "photo.png", "cICP chunk is not converted");
}

static void
test_a_giant_jpeg_is_refused_before_memory_is_taken(void **state)
{
    struct bytes jpeg = file("photo_progressive.jpg");
    pf_image image;
    size_t i = 2;
    (void)state;
    while (jpeg.data[i + 1] != 0xc2) /* the frame's header: length, bits, height, width */
        i += 2 + (size_t)(jpeg.data[i + 2] << 8 | jpeg.data[i + 3]);
    memcpy(jpeg.data + i + 5, "\x7f\xff\x1f\xff", 4);
    assert_fails(pf_image_read_memory(&image, jpeg.data, jpeg.size, "giant"), PF_EFORMAT,
                 "giant: the file is truncated: 8191 x 32767 pixels do not fit");
}

/* Nothing in a WebP's chunks has a checksum: profile, EXIF and frame arrive as they are. */
static void
test_hostile_chunks_do_no_harm(void **state)
{
    const struct bytes icc = p3(), block = exif(6, true);
    const struct bytes files[] = {webp_with(WITH_ICC | WITH_EXIF, 13, 9, &icc, &block),
                                  webp_with(ANIMATED | WITH_EXIF, 32, 24, NULL, &block)};
    uint32_t chance = 1;
    int read = 0;
    (void)state;
    for (int k = 0; k < 2 * 1500; k++) {
        const struct bytes *whole = &files[k % 2];
        uint8_t *copy = malloc(whole->size);
        pf_image image;
        memcpy(copy, whole->data, whole->size);
        for (int i = 0; i < 1 + k % 3; i++) {
            chance = chance * 1664525u + 1013904223u;
            copy[(chance >> 8) % whole->size] = (uint8_t)(k % 5 ? chance >> 24 : 255);
        }
        read += !pf_image_read_memory(&image, copy, whole->size, "hostile");
        pf_image_release(&image);
        free(copy);
    }
    assert_true(read > 100 && read < 3000);
}

/* ---- animations, other formats ---- */

static void
test_an_animation_gives_its_first_frame_and_a_note(void **state)
{
    static const uint8_t clear[4];
    const struct bytes png = file("flag.png");
    struct bytes control = {.size = 0}, with = webp_with(ANIMATED, 32, 24, NULL, NULL);
    pf_image canvas = read_bytes(&with), flag = read_plain("flag.png");
    (void)state;
    assert_int_equal(canvas.width, 32);
    assert_int_equal(canvas.height, 24);
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 32; x++) {
            const bool in = x >= 2 && x < 15 && y >= 4 && y < 13;
            assert_memory_equal(canvas.pixel + (y * 32 + x) * 4,
                                in ? flag.pixel + ((y - 4) * 13 + x - 2) * 4 : clear, 4);
        }
    pf_image_release(&canvas);
    pf_image_release(&flag);
    put_number(&control, 2, 4, true);
    put_number(&control, 0, 4, true);
    with = png_with(&png, "acTL", &control, false);
    assert_noted(&with, "flag.png", "first frame");
    with = webp_with(ANIMATED, 32, 24, NULL, NULL);
    canvas = read_bytes(&with);
    assert_non_null(
        strstr(pf_image_note(), "photo: an animation, of which the first frame is taken"));
    pf_image_release(&canvas);
}

static void
test_other_formats_are_named_with_a_command(void **state)
{
    static const struct { const char *bytes; int n; const char *words;
    } cases[] = {
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0",
         16,
         "IMG 1 is a HEIC picture; PNG, JPEG and WebP are read: heif-convert 'IMG 1' photo.png"},
        {"\0\0\0\x1c"
         "ftypavif\0\0\0\0",
         16, "an AVIF picture; PNG, JPEG and WebP are read: avifdec 'IMG 1'"},
        {"GIF89a\1\0\1\0", 10, "convert 'IMG 1'[0] photo.png"},
        {"II*\0\10\0\0\0", 8,
         "a TIFF picture; PNG, JPEG and WebP are read: convert 'IMG 1'[0] photo.png"},
        {"MM\0*\0\0\0\10", 8, "a TIFF picture"},
        {"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0", 14, "a BMP picture"},
        {"GIF89a\1\0\1\0", 10, "a GIF picture"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12,
         "a JPEG 2000 picture; PNG, JPEG and WebP are read: opj_decompress"},
        {"%PDF-1.7\n", 9, "a PDF document; PNG, JPEG and WebP are read: pdftoppm"},
        {"\xef\xbb\xbf\n <!DOCTYPE html>", 20,
         "an HTML page, not a picture; PNG, JPEG and WebP are read: curl"},
        {"<html", 5, "an HTML page"},
        {"<svg xmlns=", 11, "an SVG drawing"},
        {"\x1f\x8b\x08\0", 4, "IMG 1 is a gzip file, not a picture: unpack it first"},
        {"\x10\0\0\0\0\0\0\0{\"__metadata__\":", 24, "is a stream or a safetensors file, not"},
        {"BMW is no picture", 17, "neither a PNG nor a JPEG nor a WebP"},
        {"   ", 3, "neither a PNG nor a JPEG nor a WebP"},
        {"G", 1, "neither a PNG nor a JPEG nor a WebP"}};
    pf_image image;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(pf_image_read_memory(&image, cases[i].bytes, cases[i].n, "IMG 1"), PF_EFORMAT,
                     cases[i].words);
    assert_fails(pf_image_read_memory(&image, "GIF89a", 6, "it's"), PF_EFORMAT,
                 "it's is a GIF picture; PNG, JPEG and WebP are read: convert 'it'\\''s'[0] p");
}

/* ---- rows ---- */

static pf_err
stop(void *user, uint8_t *row, int y)
{
    (void)row;
    ++*(int *)user;
    return y == 3 ? pf_fail(PF_ESHAPE, "enough") : PF_OK;
}

/* A picture that is decoded in parts is the one that is decoded at once. */
static void
assert_banded(const struct bytes *b)
{
    const size_t usual = pf_photo_band;
    pf_image whole = read_bytes(b), banded;
    for (int rows = 1; rows <= whole.height; rows += rows < 12 ? 1 : 17) {
        pf_photo_band = (size_t)(rows - 1) * (size_t)whole.width * (size_t)whole.channels;
        banded = read_bytes(b);
        assert_memory_equal(banded.pixel, whole.pixel, pf_image_bytes(&whole));
        pf_image_release(&banded);
    }
    pf_photo_band = usual;
    pf_image_release(&whole);
}

static void
test_interlaced_png_and_webp_were_held_whole(void **state)
{
    static const char *const names[] = {"photo.webp", "photo_rgb.webp", "flag_lossless.webp",
                                        "flag_rgb_lossless.webp", "flag_interlaced.png"};
    struct bytes b;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        b = file(names[i]);
        assert_banded(&b);
    }
    b = webp_with(ANIMATED, 32, 24, NULL, NULL);        /* the frame is a part of the canvas */
    assert_banded(&b);
}

static void
test_an_error_of_the_sink_ends_the_rows(void **state)
{
    static const char *const names[] = {"photo.png", "photo.jpg", "photo.webp",
                                        "flag_interlaced.png"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const struct bytes b = file(names[i]);
        pf_photo photo;
        int rows = 0;
        assert_ok(pf_photo_open_memory(&photo, b.data, b.size, names[i]));
        for (int k = 1; k <= 2; k++) {
            assert_int_equal(pf_photo_rows(&photo, stop, &rows), PF_ESHAPE);
            assert_string_equal(pf_error(), "enough");
            assert_int_equal(rows, 4 * k);
        }
        pf_photo_close(&photo);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_turned_picture_is_set_upright),
        cmocka_unit_test(test_exif_orientation_is_honoured_in_every_format),
        cmocka_unit_test(test_stored_pixels_are_not_turned),
        cmocka_unit_test(test_nonsense_in_exif_turns_nothing),
        cmocka_unit_test(test_a_wide_gamut_profile_is_converted),
        cmocka_unit_test(test_gama_and_chrm_are_converted),
        cmocka_unit_test(test_srgb_by_any_name_changes_nothing),
        cmocka_unit_test(test_a_grey_profile_keeps_grey),
        cmocka_unit_test(test_a_profile_that_is_not_used_gives_a_note),
        cmocka_unit_test(test_cmyk_becomes_rgb),
        cmocka_unit_test(test_a_cicp_chunk_that_is_not_srgb_gives_a_note),
        cmocka_unit_test(test_a_giant_jpeg_is_refused_before_memory_is_taken),
        cmocka_unit_test(test_hostile_chunks_do_no_harm),
        cmocka_unit_test(test_an_animation_gives_its_first_frame_and_a_note),
        cmocka_unit_test(test_other_formats_are_named_with_a_command),
        cmocka_unit_test(test_interlaced_png_and_webp_were_held_whole),
        cmocka_unit_test(test_an_error_of_the_sink_ends_the_rows),
    };
    return cmocka_run_group_tests_name("photo", tests, NULL, NULL);
}
