/* by_network.c - see by_network.h. */
#include "tools/pf-mask/by_network.h"

#include <string.h>

#include "common/mask.h"

/* Alpha of one view, whose colours at the edge become the object's own, and it stands before
 * white. */
static pf_err
mask_view(float *alpha, uint8_t *rgb, int W, int H, pf_cutter *cutter)
{
    const pf_image view = {.width = W, .height = H, .channels = 3, .pixel = rgb};
    pf_image mask, own = view;
    pf_found found;

    PF_TRY(pf_cutter_find(cutter, &found, &view));
    pf_cutout_settle(&found.mask, cutter->preset);
    const pf_err err = pf_cutter_refine(&mask, &own, &found);
    pf_tensor_release(&found.mask);
    PF_TRY(err);
    for (int i = 0; i < W * H; i++)
        alpha[i] = mask.pixel[i] / 255.0f;
    pf_blend_on_white(rgb, alpha, (int64_t)W * H);
    pf_image_release(&mask);
    return PF_OK;
}

static pf_err
mask_views(pf_tensor *alpha, pf_tensor *image, pf_cutter *cutter)
{
    const int64_t N = image->dim[0], H = image->dim[1], W = image->dim[2];
    pf_err err = PF_OK;
    for (int64_t n = 0; n < N && !err; n++)
        if ((err = mask_view((float *)alpha->data + n * H * W,
                             (uint8_t *)image->data + n * H * W * 3, (int)W, (int)H, cutter)))
            err = pf_fail_in(err, "view %lld", (long long)n);
    return err;
}

pf_err
mask_by_network(pf_doc *doc, const pf_tensor *image, pf_cutter *cutter)
{
    pf_tensor alpha = {0}, white = {0};
    pf_err err = PF_OK;

    if (!(err = PF_TENSOR_NEW(&alpha, PF_F32, image->dim[0], image->dim[1], image->dim[2])) &&
        !(err = pf_tensor_copy(&white, image)) &&
        !(err = mask_views(&alpha, &white, cutter)) &&
        !(err = pf_doc_put(doc, "views.image", &white)))
        err = pf_doc_put(doc, "views.alpha", &alpha);
    pf_tensor_release(&alpha);
    pf_tensor_release(&white);
    return err;
}
