/* pf-clip-embed - what CLIP sees in the photo.
 * in:  input.image [3, S, S]      out: input.clip [1, E] */
#include <math.h>

#include "common/batch.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "tools/pf-clip-embed/vit.h"

static bool verify;

static const struct pf_opt opts[] = {
    PF_OPT_FLAG(0, "verify", verify, "compare the weights with their checksums first"),
    PF_OPT_END
};

/* Add input.clip to a document. */
static pf_err
embed(pf_doc *doc, pf_dev *dev, const struct vit *vit)
{
    pf_tensor image, input = {0}, clip = {0};
    pf_err err;
    PF_TRY(pf_doc_need(doc, "input.image", PF_F32, 3, (int64_t[]){3, -1, -1}, &image));
    if (image.dim[1] != image.dim[2] || image.dim[1] < 1 || image.dim[1] > 32768)
        return pf_fail(PF_ESHAPE, "input.image is %lld by %lld, expected a square view as pf-crop "
                       "makes it",
                       (long long)image.dim[2], (long long)image.dim[1]);
    PF_TRY(pf_tensor_expect_range(&image, "input.image", -1 - 1e-6, 1 + 1e-6, "-1 to 1"));
    if ((err = vit_preprocess(&input, &image, vit->side)) ||            // [3, side, side]
        (err = vit_embed(dev, &clip, vit, &input)))                     // [1, E]
        goto out;
    for (int64_t i = 0; i < clip.dim[1] && !err; i++)
        if (!isfinite(((float *)clip.data)[i]))
            err = pf_fail(PF_EFORMAT, "CLIP's embedding of this view is not finite; are the "
                          "weights damaged?");
    if (err || (err = pf_doc_put(doc, "input.clip", &clip)))
        goto out;
    err = pf_doc_add_history(doc);
out:
    pf_tensor_release(&input);
    pf_tensor_release(&clip);
    return err;
}

int
main(int argc, char *argv[])
{
    static struct vit vit;
    pf_checkpoint *weights;
    pf_batch *batch;
    pf_doc doc = {0};
    pf_dev *dev;
    pf_err err;

    pf_start(&argc, &argv, "[STREAM]", "Add CLIP's embedding of a photo to its stream.", opts);
    if (argc > 1)
        pf_usage("one stream at a time, not %d", argc);
    if (!pf_common.weights)
        pf_usage("-w WEIGHTS is missing: the diffusion checkpoint, or CLIP's own file");
    pf_need_stream_name();
    pf_must(pf_batch_open(&batch, pf_common.out));
    pf_sandbox(PF_SANDBOX_DEVICE);
    pf_must(pf_batch_input(batch, argc, argv));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    pf_must(pf_checkpoint_open(&weights, pf_common.weights));
    if (verify)
        pf_must(pf_checkpoint_verify_all(weights));
    const double start = pf_seconds();
    pf_must(pf_hint_config(vit_load(&vit, dev, weights, &pf_conf)));
    while ((err = pf_batch_read(batch, &doc)) == PF_OK)
        pf_must(pf_batch_put(batch, &doc, pf_batch_blame(batch, embed(&doc, dev, &vit))));
    pf_must(err == PF_END ? PF_OK : err);
    pf_stage_time("embedding", pf_seconds() - start);
    pf_doc_release(&doc);
    pf_dev_close(dev);
    pf_checkpoint_close(weights);
    return pf_batch_end(batch);
}
