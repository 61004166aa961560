#include "tools/pf-render-video/video.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <zlib.h>

#include "common/text.h"

/* How frames are encoded.  crf is a quality that hardly can be told from the frames. */
struct codec {
    const char *name, *encoder;
    double crf;                 /* 0: has none */
    enum AVCodecID id;
    enum AVPixelFormat pixels;
};
/* The encoders that are named are preferred: others have no constant quality. */
static const struct codec h264 = {"H.264", "libx264", 18, AV_CODEC_ID_H264, AV_PIX_FMT_YUV420P},
                          vp9 = {"VP9", "libvpx-vp9", 24, AV_CODEC_ID_VP9, AV_PIX_FMT_YUV420P},
                          gif = {"GIF", "gif", 0, AV_CODEC_ID_GIF, AV_PIX_FMT_RGB8},
                          raw = {.name = "raw", .pixels = AV_PIX_FMT_YUV420P};

static const struct container {
    const char *ending, *muxer; /* as libavformat calls it */
    const struct codec *codec;
} containers[] = {
    [PF_VIDEO_Y4M] = {"y4m", NULL, &raw},
    [PF_VIDEO_MP4] = {"mp4", "mp4", &h264},
    [PF_VIDEO_MOV] = {"mov", "mov", &h264},
    [PF_VIDEO_MKV] = {"mkv", "matroska", &h264},
    [PF_VIDEO_WEBM] = {"webm", "webm", &vp9},
    [PF_VIDEO_GIF] = {"gif", "gif", &gif},
};
enum { CONTAINERS = sizeof containers / sizeof *containers };

struct pf_video {
    int size;
    const struct container *container;
    FILE *y4m;                  /* NULL: libavformat writes */
    struct SwsContext *convert; /* from RGB */
    AVFrame *frame;
    int64_t packets;            /* that were written: one a frame */
    uLong tails;                /* CRC of how they end */
    AVPacket *packet;
    AVCodecContext *encoder;
    AVFormatContext *muxer;
};

bool
pf_video_format_find(enum pf_video_format *format, const char *path)
{
    const char *ending = strcmp(path, "-") == 0 ? "y4m" : pf_name_ending(path);
    for (int i = 0; i < CONTAINERS; i++)
        if (strcasecmp(ending, containers[i].ending) == 0) {
            *format = (enum pf_video_format)i;
            return true;
        }
    return false;
}

static pf_err
av_fail(int code, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    av_make_error_string(text, sizeof text, code);
    return pf_fail(code == AVERROR(ENOMEM) ? PF_ENOMEM : PF_EIO, "cannot %s the video: %s", what,
                   text);
}

static pf_err
open_frame(pf_video *v)
{
    const enum AVPixelFormat pixels = v->container->codec->pixels;
    v->convert = sws_getContext(v->size, v->size, AV_PIX_FMT_RGB24, v->size, v->size, pixels,
                                SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                                NULL, NULL, NULL);
    v->frame = av_frame_alloc();
    v->packet = av_packet_alloc();
    if (!v->convert || !v->frame || !v->packet)
        return pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", v->size, v->size);
    v->frame->format = pixels;
    v->frame->width = v->frame->height = v->size;
    v->frame->pts = 0;
    const int code = av_frame_get_buffer(v->frame, 0);
    return code < 0 ? av_fail(code, "start") : PF_OK;
}

static const AVCodec *
find_encoder(const struct codec *codec)
{
    const AVCodec *preferred = avcodec_find_encoder_by_name(codec->encoder);
    return preferred ? preferred : avcodec_find_encoder(codec->id);
}

