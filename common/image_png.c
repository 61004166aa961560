/* image_png.c - PNG by libpng, from memory row by row and to a file.  libpng reports errors by
 * longjmp: every variable that must survive one lives in a struct of the caller's frame. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/image_format.h"
#include "common/output.h"

/* What a chunk before the pixels may hold beyond the file's own bytes: a profile is deflated. */
enum { CHUNK_SLACK = 4 << 20 };

struct job {
    png_structp png;
    png_infop info;
    const uint8_t *next;        /* reading: bytes not yet consumed */
    size_t size, left;
    pf_image held;              /* reading: rows of an interlaced picture, or a row */
    bool bad_profile;           /* reading: libpng dropped it */
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
    struct job *j = png_get_error_ptr(png);     /* others: oddities in chunks that we do not use */
    j->bad_profile |= !strncmp(message, "iCCP", 4);
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

/* Chunks that nothing here reads are passed over: libpng 1.6.39 allocates what an eXIf says that it
 * holds, whatever the limit. */
static void
pass_over_unused(png_structp png)
{
    static const png_byte unused[] = "bKGD\0eXIf\0hIST\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0"
                                     "sPLT\0sTER\0tEXt\0tIME\0zTXt";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, sizeof unused / 5);
}

/* Everything before the pixels; for the caller's setjmp. */
static pf_err
read_head(struct job *j)
{
    pass_over_unused(j->png);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  /* check_promise says more */
    /* libpng allocates what a chunk before the pixels says that it holds, then reads. */
    png_set_chunk_malloc_max(j->png, j->size + CHUNK_SLACK);
    png_set_read_fn(j->png, j, take);
    png_read_info(j->png, j->info);
    PF_TRY(check_promise(j, png_get_image_width(j->png, j->info),
                         png_get_image_height(j->png, j->info)));
    ask_for_rgb(j->png, j->info);
    return PF_OK;
}

/* The order of precedence is PNG's: a profile, sRGB by name, numbers. */
static void
read_color(const struct job *j, pf_photo *photo)
{
    const bool grey = !(png_get_color_type(j->png, j->info) & PNG_COLOR_MASK_COLOR);
    double exponent = 0, xy[4][2];
    png_charp name;
    png_bytep icc;
    png_uint_32 size;
    int method;

    if (png_get_iCCP(j->png, j->info, &name, &method, &icc, &size)) {
        pf_color_from_icc(photo, icc, size, grey);
        return;
    }
    if (j->bad_profile)
        pf_photo_remark(photo, "its colour profile is damaged: taken as sRGB");
    if (j->bad_profile || png_get_valid(j->png, j->info, PNG_INFO_sRGB))
        return;
    png_get_gAMA(j->png, j->info, &exponent);
    const bool stated = png_get_cHRM(j->png, j->info, &xy[0][0], &xy[0][1], &xy[1][0], &xy[1][1],
                                     &xy[2][0], &xy[2][1], &xy[3][0], &xy[3][1]);
    if (exponent || stated)
        pf_color_from_chromaticities(photo, exponent, stated ? xy : NULL);
}

static uint32_t
big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What stands in chunks that may also follow the pixels, or that libpng does not know.  A chunk
 * is its length, four letters, data, checksum. */
static void
read_chunks(pf_photo *photo)
{
    const uint8_t *p = photo->bytes + 8, *const past = photo->bytes + photo->size;

    while (past - p >= 12 && big_endian(p) <= (size_t)(past - p) - 12) {
        const uint32_t n = big_endian(p);
        if (!memcmp(p + 4, "eXIf", 4) && crc32(0, p + 4, n + 4) == big_endian(p + 8 + n))
            photo->orientation = pf_exif_orientation(p + 8, n);
        else if (!memcmp(p + 4, "acTL", 4))
            pf_photo_remark(photo, "an animation, of which the first frame is taken");
        else if (!memcmp(p + 4, "cICP", 4) && n >= 2 && (p[8] != 1 || p[9] != 13) && !photo->color)
            pf_photo_remark(photo, "its cICP chunk is not converted: taken as sRGB");
        p += 12 + (size_t)n;
    }
}

static pf_err
read_all_of_head(struct job *j, pf_photo *photo)
{
    if (setjmp(png_jmpbuf(j->png)))
        return pf_fail(PF_EFORMAT, "not a valid PNG: %s", j->why);
    PF_TRY(read_head(j));
    photo->width = (int)png_get_image_width(j->png, j->info);
    photo->height = (int)png_get_image_height(j->png, j->info);
    photo->channels = png_get_color_type(j->png, j->info) & PNG_COLOR_MASK_ALPHA ||
                      png_get_valid(j->png, j->info, PNG_INFO_tRNS) ? 4 : 3;
    read_color(j, photo);
    read_chunks(photo);
    return PF_OK;
}

/* Rows *y and after of an interlaced picture, as many as may be held; *y is then the next.  They
 * are complete when the last of the passes is through, so all are read, whatever is wanted. */
