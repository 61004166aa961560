/* image_webp.c - WebP by libwebp; of an animation the first frame, on its canvas. */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "common/image_format.h"

/* The container, which libwebp checks against its size, and the first frame; both released by
 * end. */
static pf_err
begin(WebPDemuxer **file, WebPIterator *frame, const pf_photo *photo)
{
    const WebPData data = {photo->bytes, photo->size};

    *frame = (WebPIterator){0};
    *file = WebPDemux(&data);
    if (!*file || !WebPDemuxGetFrame(*file, 1, frame) || !frame->complete)
        return pf_fail(PF_EFORMAT, "not a valid WebP: damaged or truncated");
    return PF_OK;
}

static void
end(WebPDemuxer *file, WebPIterator *frame)
{
    WebPDemuxReleaseIterator(frame);
    WebPDemuxDelete(file);
}

static void
read_chunks(const WebPDemuxer *file, pf_photo *photo)
{
    const uint32_t flags = WebPDemuxGetI(file, WEBP_FF_FORMAT_FLAGS);
    WebPChunkIterator chunk;

    if (flags & ANIMATION_FLAG)
        pf_photo_remark(photo, "an animation, of which the first frame is taken");
    if (flags & EXIF_FLAG && WebPDemuxGetChunk(file, "EXIF", 1, &chunk)) {
        photo->orientation = pf_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (flags & ICCP_FLAG && WebPDemuxGetChunk(file, "ICCP", 1, &chunk)) {
        pf_color_from_icc(photo, chunk.chunk.bytes, chunk.chunk.size, false);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
}

static bool
is_lossy(const WebPIterator *frame)
{
    enum { LOSSLESS = 2 };      /* as libwebp numbers formats */
    WebPBitstreamFeatures f;
    return WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &f) != VP8_STATUS_OK ||
           f.format != LOSSLESS;
}

/* A block of 256 pixels of a lossy picture takes more than a bit.  A lossless one's need not take
 * any, but then they are all the same. */
enum { PIXELS_PER_BYTE = 2048 };

static pf_err
head(pf_photo *photo)
{
    WebPDemuxer *file;
    WebPIterator frame;
    pf_err err = begin(&file, &frame, photo);

    if (!err)
        err = pf_photo_check_promise(photo, WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH),
                                     WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT), PIXELS_PER_BYTE);
    if (!err) {
        photo->width = (int)WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH);
        photo->height = (int)WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT);
        /* What the frame does not cover is transparent. */
        const bool covers = frame.width >= photo->width && frame.height >= photo->height;
        photo->channels = frame.has_alpha || !covers ? 4 : 3;
        photo->lossy = is_lossy(&frame);
        read_chunks(file, photo);
    }
    end(file, &frame);
    return err;
}

/* Rows top .. bottom - 1 of the frame, [bottom - top, width, C]. */
static pf_err
decode(pf_image *part, const WebPIterator *frame, int top, int bottom)
{
    WebPDecoderConfig how;

    if (!WebPInitDecoderConfig(&how))
        return pf_fail(PF_EFORMAT, "this libwebp is not the one that posefusion was built for");
    how.options.use_cropping = top > 0 || bottom < frame->height;
    how.options.crop_top = top;
    how.options.crop_width = frame->width;
    how.options.crop_height = bottom - top;
    how.output.colorspace = part->channels == 4 ? MODE_RGBA : MODE_RGB;
    how.output.is_external_memory = 1;
    how.output.u.RGBA.rgba = part->pixel;
    how.output.u.RGBA.stride = part->width * part->channels;
    how.output.u.RGBA.size = pf_image_bytes(part);
    if (WebPDecode(frame->fragment.bytes, frame->fragment.size, &how) != VP8_STATUS_OK)
        return pf_fail(PF_EFORMAT, "not a valid WebP: damaged or truncated");
    return PF_OK;
}

/* Rows from .. to - 1 of the canvas, as far as the frame has them.  Colours of a row are blended
 * with its neighbours', so one is decoded with them, and libwebp begins at an even one. */
static pf_err
decode_band(pf_image *band, int *first, const WebPIterator *frame, int from, int to, int channels)
{
    int top = from - frame->y_offset - 2, bottom = to - frame->y_offset + 2;

    top = top > 0 ? top & ~1 : 0;
    bottom = bottom < frame->height ? bottom : frame->height;
    *first = frame->y_offset + top;
    if (top >= bottom)                          /* none of the frame */
        return PF_OK;
    PF_TRY(pf_image_new(band, frame->width, bottom - top, channels));
    return decode(band, frame, top, bottom);
}

/* Rows from .. to - 1 to the sink, by way of row, [width, channels]. */
static pf_err
give_band(const pf_photo *photo, const WebPIterator *frame, int from, int to, uint8_t *row,
          pf_photo_sink *sink, void *user)
{
    const size_t C = (size_t)photo->channels, part = C * (size_t)frame->width;
    pf_image band = {0};
    int first;
    pf_err err = decode_band(&band, &first, frame, from, to, photo->channels);

    for (int y = from; y < to && !err; y++) {
        memset(row, 0, C * (size_t)photo->width);
        if (y >= first && y - first < band.height)
            memcpy(row + C * (size_t)frame->x_offset, band.pixel + part * (size_t)(y - first),
                   part);
        err = sink(user, row, y);
    }
    pf_image_release(&band);
    return err;
}

static pf_err
rows(const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    uint8_t *row = malloc((size_t)photo->width * photo->channels);
    WebPDemuxer *file;
    WebPIterator frame;
    pf_err err = begin(&file, &frame, photo);

    if (!err && !row)
        err = pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", photo->width);
    if (!err && (frame.x_offset < 0 || frame.y_offset < 0 ||
                 frame.x_offset + frame.width > photo->width ||
                 frame.y_offset + frame.height > photo->height))
        err = pf_fail(PF_EFORMAT, "not a valid WebP: the frame lies outside of the picture");
    for (int y = 0, n; y < photo->height && !err; y += n) {
        n = pf_photo_band_rows(photo, y);
        err = give_band(photo, &frame, y, y + n, row, sink, user);
    }
    free(row);
    end(file, &frame);
    return err;
}

const struct pf_image_format pf_image_webp = {head, rows};
