/* lossy.h - for tests of tools: pictures as JPEG and WebP files. */
#ifndef PF_TEST_LOSSY_H
#define PF_TEST_LOSSY_H
#include "common/image.h"
#include "tests/check.h"

#include <jpeglib.h>
#include <webp/encode.h>

static inline void
save(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline void
save_jpeg(const char *path, const pf_image *image, int quality, bool progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr error;
    unsigned char *data = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&error);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < image->height; y++)
        jpeg_write_scanlines(&jpeg, &(JSAMPROW){image->pixel + 3 * image->width * y}, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    save(path, data, size);
    free(data);
}

static inline void
save_webp(const char *path, const pf_image *image, int quality, bool lossless)
{
    const int W = image->width, H = image->height, stride = W * image->channels;
    uint8_t *data = NULL;
    const size_t size =
        image->channels == 4 ? lossless ? WebPEncodeLosslessRGBA(image->pixel, W, H, stride, &data)
                                        : WebPEncodeRGBA(image->pixel, W, H, stride, quality, &data)
        : lossless           ? WebPEncodeLosslessRGB(image->pixel, W, H, stride, &data)
                             : WebPEncodeRGB(image->pixel, W, H, stride, quality, &data);
    assert_true(size > 0);
    save(path, data, size);
    WebPFree(data);
}

#endif