static pf_err
open_encoder(pf_video *v, int fps)
{
    const struct codec *codec = v->container->codec;
    const AVCodec *found = find_encoder(codec);
    if (!found)
        return pf_fail(PF_EIO, "this libavcodec has no %s encoder; -o - writes Y4M, --png frames",
                       codec->name);
    AVCodecContext *e = v->encoder = avcodec_alloc_context3(found);
    if (!e)
        return av_fail(AVERROR(ENOMEM), "start");
    e->width = e->height = v->size;
    e->pix_fmt = codec->pixels;
    if (codec->pixels == AV_PIX_FMT_YUV420P) {
        e->colorspace = AVCOL_SPC_SMPTE170M;
        e->color_range = AVCOL_RANGE_MPEG;
    }
    e->time_base = (AVRational){1, fps};
    e->framerate = (AVRational){fps, 1};
    e->thread_count = 1;
    /* The latter two are the encoder's own, which it leaves out where memory is short. */
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_LOOP_FILTER |
                AV_CODEC_FLAG_CLOSED_GOP;
    e->bit_rate = 0;            // the quality decides
    int code = codec->crf > 0 ? av_opt_set_double(e->priv_data, "crf", codec->crf, 0) : 0;
    if (code == AVERROR_OPTION_NOT_FOUND)
        e->bit_rate = (int64_t)v->size * v->size * fps / 4;
    else if (code < 0)
        return av_fail(code, "encode");
    code = avcodec_open2(e, found, NULL);
    return code < 0 ? av_fail(code, "encode") : PF_OK;
}

/* The file's index stands before the frames, so that a browser can start with the first of them.
 * (avformat_write_header, given a dictionary, loses it where memory is short.) */
static int
write_header(AVFormatContext *muxer)
{
    const int code = av_opt_set(muxer->priv_data, "movflags", "+faststart", 0);
    if (code < 0 && code != AVERROR_OPTION_NOT_FOUND)   // mp4 and mov know it
        return code;
    return avformat_write_header(muxer, NULL);
}

/* The file that is open as this descriptor.  By its own name libav would make it once more, if a
 * thread that ends the program had just removed it. */
static pf_err
open_muxer(pf_video *v, int fd)
{
    char url[40];
    int code = avformat_alloc_output_context2(&v->muxer, NULL, v->container->muxer, NULL);
    if (code < 0)
        return pf_fail(PF_EIO, "this libavformat writes no .%s", v->container->ending);
    AVStream *stream = avformat_new_stream(v->muxer, NULL);
    if (!stream)
        return av_fail(AVERROR(ENOMEM), "start");
    stream->time_base = v->encoder->time_base;
    stream->avg_frame_rate = v->encoder->framerate;
    if ((code = avcodec_parameters_from_context(stream->codecpar, v->encoder)) < 0)
        return av_fail(code, "start");
    snprintf(url, sizeof url, "file:/dev/fd/%d", fd);
    v->muxer->url = av_strdup(url);
    v->muxer->flags |= AVFMT_FLAG_BITEXACT;     // no dates, no versions
    if ((code = avio_open(&v->muxer->pb, url, AVIO_FLAG_WRITE)) < 0 ||
        (code = write_header(v->muxer)) < 0)
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
    if (v->muxer)
        avio_closep(&v->muxer->pb);
    avformat_free_context(v->muxer);
    avcodec_free_context(&v->encoder);
    av_packet_free(&v->packet);
    av_frame_free(&v->frame);
    sws_freeContext(v->convert);
    free(v);
}

pf_err
pf_video_open(pf_video **video, pf_output *out, enum pf_video_format format, int size, int fps)
{
    if (size < 2 || size % 2)
        return pf_fail(PF_EARG, "a video of side %d cannot be: it must be even", size);
    pf_video *v = calloc(1, sizeof *v);
    if (!v)
        return pf_fail(PF_ENOMEM, "no memory for a video");
    av_log_set_level(AV_LOG_QUIET);             // errors are ours to tell, in one sentence
    v->size = size;
    v->container = &containers[format];
    const char *const was = pf_output_blame("libav");
    pf_err err = open_frame(v);
    if (!err && format == PF_VIDEO_Y4M)
        err = open_y4m(v, pf_output_file(out), fps);
    else if (!err && !(err = open_encoder(v, fps)))
        err = open_muxer(v, fileno(pf_output_file(out)));
    if (err)
        release(v);
    else
        *video = v;
    pf_output_blame(was);
    return err;
}

