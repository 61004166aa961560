/* images.h - the pictures of tests/data/images, for the tests of reading and of resizing. */
#ifndef PF_TEST_IMAGES_H
#define PF_TEST_IMAGES_H
#include "common/image.h"
#include "tests/check.h"

#define IMAGES "tests/data/images/"

static inline bool
same(const pf_image *a, const pf_image *b)
{
    return a->width == b->width && a->height == b->height && a->channels == b->channels &&
           !memcmp(a->pixel, b->pixel, pf_image_bytes(a));
}

static inline pf_image
read_image(const char *name)
{
    char path[200];
    pf_image image;
    snprintf(path, sizeof path, IMAGES "%s", name);
    assert_ok(pf_image_read(&image, path));
    return image;
}

#endif
