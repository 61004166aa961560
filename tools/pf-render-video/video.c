#include "tools/pf-render-video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>

#define QUALITY "18"            /* x264's crf: hardly to be told from the frames */

struct pf_video {
    int size;
    FILE *y4m;                  /* NULL: MP4 */
    struct SwsContext *to_yuv;
    AVFrame *frame;
    AVPacket *packet;
    AVCodecContext *encoder;
    AVFormatContext *mp4;
};

static pf_err
av_fail(int code, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    av_make_error_string(text, sizeof text, code);
    return pf_fail(code == AVERROR(ENOMEM) ? PF_ENOMEM : PF_EIO, "cannot %s the video: %s", what, text);
}

static pf_err
open_frame(pf_video *v)
{
    v->to_yuv = sws_getContext(v->size, v->size, AV_PIX_FMT_RGB24, v->size, v->size,
                               AV_PIX_FMT_YUV420P,
                               SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                               NULL, NULL, NULL);
    v->frame = av_frame_alloc();
    v->packet = av_packet_alloc();
    if (!v->to_yuv || !v->frame || !v->packet)
        return pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", v->size, v->size);
    v->frame->format = AV_PIX_FMT_YUV420P;
    v->frame->width = v->frame->height = v->size;
    v->frame->pts = 0;
    const int code = av_frame_get_buffer(v->frame, 0);
    return code < 0 ? av_fail(code, "start") : PF_OK;
}

/* libx264 if there is one: others have no constant quality. */
static const AVCodec *
find_encoder(void)
{
    const AVCodec *x264 = avcodec_find_encoder_by_name("libx264");
    return x264 ? x264 : avcodec_find_encoder(AV_CODEC_ID_H264);
}

static pf_err
open_encoder(pf_video *v, int fps)
{
    const AVCodec *codec = find_encoder();
    if (!codec)
        return pf_fail(PF_EIO, "this libavcodec has no H.264 encoder; -o - writes Y4M, --png frames");
    AVCodecContext *e = v->encoder = avcodec_alloc_context3(codec);
    if (!e)
        return av_fail(AVERROR(ENOMEM), "start");
    e->width = e->height = v->size;
    e->pix_fmt = AV_PIX_FMT_YUV420P;
    e->colorspace = AVCOL_SPC_SMPTE170M;
    e->color_range = AVCOL_RANGE_MPEG;
    e->time_base = (AVRational){1, fps};
    e->framerate = (AVRational){fps, 1};
    e->thread_count = 1;
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    if (av_opt_set(e->priv_data, "crf", QUALITY, 0) < 0)
        e->bit_rate = (int64_t)v->size * v->size * fps / 4;
    const int code = avcodec_open2(e, codec, NULL);
    return code < 0 ? av_fail(code, "encode") : PF_OK;
}

/* path is a name of ours that need not end in .mp4. */
static pf_err
open_mp4(pf_video *v, const char *path)
{
    char url[4200];
    int code = avformat_alloc_output_context2(&v->mp4, NULL, "mp4", NULL);
    if (code < 0)
        return av_fail(code, "start");
    AVStream *stream = avformat_new_stream(v->mp4, NULL);
    if (!stream)
        return av_fail(AVERROR(ENOMEM), "start");
    stream->time_base = v->encoder->time_base;
    stream->avg_frame_rate = v->encoder->framerate;
    if ((code = avcodec_parameters_from_context(stream->codecpar, v->encoder)) < 0)
        return av_fail(code, "start");
    if (snprintf(url, sizeof url, "file:%s", path) >= (int)sizeof url)
        return pf_fail(PF_EIO, "%s: the name is too long", path);
    v->mp4->url = av_strdup(url);
    v->mp4->flags |= AVFMT_FLAG_BITEXACT;       // no dates, no versions
    if ((code = avio_open(&v->mp4->pb, url, AVIO_FLAG_WRITE)) < 0 ||
        (code = avformat_write_header(v->mp4, NULL)) < 0)
        return av_fail(code, "write");
    return PF_OK;
}

static pf_err
open_y4m(pf_video *v, FILE *to, int fps)
{
    v->y4m = to;
    if (fprintf(to, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420mpeg2\n", v->size, v->size, fps) < 0)
        return pf_fail(PF_EIO, "cannot write the video: %s", strerror(errno));
    return PF_OK;
}

static void
release(pf_video *v)
{
    if (v->mp4)
        avio_closep(&v->mp4->pb);
    avformat_free_context(v->mp4);
    avcodec_free_context(&v->encoder);
    av_packet_free(&v->packet);
    av_frame_free(&v->frame);
    sws_freeContext(v->to_yuv);
    free(v);
}

pf_err
pf_video_open(pf_video **video, pf_output *out, bool y4m, int size, int fps)
{
    if (size < 2 || size % 2)
        return pf_fail(PF_EARG, "a video of side %d cannot be: it must be even", size);
    pf_video *v = calloc(1, sizeof *v);
    if (!v)
        return pf_fail(PF_ENOMEM, "no memory for a video");
    av_log_set_level(AV_LOG_QUIET);             // errors are ours to tell, in one sentence
    v->size = size;
    pf_err err = open_frame(v);
    if (!err && y4m)
        err = open_y4m(v, pf_output_file(out), fps);
    else if (!err && !(err = open_encoder(v, fps)))
        err = open_mp4(v, pf_output_path(out));
    if (err)
        release(v);
    else
        *video = v;
    return err;
}

/* Give the encoder a frame, or NULL for the end, and write what it has ready. */
static pf_err
encode(pf_video *v, const AVFrame *frame)
{
    int code = avcodec_send_frame(v->encoder, frame);
    while (code >= 0) {
        code = avcodec_receive_packet(v->encoder, v->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
            return PF_OK;
        if (code < 0)
            break;
        v->packet->duration = 1;
        v->packet->stream_index = 0;
        av_packet_rescale_ts(v->packet, v->encoder->time_base, v->mp4->streams[0]->time_base);
        if ((code = av_interleaved_write_frame(v->mp4, v->packet)) < 0)
            return av_fail(code, "write");
    }
    return av_fail(code, "encode");
}

static pf_err
write_y4m(pf_video *v)
{
    fputs("FRAME\n", v->y4m);
    for (int plane = 0; plane < 3; plane++) {
        const int side = plane ? v->size / 2 : v->size;
        for (int i = 0; i < side; i++)
            fwrite(v->frame->data[plane] + (ptrdiff_t)i * v->frame->linesize[plane], (size_t)side, 1,
                   v->y4m);
    }
    return ferror(v->y4m) ? pf_fail(PF_EIO, "cannot write the video: %s", strerror(errno)) : PF_OK;
}

pf_err
pf_video_add(pf_video *v, const uint8_t *rgb)
{
    const int code = av_frame_make_writable(v->frame);
    if (code < 0)
        return av_fail(code, "encode");
    sws_scale(v->to_yuv, &rgb, &(int){3 * v->size}, 0, v->size, v->frame->data, v->frame->linesize);
    if (v->y4m)
        return write_y4m(v);
    const pf_err err = encode(v, v->frame);
    v->frame->pts++;
    return err;
}

pf_err
pf_video_close(pf_video *v)
{
    pf_err err = PF_OK;
    int code = 0;
    if (!v)
        return PF_OK;
    if (v->mp4 && !(err = encode(v, NULL)) && ((code = av_write_trailer(v->mp4)) < 0 ||
                                               (code = avio_closep(&v->mp4->pb)) < 0))
        err = av_fail(code, "write");
    release(v);
    return err;
}