/* Lengths or marks in front of a packet's parts are the muxer's matter, and take up to 4 bytes. */
static uLong
add_tail(uLong crc, const AVPacket *packet)
{
    const int n = packet->size < 8 ? 0 : 4;
    return crc32_z(crc, packet->data + packet->size - n, (size_t)n);
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
        av_packet_rescale_ts(v->packet, v->encoder->time_base, v->muxer->streams[0]->time_base);
        v->tails = add_tail(v->tails, v->packet);
        if ((code = av_interleaved_write_frame(v->muxer, v->packet)) < 0)
            return av_fail(code, "write");
        v->packets++;
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
            fwrite(v->frame->data[plane] + (ptrdiff_t)i * v->frame->linesize[plane], (size_t)side,
                   1, v->y4m);
    }
    return ferror(v->y4m) ? pf_fail(PF_EIO, "cannot write the video: %s", strerror(errno)) : PF_OK;
}

pf_err
pf_video_add(pf_video *v, const uint8_t *rgb)
{
    const int code = av_frame_make_writable(v->frame);
    if (code < 0)
        return av_fail(code, "encode");
    if (sws_scale(v->convert, &rgb, &(int){3 * v->size}, 0, v->size, v->frame->data,
                  v->frame->linesize) != v->size)
        return av_fail(AVERROR(ENOMEM), "convert");
    if (v->y4m)
        return write_y4m(v);
    const char *const was = pf_output_blame("libav");
    const pf_err err = encode(v, v->frame);
    pf_output_blame(was);
    v->frame->pts++;
    return err;
}

/* A GIF's frames last until the next begins, in hundredths of a second; the muxer would show the
 * last as long as the one before it, which at 30 frames a second may be a hundredth too long. */
static int
time_last_frame(pf_video *v)
{
    const AVRational from = v->encoder->time_base, to = v->muxer->streams[0]->time_base;
    const int64_t end = v->frame->pts;
    if (v->container != &containers[PF_VIDEO_GIF] || !end)
        return 0;
    return av_opt_set_int(v->muxer->priv_data, "final_delay",
                          av_rescale_q(end, from, to) - av_rescale_q(end - 1, from, to), 0);
}

/* Where memory is short, MP4's muxer leaves out parts of the index, and says that all went well.
 * So the frames are looked for once more, by the index. */
static pf_err
check_index(pf_video *v)
{
    const AVInputFormat *const mov = av_find_input_format("mov");
    AVFormatContext *in = NULL;
    int64_t packets = 0;
    uLong tails = 0;
    int code = mov ? avformat_open_input(&in, v->muxer->url, mov, NULL)
                   : AVERROR_DEMUXER_NOT_FOUND;
    for (; code >= 0 && (code = av_read_frame(in, v->packet)) >= 0; packets++) {
        tails = add_tail(tails, v->packet);
        av_packet_unref(v->packet);
    }
    avformat_close_input(&in);
    if (code == AVERROR_EOF && packets == v->packets && tails == v->tails)
        return PF_OK;
    return pf_fail(PF_ENOMEM, "libav lost the video's index, as it does where memory is short");
}

/* The last frames and the end of the file.  Where memory is short, encoders leave out frames and
 * muxers bytes, and say that all went well. */
static pf_err
finish(pf_video *v)
{
    int code;
    PF_TRY(encode(v, NULL));
    if (v->packets != v->frame->pts)
        return pf_fail(PF_ENOMEM, "the encoder lost %lld of %lld frames of the video",
                       (long long)(v->frame->pts - v->packets), (long long)v->frame->pts);
    if ((code = time_last_frame(v)) < 0 || (code = av_write_trailer(v->muxer)) < 0 ||
        (code = v->muxer->pb->error) < 0 || (code = avio_closep(&v->muxer->pb)) < 0)
        return av_fail(code, "write");
    return v->container->codec == &h264 && strcmp(v->container->muxer, "matroska") ? check_index(v)
                                                                                   : PF_OK;
}

pf_err
pf_video_close(pf_video *v)
{
    if (!v)
        return PF_OK;
    const char *const was = pf_output_blame("libav");
    const pf_err err = v->muxer ? finish(v) : PF_OK;
    release(v);
    pf_output_blame(was);
    return err;
}
