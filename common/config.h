/* config.h - every size and setting that a YAML config file may hold, pf-config(5).
 *
 *     pf_must(pf_config_load(&pf_conf, "configs/posefusion.yaml"));   // pf_start does this for -c
 *
 * The defaults are the full-size network's.  Unknown keys are refused with file, line and the
 * nearest known key; values are checked for type and range. */
#ifndef PF_CONFIG_H
#define PF_CONFIG_H
#include <stddef.h>

#include "common/error.h"
#include "common/neus_config.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_config {
    struct {
        int view_num, image_size, time_embed_dim;
        double scale_factor;
        const char *parameterization;   /* what the UNet tells: eps, v */
    } model;
    struct { int image_size, patch_size, width, layers, heads, output_dim, elevation; } clip;
    struct { int ch, ch_mult[4], num_res_blocks, z_channels; } vae;
    struct {
        int dims[4], spatial_size;
        double spatial_length;          /* half edge of the volume, scene units */
        int frustum_depth;
        double frustum_length;          /* half depth of the frustum, scene units */
        int target_dim;                 /* channels of the target encoder */
    } volume;
    struct {
        int in_channels, out_channels, model_channels, channel_mult[4], num_res_blocks;
        int attention_resolutions[3];   /* downsampling factors that have transformers */
        int num_heads, context_dim, volume_dims[4];
    } unet;
    struct {
        const char *name;               /* ddim, dpmpp-2m, unipc */
        const char *timesteps;          /* even, original, trailing */
        int steps;
        double eta, cfg_scale;
        int sample_num, batch_view_num;
    } sampler;
    struct {
        const char *method;             /* auto, alpha, white */
        double threshold;               /* white: background if min(rgb) > this, 0..1 */
        int open, close;                /* morphology radii, pixels */
        double soft;                    /* soft edge, pixels */
    } mask;
    struct pf_neus_config neus, nerf;   /* the second for neus.method nerf */
    struct { int resolution; const char *format; } mesh;
    struct { int frames, fps, size; } video;
};

extern struct pf_config pf_conf;        /* what the tools use; starts as the defaults */

/* Merge the file over what conf holds.  PF_EIO, or PF_EFORMAT "FILE:LINE: ...". */
pf_err pf_config_load(struct pf_config *conf, const char *path) PF_MUST_USE;

/* A section as JSON, {"steps":1000,...}, to be kept with what it made; caller frees. */
char *pf_config_section(const struct pf_config *conf, const char *section);
/* Where conf is not what such a text says: was gets "neus.steps 6, neus.lr 0.01", is the same of
 * conf; both "" if it is.  Keys that the text lacks are passed over. */
pf_err pf_config_compare(char *was, char *is, size_t size, const struct pf_config *conf,
                         const char *section, const char *text) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