static pf_err
read_band(struct job *j, const pf_photo *photo, int passes, int *y, pf_photo_sink *sink, void *user)
{
    const int rows = pf_photo_band_rows(photo, *y), H = photo->height;
    const size_t stride = (size_t)photo->width * photo->channels;
    PF_TRY(pf_image_new(&j->held, photo->width, rows, photo->channels));
    for (int pass = 0; pass < passes; pass++)
        for (int k = 0; k < H; k++)
            png_read_row(j->png, k >= *y && k - *y < rows ? j->held.pixel + (k - *y) * stride
                                                          : NULL, NULL);
    png_read_end(j->png, NULL);
    for (int k = 0; k < rows; k++, ++*y)
        PF_TRY(sink(user, j->held.pixel + k * stride, *y));
    return PF_OK;
}

/* Rows *y and after; *y is then the next. */
static pf_err
read_rows(struct job *j, const pf_photo *photo, int *y, pf_photo_sink *sink, void *user)
{
    if (setjmp(png_jmpbuf(j->png)))
        return pf_fail(PF_EFORMAT, "not a valid PNG: %s", j->why);
    PF_TRY(read_head(j));
    const int passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    if (png_get_rowbytes(j->png, j->info) != (size_t)photo->width * photo->channels)
        png_error(j->png, "unexpected row size");
    if (passes > 1)
        return read_band(j, photo, passes, y, sink, user);
    PF_TRY(pf_image_new(&j->held, photo->width, 1, photo->channels));
    for (; *y < photo->height; ++*y) {
        png_read_row(j->png, j->held.pixel, NULL);
        PF_TRY(sink(user, j->held.pixel, *y));
    }
    png_read_end(j->png, NULL);
    return PF_OK;
}

static pf_err
begin(struct job *j)
{
    j->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
    j->info = j->png ? png_create_info_struct(j->png) : NULL;
    return j->info ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a PNG reader");
}

static void
end(struct job *j)
{
    png_destroy_read_struct(&j->png, &j->info, NULL);
    pf_image_release(&j->held);
}

static pf_err
head(pf_photo *photo)
{
    struct job j = {.next = photo->bytes, .size = photo->size, .left = photo->size};
    pf_err err = begin(&j);

    if (!err)
        err = read_all_of_head(&j, photo);
    end(&j);
    return err;
}

static pf_err
rows(const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    pf_err err = PF_OK;

    for (int y = 0; y < photo->height && !err;) {
        struct job j = {.next = photo->bytes, .size = photo->size, .left = photo->size};
        if (!(err = begin(&j)))
            err = read_rows(&j, photo, &y, sink, user);
        end(&j);
    }
    return err;
}

const struct pf_image_format pf_image_png = {head, rows};

const void *
pf_photo_as_png(const pf_photo *photo, size_t *size)
{
    const uint8_t *p = photo->bytes + 8, *const past = photo->bytes + photo->size;

    if (photo->format != &pf_image_png || photo->orientation != 1 || photo->color)
        return NULL;
    while (past - p >= 12 && big_endian(p) <= (size_t)(past - p) - 12) {
        const uint32_t n = big_endian(p);
        if (crc32(0, p + 4, n + 4) != big_endian(p + 8 + n))
            return NULL;
        p += 12 + (size_t)n;
        if (!memcmp(p - 8, "IEND", 4)) {        /* an empty chunk: its letters, its checksum */
            *size = (size_t)(p - photo->bytes);
            return photo->bytes;
        }
    }
    return NULL;
}

/* What is written: its size, and where its rows come from. */
struct written {
    int width, height, channels;
    pf_image_source *source;
    void *user;
    uint8_t *row;
};

static pf_err
write_rows(struct job *j, const struct written *w)
{
    static const int type[] = {[1] = PNG_COLOR_TYPE_GRAY, [3] = PNG_COLOR_TYPE_RGB,
                               [4] = PNG_COLOR_TYPE_RGB_ALPHA};

    if (setjmp(png_jmpbuf(j->png)))
        return pf_fail(PF_EIO, "cannot write the picture: %s", j->why);
    png_set_write_fn(j->png, j, give, flush);
    png_set_compression_level(j->png, 4); // half the time of zlib's own 6, for 0.4 % more bytes
    png_set_IHDR(j->png, j->info, w->width, w->height, 8, type[w->channels],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    for (int y = 0; y < w->height; y++) {
        PF_TRY(w->source(w->user, w->row, y));
        png_write_row(j->png, w->row);
    }
    png_write_end(j->png, NULL);
    return pf_output_flush(j->to, "the picture");
}

pf_err
pf_image_write_png_rows(FILE *to, int width, int height, int channels, pf_image_source *source,
                        void *user)
{
    struct written w = {width, height, channels, source, user, malloc((size_t)width * channels)};
    struct job j = {.to = to};
    pf_err err;

    j.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png ? png_create_info_struct(j.png) : NULL;
    err = j.info && w.row ? write_rows(&j, &w) : pf_fail(PF_ENOMEM, "no memory for a PNG writer");
    png_destroy_write_struct(&j.png, &j.info);
    free(w.row);
    return err;
}

static pf_err
row_of(void *user, uint8_t *row, int y)
{
    const pf_image *const image = user;
    const size_t stride = (size_t)image->width * image->channels;

    memcpy(row, image->pixel + y * stride, stride);
    return PF_OK;
}

pf_err
pf_image_write_png(const pf_image *image, FILE *to)
{
    if (!image->pixel)
        return pf_fail(PF_ESHAPE, "an empty picture cannot be written");
    return pf_image_write_png_rows(to, image->width, image->height, image->channels, row_of,
                                   (void *)(uintptr_t)image);
}
