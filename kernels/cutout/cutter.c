/* cutter.c - see cutter.h. */
#include "kernels/cutout/cutter.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cutout/carvekit.h"
#include "kernels/cutout/refine.h"

/* ---- weights ---- */

/* The network that ships lies in configs/ of the tree that holds this program, in build/bin or
 * build/MODE/bin, or where make install puts it, PREFIX/bin beside PREFIX/share/posefusion. */
static pf_err
find_weights(char path[PATH_MAX])
{
    static const char *const places[] = {"../share/posefusion", "../..", "../../.."};
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

    if (n > 0) {
        program[n] = 0;
        const char *const folder = dirname(program);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            if (snprintf(path, PATH_MAX, "%s/%s/configs/cutout/weights.safetensors", folder,
                         places[i]) < PATH_MAX &&
                !access(path, R_OK))
                return PF_OK;
    }
    return pf_fail(PF_EIO, "the network that ships, configs/cutout/weights.safetensors, is not "
                   "near this program: say where with -w");
}

/* TRACER or one of pf_cutout's, and the rules that it wants. */
static pf_err
load(pf_cutter *c, pf_checkpoint *weights)
{
    c->preset = pf_preset_of(weights);
    if (!pf_tracer_recognise(weights))
        return pf_cutout_load(&c->net, c->dev, weights);
    if (!(c->tracer = malloc(sizeof *c->tracer)))
        return pf_fail(PF_ENOMEM, "no memory for a network");
    c->preset = PF_OWN;         /* its mask is taken as it is */
    return pf_tracer_load(c->tracer, c->dev, weights);
}

pf_err
pf_cutter_open(pf_cutter *cutter, const char *path, const char *device, const char *precision)
{
    char shipped[PATH_MAX];
    pf_checkpoint *weights = NULL;
    pf_err err;

    *cutter = (pf_cutter){0};
    if (!path)
        PF_TRY(find_weights(shipped));
    PF_TRY(pf_dev_open(&cutter->dev, device, precision));
    if (!(err = pf_checkpoint_open(&weights, path ? path : shipped)))
        err = load(cutter, weights);
    pf_checkpoint_close(weights);
    if (err)
        pf_cutter_close(cutter);
    return err;
}

pf_err
pf_cutter_add_matting(pf_cutter *cutter, const char *path)
{
    pf_checkpoint *weights;
    pf_err err;

    PF_TRY(pf_checkpoint_open(&weights, path));
    if (!pf_fba_recognise(weights))
        err = pf_fail(PF_EFORMAT, "%s does not hold FBA matting", path);
    else if (!(cutter->matting = malloc(sizeof *cutter->matting)))
        err = pf_fail(PF_ENOMEM, "no memory for a network");
    else
        err = pf_fba_load(cutter->matting, cutter->dev, weights);
    pf_checkpoint_close(weights);
    return err;
}

const char *
pf_cutter_name(const pf_cutter *cutter)
{
    return cutter->tracer ? "TRACER-B7" : pf_cutout_name(cutter->net.kind);
}

pf_err
pf_cutter_set_preset(pf_cutter *cutter, enum pf_preset preset)
{
    if (cutter->tracer && preset != PF_OWN && preset != PF_CARVEKIT)
        return pf_fail(PF_EARG, "TRACER-B7 has rules of its own and carvekit's: --preset own or "
                       "carvekit");
    cutter->preset = preset;
    return cutter->tracer ? PF_OK : pf_preset_check(preset, cutter->net.kind);
}

void
pf_cutter_close(pf_cutter *cutter)
{
    if (cutter->tracer)
        pf_tracer_release(cutter->tracer);
    free(cutter->tracer);
    free(cutter->matting);
    pf_dev_close(cutter->dev);
    *cutter = (pf_cutter){0};
}

/* ---- looking ---- */

/* The part of the picture: it borrows the picture's pixels where that is all of it, and *copy is
 * NULL then, else the caller's to free. */
static pf_err
crop(pf_image *part, uint8_t **copy, const pf_image *rgb, const pf_found *at)
{
    *part = *rgb;
    *copy = NULL;
    if (at->width == rgb->width && at->height == rgb->height)
        return PF_OK;
    PF_TRY(pf_image_new(part, at->width, at->height, 3));
    *copy = part->pixel;
    for (int y = 0; y < at->height; y++)
        memcpy(part->pixel + (size_t)y * at->width * 3,
               rgb->pixel + ((size_t)(at->y + y) * rgb->width + at->x) * 3, (size_t)at->width * 3);
    return PF_OK;
}

static pf_err
prepare(pf_tensor *input, pf_cutter *c, const pf_image *rgb, const pf_found *at)
{
    pf_image part;
    uint8_t *copy;
    PF_TRY(crop(&part, &copy, rgb, at));
    const pf_err err = c->tracer ? pf_carvekit_prepare(input, &part, PF_TRACER_SIDE)
                                 : pf_cutout_prepare(input, &part, pf_cutout_side(c->net.kind),
                                                     c->net.kind, c->preset);
    free(copy);                 /* before the network needs its own memory */
    return err;
}

