/* strip.c - see strip.h. */
#include "tools/pf-mask/strip.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/camera.h"
#include "common/image.h"
#include "common/mask.h"
#include "common/text.h"

/* ---- strips ---- */

/* Whether its alpha says anything: one that is 255 everywhere is what a program saved with it. */
static bool
has_alpha(const pf_image *strip)
{
    for (size_t i = 3; strip->channels == 4 && i < pf_image_bytes(strip); i += 4)
        if (strip->pixel[i] < 255)
            return true;
    return false;
}

static pf_err
put_views(pf_doc *doc, const pf_image *strip)
{
    const int S = strip->height, N = strip->width / S;
    pf_tensor image = {0}, alpha = {0};
    pf_err err;

    if ((err = PF_TENSOR_NEW(&image, PF_U8, N, S, S, 3)) ||
        (err = PF_TENSOR_NEW(&alpha, PF_F32, N, S, S)))
        goto out;
    for (int n = 0; n < N; n++)
        pf_image_on_white((uint8_t *)image.data + (size_t)n * S * S * 3,
                          (float *)alpha.data + (size_t)n * S * S, strip, n * S, S);
    err = pf_doc_put(doc, "views.image", &image);
    if (!err && has_alpha(strip))
        err = pf_doc_put(doc, "views.alpha", &alpha);
out:
    pf_tensor_release(&image);
    pf_tensor_release(&alpha);
    return err;
}

static pf_err
put_cameras(pf_doc *doc, int N, double elevation, int side)
{
    static const char *const names[] = {"views.pose", "views.intrinsics", "views.elevation",
                                        "views.azimuth"};
    pf_tensor t[4] = {{0}};
    pf_err err = pf_rig_tensors(&t[0], &t[1], &t[2], &t[3], N, elevation, side);

    for (int i = 0; i < 4 && !err; i++)
        err = pf_doc_put(doc, names[i], &t[i]);
    for (int i = 0; i < 4; i++)
        pf_tensor_release(&t[i]);
    return err;
}

pf_err
strip_read(pf_doc *doc, const char *path, double elevation_rad)
{
    pf_image strip;
    pf_err err;

    PF_TRY(pf_image_read(&strip, path));
    if (strip.width % strip.height)
        err = pf_fail(PF_ESHAPE, "%s: %d x %d pixels are not square views side by side",
                      pf_file_title(path), strip.width, strip.height);
    else if (!(err = put_views(doc, &strip)) &&
             !(err = put_cameras(doc, strip.width / strip.height, elevation_rad, strip.height)) &&
             !(err = pf_doc_set_meta(doc, "pf.kind", "views")))
        err = pf_doc_set_position(doc, 0, 1);
    pf_image_release(&strip);
    return err;
}

/* ---- masks ---- */

static pf_err
path_of(char *path, size_t size, const char *folder, const char *prefix, int n)
{
    if (snprintf(path, size, "%s/%s%d.png", folder, prefix, n) >= (int)size)
        return pf_fail(PF_EIO, "%s: the name is too long", folder);
    return PF_OK;
}

pf_err
masks_read(pf_tensor *alpha, const char *folder, int N, int width, int height)
{
    char path[4096];
    pf_err err = PF_OK;

    PF_TRY(PF_TENSOR_NEW(alpha, PF_F32, N, height, width));
    for (int n = 0; n < N && !err; n++) {
        if ((err = path_of(path, sizeof path, folder, "masked-", n)))
            break;
        if (access(path, F_OK) && (err = path_of(path, sizeof path, folder, "", n)))
            break;
        if (access(path, F_OK))
            err = pf_fail(PF_EIO, "%s has neither masked-%d.png nor %d.png", folder, n, n);
        else
            err = pf_mask_read((float *)alpha->data + (size_t)n * width * height, path, width,
                               height);
    }
    if (err)
        pf_tensor_release(alpha);
    return err;
}

static pf_err
mask_write(const char *path, const uint8_t *rgb, const float *alpha, int width, int height)
{
    pf_image image;
    pf_err err;

    PF_TRY(pf_image_new(&image, width, height, 4));
    for (size_t i = 0; i < (size_t)width * height; i++) {
        memcpy(image.pixel + 4 * i, rgb + 3 * i, 3);
        image.pixel[4 * i + 3] = (uint8_t)(alpha[i] * 255 + 0.5f);
    }
    err = pf_image_save_png(&image, path);
    pf_image_release(&image);
    return err;
}

pf_err
masks_write(const char *folder, const pf_tensor *image, const pf_tensor *alpha)
{
    const int N = (int)image->dim[0], height = (int)image->dim[1], width = (int)image->dim[2];
    const size_t pixels = (size_t)width * height;
    char path[4096];

    if (mkdir(folder, 0777) && errno != EEXIST)
        return pf_fail(PF_EIO, "cannot make the folder %s: %s", folder, strerror(errno));
    for (int n = 0; n < N; n++) {
        PF_TRY(path_of(path, sizeof path, folder, "masked-", n));
        PF_TRY(mask_write(path, (const uint8_t *)image->data + n * pixels * 3,
                          (const float *)alpha->data + n * pixels, width, height));
    }
    return PF_OK;
}
