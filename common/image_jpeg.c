/* image_jpeg.c - JPEG by libjpeg, row by row.  libjpeg reports errors by longjmp: every variable
 * that must survive one lives in a struct of the caller's frame. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "common/image_format.h"

struct job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr error;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    uint8_t *row;               /* of the decoder: CMYK is wider than ours */
    JOCTET *icc;
    char why[JMSG_LENGTH_MAX];  /* libjpeg's sentence */
};

static void
on_error(j_common_ptr jpeg)
{
    struct job *j = jpeg->client_data;

    jpeg->err->format_message(jpeg, j->why);
    longjmp(j->out, 1);
}

/* Warnings that mean that pixels are made up end the reading; stray bytes between segments do
 * not. */
static void
on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
        on_error(jpeg);
    }
}

/* Each scan goes over the whole picture, however few bytes it has. */
static void
on_progress(j_common_ptr jpeg)
{
    enum { MAX_SCANS = 200 };           /* cameras and programs write about ten */
    struct job *j = jpeg->client_data;

    if (j->jpeg.input_scan_number <= MAX_SCANS)
        return;
    snprintf(j->why, sizeof j->why, "more than %d scans", (int)MAX_SCANS);
    longjmp(j->out, 1);
}

static pf_err
failed(const struct job *j)
{
    if (j->error.msg_code == JERR_OUT_OF_MEMORY)
        return pf_fail(PF_ENOMEM, "no memory for the decoder");
    if (j->error.msg_code == JWRN_JPEG_EOF)
        return pf_fail(PF_EFORMAT, "not a valid JPEG: the file is truncated");
    return pf_fail(PF_EFORMAT, "not a valid JPEG: %s", j->why);
}

/* Everything before the pixels; for the caller's setjmp. */
static void
read_head(struct job *j, const pf_photo *photo)
{
    jpeg_create_decompress(&j->jpeg);
    j->progress.progress_monitor = on_progress;
    j->jpeg.progress = &j->progress;
    jpeg_mem_src(&j->jpeg, photo->bytes, photo->size);
    jpeg_save_markers(&j->jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_save_markers(&j->jpeg, JPEG_APP0 + 2, 0xffff);
    jpeg_read_header(&j->jpeg, TRUE);
    j->jpeg.out_color_space = j->jpeg.num_components == 4 ? JCS_CMYK : JCS_RGB;
}

static void
begin(struct job *j)
{
    j->jpeg.err = jpeg_std_error(&j->error);
    j->error.error_exit = on_error;
    j->error.emit_message = on_message;
    j->jpeg.client_data = j;
}

static void
end(struct job *j)
{
    jpeg_destroy_decompress(&j->jpeg);
    free(j->row);
    free(j->icc);
}

/* A block of 64 pixels takes a bit at least, so a small file cannot hold a giant picture,
 * whatever it claims.  Arithmetic coding needs less; and a progressive photo, of
 * which libjpeg holds all, has more. */
static pf_err
check_promise(const struct job *j, const pf_photo *photo)
{
    enum { ARITHMETIC = 2048, SCANS = 128 };
    const uint64_t pixels = (uint64_t)j->jpeg.image_width * j->jpeg.image_height;

    if (j->jpeg.arith_code || j->jpeg.progressive_mode)
        PF_TRY(pf_photo_check_promise(photo, j->jpeg.image_width, j->jpeg.image_height,
                                      j->jpeg.arith_code ? ARITHMETIC : SCANS));
    if (pixels / (64 * 8) > photo->size && !j->jpeg.arith_code)
        return pf_fail(PF_EFORMAT, "the file is truncated: %u x %u pixels do not fit in %zu bytes",
                       j->jpeg.image_width, j->jpeg.image_height, photo->size);
    return PF_OK;
}

static void
read_color(struct job *j, pf_photo *photo)
{
    unsigned size;

    if (jpeg_read_icc_profile(&j->jpeg, &j->icc, &size)) {
        if (j->jpeg.num_components == 4)
            pf_photo_remark(photo, "its CMYK colours are converted without its profile");
        else
            pf_color_from_icc(photo, j->icc, size, j->jpeg.num_components == 1);
        return;
    }
    for (jpeg_saved_marker_ptr m = j->jpeg.marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 2 && m->data_length >= 12 &&
            !memcmp(m->data, "ICC_PROFILE", 12)) {
            pf_photo_remark(photo, "its colour profile is damaged: taken as sRGB");
            return;
        }
}

static pf_err
read_all_of_head(struct job *j, pf_photo *photo)
{
    if (setjmp(j->out))
        return failed(j);
    read_head(j, photo);
    PF_TRY(check_promise(j, photo));
    photo->width = (int)j->jpeg.image_width;
    photo->height = (int)j->jpeg.image_height;
    photo->channels = 3;
    photo->lossy = true;
    for (jpeg_saved_marker_ptr m = j->jpeg.marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && !memcmp(m->data, "Exif\0", 5)) {
            photo->orientation = pf_exif_orientation(m->data, m->data_length);
            break;
        }
    read_color(j, photo);
    return PF_OK;
}

/* Adobe's programs, which write the CMYK there is, store it inverted: 255 is no ink. */
static void
cmyk_to_rgb(uint8_t *pixel, int width, bool inverted)
{
    for (int x = 0; x < width; x++) {
        const uint8_t *p = pixel + 4 * (size_t)x;
        const int k = inverted ? p[3] : 255 - p[3];
        for (int c = 0; c < 3; c++)
            pixel[3 * (size_t)x + c] = (uint8_t)(((inverted ? p[c] : 255 - p[c]) * k + 127) / 255);
    }
}

static pf_err
read_rows(struct job *j, const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    if (setjmp(j->out))
        return failed(j);
    read_head(j, photo);
    jpeg_start_decompress(&j->jpeg);
    if (!(j->row = malloc((size_t)j->jpeg.output_width * j->jpeg.output_components)))
        return pf_fail(PF_ENOMEM, "no memory for a row of %u pixels", j->jpeg.output_width);
    while (j->jpeg.output_scanline < j->jpeg.output_height) {
        const int y = (int)j->jpeg.output_scanline;
        jpeg_read_scanlines(&j->jpeg, &j->row, 1);
        if (j->jpeg.output_components == 4)
            cmyk_to_rgb(j->row, (int)j->jpeg.output_width, j->jpeg.saw_Adobe_marker);
        PF_TRY(sink(user, j->row, y));
    }
    jpeg_finish_decompress(&j->jpeg);
    return PF_OK;
}

static pf_err
head(pf_photo *photo)
{
    struct job j = {0};

    begin(&j);
    const pf_err err = read_all_of_head(&j, photo);
    end(&j);
    return err;
}

static pf_err
rows(const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    struct job j = {0};

    begin(&j);
    const pf_err err = read_rows(&j, photo, sink, user);
    end(&j);
    return err;
}

const struct pf_image_format pf_image_jpeg = {head, rows};