/* found->mask, of that part of the picture. */
static pf_err
look_at(pf_cutter *c, pf_found *found, const pf_image *rgb)
{
    pf_tensor input;

    PF_TRY(prepare(&input, c, rgb, found));
    const pf_err err = c->tracer ? pf_tracer_run(c->dev, c->tracer, &found->mask, &input, NULL)
                                 : pf_cutout_run(c->dev, &c->net, &found->mask, &input, NULL);
    pf_tensor_release(&input);
    return err;
}

pf_err
pf_cutter_look(pf_cutter *cutter, pf_found *found, const pf_image *rgb)
{
    *found = (pf_found){.width = rgb->width, .height = rgb->height};
    return look_at(cutter, found, rgb);
}

/* The mask's box of what is above one half; false if nothing is. */
static bool
object_box(int box[4], const pf_tensor *mask)
{
    const int H = (int)mask->dim[0], W = (int)mask->dim[1];
    box[0] = W;
    box[1] = H;
    box[2] = box[3] = 0;
    for (int i = 0; i < W * H; i++) {
        const int x = i % W, y = i / W;
        if (((const float *)mask->data)[i] <= 0.5f)
            continue;
        box[0] = x < box[0] ? x : box[0];
        box[1] = y < box[1] ? y : box[1];
        box[2] = x >= box[2] ? x + 1 : box[2];
        box[3] = y >= box[3] ? y + 1 : box[3];
    }
    return box[2] > 0;
}

/* The object and 15 % of its longer side around it, of width x height pixels.  false: there is
 * none, or it would not be shown larger in a way that matters, by a third of the area at least. */
static bool
worth_another_look(pf_found *part, const pf_tensor *mask, int width, int height)
{
    const double across = (double)width / (double)mask->dim[1];
    const double down = (double)height / (double)mask->dim[0];
    int box[4];

    if (!object_box(box, mask))
        return false;
    const double margin = 0.15 * fmax((box[2] - box[0]) * across, (box[3] - box[1]) * down);
    const int right = (int)fmin(width, ceil(box[2] * across + margin));
    const int bottom = (int)fmin(height, ceil(box[3] * down + margin));
    part->x = (int)fmax(0, floor(box[0] * across - margin));
    part->y = (int)fmax(0, floor(box[1] * down - margin));
    part->width = right - part->x;
    part->height = bottom - part->y;
    return (across > 1 || down > 1) &&
           (double)part->width * part->height < 0.75 * width * height;
}

pf_err
pf_cutter_find(pf_cutter *cutter, pf_found *found, const pf_image *rgb)
{
    pf_found near = {0};
    int box[4];

    PF_TRY(pf_cutter_look(cutter, found, rgb));
    if (!worth_another_look(&near, &found->mask, rgb->width, rgb->height))
        return PF_OK;
    const pf_err err = look_at(cutter, &near, rgb);
    if (!err && !object_box(box, &near.mask)) {         /* what it saw from afar stands */
        pf_tensor_release(&near.mask);
        return PF_OK;
    }
    pf_tensor_release(&found->mask);
    *found = near;
    return err;
}

/* ---- back to the picture ---- */

pf_err
pf_cutter_refine(pf_image *alpha, pf_image *rgb, const pf_found *found)
{
    const size_t W = (size_t)rgb->width;
    pf_refine *r = NULL;
    uint8_t *copy;
    pf_image part;

    PF_TRY(crop(&part, &copy, rgb, found));
    pf_err err = pf_refine_new(&r, &part, &found->mask);
    free(copy);
    if (!err && !(err = pf_image_new(alpha, rgb->width, rgb->height, 1))) {
#pragma omp parallel for
        for (int y = 0; y < found->height; y++) {
            const size_t at = (size_t)(found->y + y) * W + (size_t)found->x;
            pf_refine_row(r, alpha->pixel + at, rgb->pixel + 3 * at, found->width, y,
                          found->height);
        }
    }
    pf_refine_free(r);
    return err;
}

pf_err
pf_cutter_finish(pf_image *alpha, pf_image *rgb, pf_cutter *c, const pf_found *found)
{
    const bool grey = c->preset == PF_CARVEKIT && (c->tracer || c->matting);
    pf_err err = c->tracer ? pf_carvekit_mask(alpha, &found->mask, rgb->width, rgb->height)
                           : pf_cutout_finish(alpha, &found->mask, rgb->width, rgb->height,
                                              c->net.kind, c->preset);
    if (!err && c->matting && (err = pf_carvekit_matting(alpha, rgb, c->dev, c->matting, !grey)))
        pf_image_release(alpha);
    if (!err && grey)
        pf_carvekit_colours(rgb, alpha);
    return err;
}
