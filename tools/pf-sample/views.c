/* views.c - what the cameras of one target elevation decide (spec 01; spec 03, 5.2 and 5.4). */
#include "common/camera.h"
#include "tools/pf-sample/views.h"

/* proj = diag(1/8, 1/8, 1) K [R | t];  unproj = [R^T (that K)^-1 | -R^T t]. */
static void
projections(float proj[12], float unproj[12], const double P[12], const double K[9])
{
    const double f = K[0] / 8, cx = K[2] / 8, cy = K[5] / 8;
    for (int c = 0; c < 4; c++) {
        proj[c] = (float)(f * P[c] + cx * P[8 + c]);
        proj[4 + c] = (float)(f * P[4 + c] + cy * P[8 + c]);
        proj[8 + c] = (float)P[8 + c];
    }
    for (int r = 0; r < 3; r++) {
        unproj[4 * r] = (float)(P[r] / f);
        unproj[4 * r + 1] = (float)(P[4 + r] / f);
        unproj[4 * r + 2] = (float)(P[8 + r] - (cx * P[r] + cy * P[4 + r]) / f);
        unproj[4 * r + 3] = (float)-(P[r] * P[3] + P[4 + r] * P[7] + P[8 + r] * P[11]);
    }
}

/* 32 bits of a row of `size` bits from bit `at` on; those past the end are 0. */
static uint32_t
bits_at(const uint32_t *row, int64_t size, int64_t at)
{
    const int64_t k = at / 32, shift = at % 32, words = (size + 31) / 32;
    uint64_t two = row[k];
    if (k + 1 < words)
        two |= (uint64_t)row[k + 1] << 32;
    return (uint32_t)(two >> shift);
}

/* Bit i to bit 2i. */
static uint64_t
spread(uint32_t x)
{
    uint64_t v = x;
    v = (v | v << 16) & 0x0000FFFF0000FFFFu;
    v = (v | v << 8) & 0x00FF00FF00FF00FFu;
    v = (v | v << 4) & 0x0F0F0F0F0F0F0F0Fu;
    v = (v | v << 2) & 0x3333333333333333u;
    return (v | v << 1) & 0x5555555555555555u;
}

void
views_interleave(uint32_t *to, const uint32_t *from, int64_t pixels)
{
    const int64_t T = 2 * pixels, words = (T + 31) / 32;
    for (int64_t row = 0; row < T; row++) {
        const uint32_t *in = from + ((row % 2) * pixels + row / 2) * words;
        uint32_t *out = to + row * words;
        for (int64_t q = 0; q < pixels; q += 32) {
            const uint32_t keep = pixels - q >= 32 ? ~0u : (1u << (pixels - q)) - 1;
            const uint64_t both = spread(bits_at(in, T, q) & keep) | spread(bits_at(in, T, pixels + q) & keep) << 1;
            out[q / 16] = (uint32_t)both;
            if (q / 16 + 1 < words)
                out[q / 16 + 1] = (uint32_t)(both >> 32);
        }
    }
}

/* Two channels-first maps [6, pixels] into token order [2 * pixels, 6]. */
static void
plucker_tokens(float *to, const float *target, const float *input, int64_t pixels)
{
    for (int64_t p = 0; p < pixels; p++)
        for (int c = 0; c < 6; c++) {
            to[12 * p + c] = target[c * pixels + p];
            to[12 * p + 6 + c] = input[c * pixels + p];
        }
}

struct spad_host {              /* host memory: every level's result, and the work of one view */
    pf_tensor plucker[UNET_LEVELS], mask[UNET_LEVELS];  /* all views */
    pf_tensor full[2], small[2];                        /* Pluecker maps: target, input */
    pf_tensor full_bits, small_bits;
};

static void
spad_release(struct spad_host *b)
{
    for (int i = 0; i < UNET_LEVELS; i++) {
        pf_tensor_release(&b->plucker[i]);
        pf_tensor_release(&b->mask[i]);
    }
    for (int i = 0; i < 2; i++) {
        pf_tensor_release(&b->full[i]);
        pf_tensor_release(&b->small[i]);
    }
    pf_tensor_release(&b->full_bits);
    pf_tensor_release(&b->small_bits);
}

static pf_err
spad_new(struct spad_host *b, int64_t V, int64_t n)
{
    const int64_t full = 2 * n * n;
    for (int i = 0; i < UNET_LEVELS; i++) {
        const int64_t T = 2 * (n >> i) * (n >> i);
        PF_TRY(PF_TENSOR_NEW(&b->plucker[i], PF_F32, V, T, 6));
        PF_TRY(PF_TENSOR_NEW(&b->mask[i], PF_U32, V, T, (T + 31) / 32));
    }
    for (int i = 0; i < 2; i++) {
        PF_TRY(PF_TENSOR_NEW(&b->full[i], PF_F32, 6, n, n));
        PF_TRY(PF_TENSOR_NEW(&b->small[i], PF_F32, 6, n, n));
    }
    PF_TRY(PF_TENSOR_NEW(&b->full_bits, PF_U32, full, (full + 31) / 32));
    return PF_TENSOR_NEW(&b->small_bits, PF_U32, full, (full + 31) / 32);
}

