/* Films read back with libavformat: the container that the name says, the index before the frames,
 * every frame, and its colours. */
// uses: tools/pf-render-video/video.c
#include "tests/check.h"

#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

#include "tools/pf-render-video/video.h"

enum { SIDE = 64, FRAMES = 12, FPS = 30 };
static const uint8_t color[3] = {180, 90, 40};
static char folder[] = "/tmp/pf-test-XXXXXX";

/* White with a square that moves to the right. */
static void
draw(uint8_t rgb[SIDE * SIDE * 3], int frame)
{
    memset(rgb, 255, SIDE * SIDE * 3);
    for (int i = 16; i < 48; i++)
        for (int j = 0; j < 32; j++)
            memcpy(rgb + 3 * (i * SIDE + frame + j), color, 3);
}

/* The path of a film as the tool makes it under this name; skips where libav has no encoder. */
static const char *
filmed(const char *name)
{
    static char path[64];
    uint8_t rgb[SIDE * SIDE * 3];
    enum pf_video_format format;
    pf_output *out;
    pf_video *v;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_true(pf_video_format_find(&format, path));
    assert_ok(pf_output_open(&out, path));
    const pf_err err = pf_video_open(&v, out, format, SIDE, FPS);
    if (err && strstr(pf_error(), "encoder")) {
        pf_output_abandon(out);
        skip();
    }
    assert_ok(err);
    for (int k = 0; k < FRAMES; k++) {
        draw(rgb, k);
        assert_ok(pf_video_add(v, rgb));
    }
    assert_ok(pf_video_close(v));
    assert_ok(pf_output_close(out));
    return path;
}

/* ---- reading ---- */

struct film {
    char container[64];
    enum AVCodecID codec;
    int frames;
    double seconds, shown;              /* of the container, of all frames */
    uint8_t first[SIDE * SIDE * 3];     /* as RGB */
};

static void
see(struct film *f, const AVFrame *frame)
{
    uint8_t *const rgb = f->first;
    struct SwsContext *sws = sws_getContext(SIDE, SIDE, frame->format, SIDE, SIDE, AV_PIX_FMT_RGB24,
                                            SWS_POINT, NULL, NULL, NULL);
    assert_non_null(sws);
    assert_int_equal(frame->width, SIDE);
    assert_int_equal(frame->height, SIDE);
    sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, SIDE, &rgb,
              &(int){3 * SIDE});
    sws_freeContext(sws);
}

/* Decode what packet completes, NULL: what is left. */
static void
decode(struct film *f, AVCodecContext *decoder, const AVPacket *packet)
{
    AVFrame *frame = av_frame_alloc();
    assert_true(avcodec_send_packet(decoder, packet) >= 0);
    while (avcodec_receive_frame(decoder, frame) >= 0)
        if (f->frames++ == 0)
            see(f, frame);
    av_frame_free(&frame);
}

