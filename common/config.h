/* config.h - every size and setting that a YAML config file may hold, pf-config(5).
 *
 *     pf_must(pf_config_load(&pf_conf, "configs/posefusion.yaml"));   // pf_start does this for -c
 *
 * The defaults are the full-size network's.  Unknown keys are refused with file, line and the
 * nearest known key; values are checked for type and range. */
#ifndef PF_CONFIG_H
#define PF_CONFIG_H
#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_config {
    struct { int view_num, image_size, time_embed_dim; double scale_factor; } model;
    struct { int image_size, patch_size, width, layers, heads, output_dim; } clip;
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
        const char *name;               /* ddim */
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
    struct {                            /* pf-neus; field.md */
        const char *field;              /* hash or mlp */
        int steps, warm_up;
        int batch_rays, foreground_rays;        /* of a batch: from all pixels; from the object */
        double lr, lr_end;              /* base rate; factor at the end (hash: exponential decay) */
        double lambda_rgb, lambda_mask, lambda_eikonal;
        double bound;                   /* half side of the cube that is searched, scene units */
        int anneal_steps;               /* steps until the cosine is fully annealed */
        /* mlp */
        int sdf_width, sdf_layers, sdf_frequencies, feature_dim;
        int color_width, color_layers, color_frequencies;
        int coarse_samples, fine_samples, fine_rounds;
        /* hash */
        int levels, level_features, log2_table, base_resolution, max_resolution;
        int hidden, color_hidden, geo_features; /* widths; features that the colour net gets */
        double init_radius;             /* of the sphere that training starts from */
        int start_levels, level_steps;  /* coarse to fine: levels at first; steps until the next */
        int occupancy_resolution, ray_samples;
        double lambda_area;             /* of the surface: what no view sees is closed flat */
        int area_points;                /* near the surface, of a step */
        double lr_variance;             /* factor of lr for the sharpness */
    } neus;
    struct { int steps, batch_rays; double lr, bound; } nerf;
    struct { int resolution; const char *format; } mesh;
    struct { int frames, fps, size; } video;
};

extern struct pf_config pf_conf;        /* what the tools use; starts as the defaults */

/* Merge the file over what conf holds.  PF_EIO, or PF_EFORMAT "FILE:LINE: ...". */
pf_err pf_config_load(struct pf_config *conf, const char *path) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
