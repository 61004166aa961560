/* image_png.c - PNG by libpng, from memory and to a file.  libpng reports errors by longjmp: every
 * variable that must survive one lives in a struct of the caller's frame. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "common/image.h"

struct job {
    png_structp png;
    png_infop info;
    const uint8_t *next;        /* reading: bytes not yet consumed */
    size_t size, left;
    FILE *to;                   /* writing */
    char why[160];              /* libpng's sentence */
};

static void
on_error(png_structp png, png_const_charp message)
{
    struct job *j = png_get_error_ptr(png);
    snprintf(j->why, sizeof j->why, "%s", message);
    png_longjmp(png, 1);
}

static void
on_warning(png_structp png, png_const_charp message)
{
    (void)png;                  /* oddities in chunks that we do not use */
    (void)message;
}

static void
take(png_structp png, png_bytep to, size_t n)
{
    struct job *j = png_get_io_ptr(png);
    if (n > j->left)
        png_error(png, "the file is truncated");
    memcpy(to, j->next, n);
    j->next += n;
    j->left -= n;
}

static void
give(png_structp png, png_bytep from, size_t n)
{
    struct job *j = png_get_io_ptr(png);
    if (fwrite(from, 1, n, j->to) != n)
        png_error(png, strerror(errno));
}

static void
flush(png_structp png)
{
    (void)png;                  /* once at the end, by write_rows */
}

/* Whatever the file holds becomes 8-bit RGB, or RGBA if anything in it can be transparent. */
static void
ask_for_rgb(png_structp png, png_infop info)
{
    png_set_strip_16(png);      /* the high byte: PIL's way, not rounding */
    png_set_packing(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    png_set_gray_to_rgb(png);
}

/* zlib shrinks by 1032 at most: a small file cannot hold a giant picture, whatever it claims. */
static pf_err
check_promise(const struct job *j, uint32_t width, uint32_t height)
{
    const uint64_t raw = (uint64_t)png_get_rowbytes(j->png, j->info) * height;

    if (width > PF_IMAGE_MAX_SIDE || height > PF_IMAGE_MAX_SIDE)
        return pf_fail(PF_EFORMAT, "%u x %u pixels, expected at most %d a side", width, height,
                       PF_IMAGE_MAX_SIDE);
    if (raw / 1032 > j->size)
        return pf_fail(PF_EFORMAT, "the file is truncated: %u x %u pixels do not fit in %zu bytes",
                       width, height, j->size);
    return PF_OK;
}

static pf_err
read_rows(struct job *j, pf_image *image)
{
    if (setjmp(png_jmpbuf(j->png)))
        return pf_fail(PF_EFORMAT, "not a valid PNG: %s", j->why);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  /* check_promise says more */
    png_set_read_fn(j->png, j, take);
    png_read_info(j->png, j->info);
    PF_TRY(check_promise(j, png_get_image_width(j->png, j->info),
                         png_get_image_height(j->png, j->info)));
    ask_for_rgb(j->png, j->info);
    const int passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    PF_TRY(pf_image_new(image, png_get_image_width(j->png, j->info),
                        png_get_image_height(j->png, j->info),
                        png_get_channels(j->png, j->info)));
    const size_t stride = (size_t)image->width * image->channels;
    if (png_get_rowbytes(j->png, j->info) != stride)
        png_error(j->png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++)
            png_read_row(j->png, image->pixel + y * stride, NULL);
    png_read_end(j->png, NULL);
    return PF_OK;
}

pf_err
pf_image_decode_png(pf_image *image, const void *bytes, size_t size)
{
    struct job j = {.next = bytes, .size = size, .left = size};
    pf_err err;

    *image = (pf_image){0};
    j.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png ? png_create_info_struct(j.png) : NULL;
    err = j.info ? read_rows(&j, image) : pf_fail(PF_ENOMEM, "no memory for a PNG reader");
    png_destroy_read_struct(&j.png, &j.info, NULL);
    if (err)
        pf_image_release(image);
    return err;
}

static pf_err
write_rows(struct job *j, const pf_image *image)
{
    static const int type[] = {[1] = PNG_COLOR_TYPE_GRAY, [3] = PNG_COLOR_TYPE_RGB,
                               [4] = PNG_COLOR_TYPE_RGB_ALPHA};

    if (setjmp(png_jmpbuf(j->png)))
        return pf_fail(PF_EIO, "%s", j->why);
    png_set_write_fn(j->png, j, give, flush);
    png_set_compression_level(j->png, 4);   // half the time of zlib's own 6, for 0.4 % more bytes
    png_set_IHDR(j->png, j->info, image->width, image->height, 8, type[image->channels],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    for (int y = 0; y < image->height; y++)
        png_write_row(j->png, image->pixel + (size_t)y * image->width * image->channels);
    png_write_end(j->png, NULL);
    return fflush(j->to) ? pf_fail(PF_EIO, "%s", strerror(errno)) : PF_OK;
}

pf_err
pf_image_write_png(const pf_image *image, FILE *to)
{
    struct job j = {.to = to};
    pf_err err;

    if (!image->pixel)
        return pf_fail(PF_ESHAPE, "an empty picture cannot be written");
    j.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png ? png_create_info_struct(j.png) : NULL;
    err = j.info ? write_rows(&j, image) : pf_fail(PF_ENOMEM, "no memory for a PNG writer");
    png_destroy_write_struct(&j.png, &j.info);
    return err;
}
