/* cutter.h - a network that cuts out, with its weights, and what it finds in a picture.
 *
 *     PF_TRY(pf_cutter_open(&cutter, NULL, "cpu", NULL));      // NULL: the weights that ship
 *     PF_TRY(pf_cutter_find(&cutter, &found, &photo));
 *     PF_TRY(pf_cutter_refine(&alpha, &photo, &found));
 *     pf_tensor_release(&found.mask);
 *     pf_cutter_close(&cutter); */
#ifndef PF_CUTTER_H
#define PF_CUTTER_H
#include "kernels/cutout/fba.h"
#include "kernels/cutout/prepare.h"
#include "kernels/cutout/tracer.h"

typedef struct pf_cutter {
    pf_dev *dev;
    pf_cutout net;
    pf_tracer *tracer;          /* in place of net; NULL: net */
    pf_fba *matting;            /* NULL: none */
    enum pf_preset preset;      /* the weights' own; another may be set (pf_preset_check) */
} pf_cutter;

/* Where the network saw the object: a part of the picture, and the mask f32 [S, S] of that part. */
typedef struct pf_found {
    int x, y, width, height;
    pf_tensor mask;
} pf_found;

/* path: of the weights; NULL: of those that ship, found beside the program or where make install
 * puts them. */
pf_err pf_cutter_open(pf_cutter *cutter, const char *path, const char *device,
                      const char *precision) PF_MUST_USE;
/* Let pf_cutter_finish be followed by FBA matting, whose weights these are. */
pf_err pf_cutter_add_matting(pf_cutter *cutter, const char *path) PF_MUST_USE;
void pf_cutter_close(pf_cutter *cutter);
const char *pf_cutter_name(const pf_cutter *cutter);            /* the network's: "U^2-Net-p" */
/* Set the rules that go before and behind the network; PF_EARG if nobody runs it by these. */
pf_err pf_cutter_set_preset(pf_cutter *cutter, enum pf_preset preset) PF_MUST_USE;

/* The mask of the whole picture, 3 channels, as the network gives it, is the caller's. */
pf_err pf_cutter_look(pf_cutter *cutter, pf_found *found, const pf_image *rgb) PF_MUST_USE;
/* The same, but the network looks again, at the object alone, where that shows it larger. */
pf_err pf_cutter_find(pf_cutter *cutter, pf_found *found, const pf_image *rgb) PF_MUST_USE;
/* alpha of 1 channel at the picture's size; where it is not 0 or 1 the picture gets the colours of
 * the object alone (refine.h). */
pf_err pf_cutter_refine(pf_image *alpha, pf_image *rgb, const pf_found *found) PF_MUST_USE;

/* alpha by the rules of the preset, from the mask of the whole picture.  With matting the network
 * decides, and pixels of the edge get the object's colour; by carvekit's rules they get grey. */
pf_err pf_cutter_finish(pf_image *alpha, pf_image *rgb, pf_cutter *cutter,
                        const pf_found *found) PF_MUST_USE;

#endif
