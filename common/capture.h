/* capture.h - pictures and their cameras as other programs write them down: transforms.json of
 * nerfstudio and instant-ngp, or the text model of COLMAP.
 *
 *     struct pf_capture c = {0};
 *     pf_must(pf_capture_read(&c, "transforms.json", NULL));
 *     ... c.shot[i] ...
 *     pf_capture_release(&c); */
#ifndef PF_CAPTURE_H
#define PF_CAPTURE_H
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

enum { PF_CAPTURE_PATH = 4096 };

struct pf_shot {
    char *picture, *mask;       /* names of files that are there; mask NULL: none is named */
    char *where;                /* "transforms.json: frame 3" or "images.txt:7", for errors */
    double R[9], t[3];          /* world to camera, x right, y down, z forward: R a rotation */
    double fx, fy, cx, cy;      /* pixels; column j's middle is at u = j + 0.5; NAN: not said */
    double angle_x, angle_y;    /* radians that the picture spans, for fx, fy; NAN: not said */
    int64_t id;                 /* COLMAP's IMAGE_ID */
    int width, height;          /* 0: those of the picture */
};
struct pf_capture {             /* zero to initialise, but for what a reader is to do */
    struct pf_shot *shot;
    int shots;
    bool cameras_alone;         /* files of pictures need not be there, and masks are not read */
};

/* K of a shot whose pictures have this size, for pixels whose middles are at whole numbers, as all
 * documents have them. */
void pf_shot_intrinsics(double K[9], const struct pf_shot *shot, int width, int height);

/* path: a transforms.json, "-" for stdin, or a folder with COLMAP's cameras.txt and images.txt.
 * Names of pictures count from images or, if that is NULL, from the folder of that file, stdin's
 * from the current one.  PF_EIO,
 * PF_EFORMAT: one sentence with the file, and the line or the frame. */
pf_err pf_capture_read(struct pf_capture *c, const char *path, const char *images) PF_MUST_USE;
void pf_capture_release(struct pf_capture *c);

/* For the readers: a zeroed shot more, of this picture of that folder, whose file must be there. */
pf_err pf_capture_add(struct pf_capture *c, struct pf_shot **shot, const char *folder,
                      const char *picture, const char *where) PF_MUST_USE;
/* path of name counted from folder; a name without ending gets that of the picture that is
 * there. */
pf_err pf_capture_find(char path[PF_CAPTURE_PATH], const char *folder, const char *name,
                       const char *where) PF_MUST_USE;
pf_err pf_transforms_read(struct pf_capture *c, const char *path, const char *images) PF_MUST_USE;
pf_err pf_colmap_read(struct pf_capture *c, const char *folder, const char *images) PF_MUST_USE;

#endif