static void
read_film(struct film *f, const char *path)
{
    AVFormatContext *in = NULL;
    AVPacket *packet = av_packet_alloc();
    memset(f, 0, sizeof *f);
    assert_int_equal(avformat_open_input(&in, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(in, NULL) >= 0);
    assert_int_equal(in->nb_streams, 1);
    snprintf(f->container, sizeof f->container, "%s", in->iformat->name);
    f->codec = in->streams[0]->codecpar->codec_id;
    f->seconds = (double)in->duration / AV_TIME_BASE;
    const AVCodec *codec = avcodec_find_decoder(f->codec);
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    assert_true(avcodec_parameters_to_context(decoder, in->streams[0]->codecpar) >= 0);
    assert_true(avcodec_open2(decoder, codec, NULL) >= 0);
    for (; av_read_frame(in, packet) >= 0; av_packet_unref(packet)) {
        f->shown += (double)packet->duration * av_q2d(in->streams[0]->time_base);
        decode(f, decoder, packet);
    }
    decode(f, decoder, NULL);
    avcodec_free_context(&decoder);
    av_packet_free(&packet);
    avformat_close_input(&in);
}

static void
assert_color(const uint8_t *got, const uint8_t *expected, int tolerance)
{
    for (int c = 0; c < 3; c++)
        assert_in_range(got[c] + tolerance, expected[c], expected[c] + 2 * tolerance);
}

/* The first picture's white and the middle of its square, each the mean of 8 x 8 pixels: GIF is
 * dithered. */
static void
assert_picture(const struct film *f, int tolerance)
{
    static const int corner[2][2] = {{2, 50}, {28, 10}};
    for (int k = 0; k < 2; k++) {
        int sum[3] = {0};
        for (int i = 0; i < 64; i++)
            for (int c = 0; c < 3; c++)
                sum[c] += f->first[3 * ((corner[k][0] + i / 8) * SIDE + corner[k][1] + i % 8) + c];
        const uint8_t mean[3] = {(uint8_t)(sum[0] / 64), (uint8_t)(sum[1] / 64),
                                 (uint8_t)(sum[2] / 64)};
        assert_color(mean, k ? color : (const uint8_t[]){255, 255, 255}, tolerance);
    }
}

static void
assert_film(const char *name, const char *container, enum AVCodecID codec)
{
    static struct film f;
    read_film(&f, filmed(name));
    if (!strstr(f.container, container))
        fail_msg("%s is %s", name, f.container);
    assert_int_equal(f.codec, codec);
    assert_int_equal(f.frames, FRAMES);
    assert_true(fabs(f.seconds - (double)FRAMES / FPS) < 0.021);
    assert_picture(&f, codec == AV_CODEC_ID_GIF ? 12 : 6);
}

/* The types of an MP4 file's outermost boxes, with a blank behind each. */
static void
boxes(char *types, size_t size, const char *path)
{
    uint8_t head[8];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    types[0] = 0;
    while (fread(head, 1, 8, file) == 8) {
        const size_t n = strlen(types);
        snprintf(types + n, size - n, "%.4s ", (const char *)head + 4);
        fseek(file, (long)((uint32_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3]) - 8,
              SEEK_CUR);
    }
    fclose(file);
}

static void
assert_index_first(const char *name)
{
    char types[256];
    boxes(types, sizeof types, filmed(name));
    assert_memory_equal(types, "ftyp ", 5);
    if (!strstr(types, "moov ") || !strstr(types, "mdat ") ||
        strstr(types, "moov ") > strstr(types, "mdat "))
        fail_msg("%s is %s", name, types);
}

/* ---- the mistakes ---- */

static void
test_mp4_had_its_index_last(void **state)
{
    (void)state;
    assert_index_first("t.mp4");
}

static void
test_mov_had_its_index_last(void **state)
{
    (void)state;
    assert_index_first("t.mov");
}

static void
test_mp4_is_mp4(void **state)
{
    (void)state;
    assert_film("t.mp4", "mp4", AV_CODEC_ID_H264);
    assert_film("t.MP4", "mp4", AV_CODEC_ID_H264);
}

static void
test_mov_was_mp4(void **state)
{
    char brand[12];
    (void)state;
    assert_film("t.mov", "mov", AV_CODEC_ID_H264);
    FILE *file = fopen(filmed("t.mov"), "rb");          // libavformat reads both by one name
    assert_int_equal(fread(brand, 1, sizeof brand, file), sizeof brand);
    fclose(file);
    assert_memory_equal(brand + 8, "qt  ", 4);
}

static void
test_mkv_was_mp4(void **state)
{
    (void)state;
    assert_film("t.mkv", "matroska", AV_CODEC_ID_H264);
}

static void
test_webm_was_mp4(void **state)
{
    (void)state;
    assert_film("t.webm", "webm", AV_CODEC_ID_VP9);
}

static void
test_gif_was_mp4(void **state)
{
    (void)state;
    assert_film("t.gif", "gif", AV_CODEC_ID_GIF);
}

static void
test_gif_showed_its_last_frame_too_long(void **state)
{
    static struct film f;
    (void)state;
    read_film(&f, filmed("t.gif"));
    assert_true(fabs(f.shown - (double)FRAMES / FPS) < 1e-6);
}

static void
test_y4m_is_y4m(void **state)
{
    (void)state;
    assert_film("t.Y4M", "yuv4mpeg", AV_CODEC_ID_RAWVIDEO);
}

static void
test_avi_was_mp4(void **state)
{
    static const char *const names[] = {"t.avi",   "t.m4v",     "t",        "mp4",
                                        "t.mp4/t", "t.mp4.tmp", "/dev/full"};
    enum pf_video_format format;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(pf_video_format_find(&format, names[i]));
    assert_true(pf_video_format_find(&format, "-") && format == PF_VIDEO_Y4M);
}

static void
test_odd_side_is_refused(void **state)
{
    pf_video *v;
    (void)state;
    assert_fails(pf_video_open(&v, NULL, PF_VIDEO_MP4, 17, FPS), PF_EARG, "even");
}

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    static const char *const names[] = {"t.mp4",  "t.MP4", "t.mov", "t.mkv",
                                        "t.webm", "t.gif", "t.Y4M"};
    char path[64];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);               // nothing else is left there
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mp4_had_its_index_last),
        cmocka_unit_test(test_mov_had_its_index_last),
        cmocka_unit_test(test_mp4_is_mp4),
        cmocka_unit_test(test_mov_was_mp4),
        cmocka_unit_test(test_mkv_was_mp4),
        cmocka_unit_test(test_webm_was_mp4),
        cmocka_unit_test(test_gif_was_mp4),
        cmocka_unit_test(test_gif_showed_its_last_frame_too_long),
        cmocka_unit_test(test_y4m_is_y4m),
        cmocka_unit_test(test_avi_was_mp4),
        cmocka_unit_test(test_odd_side_is_refused),
    };
    return cmocka_run_group_tests_name("video", tests, make_folder, remove_folder);
}
