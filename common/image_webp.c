/* image_webp.c - WebP by libwebp; of an animation the first frame, on its canvas. */
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

static pf_err
head(pf_photo *photo)
{
    WebPDemuxer *file;
    WebPIterator frame;
    const pf_err err = begin(&file, &frame, photo);

    if (!err) {
        photo->width = (int)WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH);
        photo->height = (int)WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT);
        /* What the frame does not cover is transparent. */
        const bool covers = frame.width >= photo->width && frame.height >= photo->height;
        photo->channels = frame.has_alpha || !covers ? 4 : 3;
        read_chunks(file, photo);
    }
    end(file, &frame);
    return err;
}

static pf_err
decode(pf_image *canvas, const WebPIterator *frame)
{
    const int C = canvas->channels, stride = canvas->width * C;
    const int x = frame->x_offset, y = frame->y_offset;

    if (x < 0 || y < 0 || x + frame->width > canvas->width || y + frame->height > canvas->height)
        return pf_fail(PF_EFORMAT, "not a valid WebP: the frame lies outside of the picture");
    const size_t start = (size_t)y * stride + (size_t)x * C;
    uint8_t *(*into)(const uint8_t *, size_t, uint8_t *, size_t, int) = C == 4 ? WebPDecodeRGBAInto
                                                                               : WebPDecodeRGBInto;
    if (!into(frame->fragment.bytes, frame->fragment.size, canvas->pixel + start,
              pf_image_bytes(canvas) - start, stride))
        return pf_fail(PF_EFORMAT, "not a valid WebP: damaged or truncated");
    return PF_OK;
}

static pf_err
rows(const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    pf_image canvas = {0};
    WebPDemuxer *file;
    WebPIterator frame;
    pf_err err = begin(&file, &frame, photo);

    if (!err && !(err = pf_image_new(&canvas, photo->width, photo->height, photo->channels)) &&
        !(err = decode(&canvas, &frame)))
        err = pf_photo_give(&canvas, sink, user);
    pf_image_release(&canvas);
    end(file, &frame);
    return err;
}

const struct pf_image_format pf_image_webp = {head, rows};