/* Maps and masks of view v at every side n >> level. */
static void
spad_view(struct spad_host *b, int64_t v, const struct pf_spad_camera *target,
          const struct pf_spad_camera *input, int n)
{
    pf_plucker(b->full[0].data, target, n);
    pf_plucker(b->full[1].data, input, n);
    pf_epipolar_mask(b->full_bits.data, target, input, n);
    for (int i = 0; i < UNET_LEVELS; i++) {
        const int h = n >> i;
        const int64_t T = 2 * (int64_t)h * h, words = (T + 31) / 32;
        const pf_tensor *map = i ? b->small : b->full, *bits = i ? &b->small_bits : &b->full_bits;
        if (i) {
            pf_plucker_shrink(b->small[0].data, h, b->full[0].data, n);
            pf_plucker_shrink(b->small[1].data, h, b->full[1].data, n);
            pf_epipolar_mask_shrink(b->small_bits.data, h, b->full_bits.data, n);
        }
        plucker_tokens((float *)b->plucker[i].data + v * T * 6, map[0].data, map[1].data, T / 2);
        views_interleave((uint32_t *)b->mask[i].data + v * T * words, bits->data, T / 2);
    }
}

static pf_err
spad_views(struct run *r, struct views *w, float elevation, float input_elevation, float input_azimuth)
{
    struct pf_spad_camera target, input;
    struct spad_host b = {0};
    pf_err err;
    if ((err = spad_new(&b, w->V, w->side)))
        goto out;
    pf_spad_camera(&input, input_elevation, input_azimuth);
    for (int64_t v = 0; v < w->V; v++) {
        pf_spad_camera(&target, elevation, ((float *)w->azimuth.data)[v]);
        spad_view(&b, v, &target, &input, w->side);
    }
    for (int i = 0; i < UNET_LEVELS; i++)
        if ((err = run_put(r, &w->plucker[i], &b.plucker[i])) ||
            (err = pf_dev_alloc(r->dev, &w->mask[i], PF_U32, 3, b.mask[i].dim)) ||
            (err = pf_dev_put(r->dev, &w->mask[i], &b.mask[i])))
            goto out;
out:
    spad_release(&b);
    return err;
}

static pf_err
put_f32(struct run *r, pf_tensor *to, float *host, int64_t V)
{
    const pf_tensor t = PF_VIEW(host, PF_F32, V, 3, 4);
    PF_TRY(pf_dev_alloc(r->dev, to, PF_F32, 3, t.dim));
    return pf_dev_put(r->dev, to, &t);
}

static pf_err
rig(struct run *r, struct views *w, float elevation, float input_elevation, float input_azimuth, int image_size)
{
    pf_tensor proj = {0}, unproj = {0};
    double P[12], K[9];
    pf_err err;
    PF_TRY(PF_TENSOR_NEW(&w->embed, PF_F32, w->V, 4));
    if ((err = PF_TENSOR_NEW(&proj, PF_F32, w->V, 3, 4)) || (err = PF_TENSOR_NEW(&unproj, PF_F32, w->V, 3, 4)))
        goto out;
    pf_camera_intrinsics(K, image_size);
    for (int64_t v = 0; v < w->V; v++) {
        const float azimuth = ((float *)w->azimuth.data)[v];
        pf_camera_pose(P, elevation, azimuth);
        projections((float *)proj.data + 12 * v, (float *)unproj.data + 12 * v, P, K);
        pf_viewpoint_embed((float *)w->embed.data + 4 * v, input_elevation, elevation, azimuth, input_azimuth);
    }
    if ((err = put_f32(r, &w->proj, proj.data, w->V)) || (err = put_f32(r, &w->unproj, unproj.data, w->V)))
        goto out;
    err = run_put(r, &w->v, &w->embed);
out:
    pf_tensor_release(&proj);
    pf_tensor_release(&unproj);
    return err;
}

pf_err
views_make(struct run *r, struct views *w, const struct pf_config *conf, bool spad, float elevation,
           float input_elevation, float input_azimuth)
{
    *w = (struct views){.V = conf->model.view_num, .side = conf->model.image_size / 8};
    PF_TRY(pf_rig_tensors(&w->pose, &w->intrinsics, &w->elevation, &w->azimuth, conf->model.view_num, elevation,
                          conf->model.image_size));
    PF_TRY(rig(r, w, elevation, input_elevation, input_azimuth, conf->model.image_size));
    return spad ? spad_views(r, w, elevation, input_elevation, input_azimuth) : PF_OK;
}

void
views_release(struct views *w)
{
    pf_tensor_release(&w->pose);
    pf_tensor_release(&w->intrinsics);
    pf_tensor_release(&w->elevation);
    pf_tensor_release(&w->azimuth);
    pf_tensor_release(&w->embed);
}
