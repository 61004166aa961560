/* neus_config.h - the settings of a field and its training, pf-config(5): the sections neus and
 * nerf of struct pf_config, and all that kernels/field know of settings (field.md). */
#ifndef PF_NEUS_CONFIG_H
#define PF_NEUS_CONFIG_H

/* The kinds of field, each once: a folder kernels/field/NAME that defines pf_NAME_ops.  Those with
 * a surface are the choices of neus.field; nerf is a method of its own. */
#define PF_NEUS_FIELDS(FIELD) FIELD(hash) FIELD(mlp)
#define PF_FIELDS(FIELD) PF_NEUS_FIELDS(FIELD) FIELD(nerf)

struct pf_neus_config {
    const char *method;         /* neus, nerf: the section that counts */
    const char *field;          /* one of PF_FIELDS */
    int steps, warm_up;
    int batch_rays;                 /* rays of a batch from all pixels */
    int foreground_rays;            /* rays of a batch from the object */
    double lr, lr_end;          /* base rate; factor at the end (hash: exponential decay) */
    double lambda_rgb, lambda_mask, lambda_eikonal;
    double bound;               /* half side of the cube that is searched, scene units */
    int anneal_steps;           /* steps until the cosine is fully annealed */
    /* mlp */
    int sdf_width, sdf_layers, sdf_frequencies, feature_dim;
    int color_width, color_layers, color_frequencies;
    int coarse_samples, fine_samples, fine_rounds;
    /* hash */
    int levels, level_features, log2_table, base_resolution, max_resolution;
    int hidden, color_hidden, geo_features; /* widths; features that the colour net gets */
    double init_radius;         /* radius of the sphere that training starts from */
    int start_levels, level_steps; /* coarse to fine: levels at first; steps until the next */
    int occupancy_resolution, ray_samples;
    double lambda_area;         /* weighs the surface's area, which closes it where no view sees */
    int area_points;            /* points near the surface that estimate it in a step */
    double lr_variance;         /* factor of lr for the sharpness */
    double lr_tone;             /* factor of lr for gain and offset of each view; 0: none */
    int view_start;             /* step from which the colour depends on the direction */
};

#endif
