/* image_av.c - JPEG and WebP by libavcodec: one file is one packet, one picture comes back. */
#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <string.h>

#include "common/image.h"

static pf_err
av_fail(int code, const char *what)
{
    char why[AV_ERROR_MAX_STRING_SIZE] = "";

    if (code == AVERROR(ENOMEM))
        return pf_fail(PF_ENOMEM, "no memory for the decoder");
    av_strerror(code, why, sizeof why);
    return pf_fail(PF_EFORMAT, "not a valid %s: %s", what, why);
}

/* The codec's answer to the packet; refuses pictures that it could decode in part only. */
static pf_err
decode_packet(AVFrame *frame, AVCodecContext *codec, const AVPacket *packet, const char *what)
{
    int code;

    codec->thread_count = 1;
    codec->max_pixels = PF_IMAGE_MAX_PIXELS;
    codec->err_recognition = AV_EF_EXPLODE | AV_EF_CRCCHECK;
    if ((code = avcodec_open2(codec, codec->codec, NULL)) < 0 ||
        (code = avcodec_send_packet(codec, packet)) < 0 ||
        (code = avcodec_send_packet(codec, NULL)) < 0 ||
        (code = avcodec_receive_frame(codec, frame)) < 0)
        return av_fail(code, what);
    if (frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT)
        return pf_fail(PF_EFORMAT, "not a valid %s: damaged or truncated", what);
    return PF_OK;
}

/* swscale writes whole vectors, past the end of short rows: to a padded frame first. */
static pf_err
to_rgb(AVFrame *rgb, const AVFrame *frame, enum AVPixelFormat format)
{
    const int flags = SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP |
                      SWS_BITEXACT;
    const int *bt601 = sws_getCoefficients(SWS_CS_ITU601);
    struct SwsContext *sws;
    int code;

    rgb->width = frame->width;
    rgb->height = frame->height;
    rgb->format = format;
    if ((code = av_frame_get_buffer(rgb, 0)) < 0)
        return av_fail(code, "picture");
    sws = sws_getContext(frame->width, frame->height, frame->format, rgb->width, rgb->height,
                         format, flags, NULL, NULL, NULL);
    if (!sws)
        return pf_fail(PF_EFORMAT, "unknown kind of pixels: %s",
                       av_get_pix_fmt_name(frame->format));
    if (frame->color_range == AVCOL_RANGE_JPEG)
        sws_setColorspaceDetails(sws, bt601, 1, bt601, 1, 0, 1 << 16, 1 << 16);
    code = sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                     rgb->data, rgb->linesize);
    sws_freeContext(sws);
    return code < 0 ? av_fail(code, "picture") : PF_OK;
}

/* Lossless WebP always decodes to a format with alpha; only a transparent pixel makes it count. */
static bool
is_opaque(const AVFrame *rgba)
{
    for (int y = 0; y < rgba->height; y++)
        for (int x = 0; x < rgba->width; x++)
            if (rgba->data[0][(ptrdiff_t)y * rgba->linesize[0] + 4 * x + 3] != 255)
                return false;
    return true;
}

static pf_err
copy_pixels(pf_image *image, const AVFrame *from, int channels)
{
    const int step = from->format == AV_PIX_FMT_RGBA ? 4 : 3;

    PF_TRY(pf_image_new(image, from->width, from->height, channels));
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++)
            memcpy(image->pixel + ((size_t)y * image->width + x) * channels,
                   from->data[0] + (ptrdiff_t)y * from->linesize[0] + x * step, channels);
    return PF_OK;
}

static pf_err
decode(pf_image *image, enum AVCodecID id, const void *bytes, size_t size, const char *what)
{
    const AVCodec *decoder = avcodec_find_decoder(id);
    AVCodecContext *codec = decoder ? avcodec_alloc_context3(decoder) : NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc(), *rgb = av_frame_alloc();
    pf_err err = PF_OK;

    *image = (pf_image){0};
    av_log_set_level(AV_LOG_QUIET);     /* what is wrong goes into our sentence, not to stderr */
    if (!decoder)
        err = pf_fail(PF_EFORMAT, "this libavcodec has no decoder for %s", what);
    else if (!codec || !packet || !frame || !rgb || av_new_packet(packet, (int)size) < 0)
        err = pf_fail(PF_ENOMEM, "no memory for the decoder");
    if (err)
        goto out;
    memcpy(packet->data, bytes, size);
    if ((err = decode_packet(frame, codec, packet, what)))
        goto out;
    const bool alpha = av_pix_fmt_desc_get(frame->format)->flags & AV_PIX_FMT_FLAG_ALPHA;
    if ((err = to_rgb(rgb, frame, alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24)))
        goto out;
    err = copy_pixels(image, rgb, alpha && !is_opaque(rgb) ? 4 : 3);
out:
    av_frame_free(&rgb);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&codec);
    return err;
}

/* Whether an end mark follows the start of the pixels; the decoder would make up what is missing.
 * Segments before the first scan are skipped by their length: a thumbnail has an end mark too. */
static bool
jpeg_has_end(const uint8_t *p, size_t size)
{
    size_t i = 2;

    while (i + 4 <= size && p[i] == 0xff && p[i + 1] != 0xda)
        i += p[i + 1] == 0xff ? 1 : 2 + (size_t)(p[i + 2] << 8 | p[i + 3]);
    for (; i + 2 <= size; i++)
        if (p[i] == 0xff && p[i + 1] == 0xd9)
            return true;
    return false;
}

pf_err
pf_image_decode_jpeg(pf_image *image, const void *bytes, size_t size)
{
    *image = (pf_image){0};
    if (!jpeg_has_end(bytes, size))
        return pf_fail(PF_EFORMAT, "not a valid JPEG: the file is truncated");
    return decode(image, AV_CODEC_ID_MJPEG, bytes, size, "JPEG");
}

pf_err
pf_image_decode_webp(pf_image *image, const void *bytes, size_t size)
{
    return decode(image, AV_CODEC_ID_WEBP, bytes, size, "WebP");
}
