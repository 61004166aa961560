/* score.c - see score.h (scores.md, 3). */
#include "tools/pf-pick/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "common/config.h"
#include "common/plain.h"
#include "common/posed_views.h"
#include "tools/pf-pick/hull.h"

enum { CELLS = 64, PIXELS = LOOK * LOOK };
static const double half_cube = 0.6;            // views may show a little more than the unit cube
static const double unseen = 0.2;               // as two colours of an object differ
enum { SWEEP = 10 };                            // elevations at which the photo is tried
static const double sweep_first = -30, sweep_step = 10;

const char *const score_names[SCORES] = {"silhouette",  "color",     "coherence", "consistency",
                                         "agreement",   "shape_pull", "color_pull"};

/* Everything about a document.  Picture number `views` is the photo. */
struct scene {
    int views;
    struct picture *picture;                    // [views + 1]
    float *mask, *cover, *depth;                // [views + 1, LOOK, LOOK]
    float *rgb;                                 // [views, H, W, 3] and the photo's, 0..1
    struct hull hull, joint;                    // of the views; of views and photo
};

static void
scene_release(struct scene *s)
{
    free(s->picture);
    free(s->mask);
    free(s->cover);
    free(s->depth);
    free(s->rgb);
    hull_release(&s->hull);
    hull_release(&s->joint);
}

/* ---- from the document ---- */

/* views.alpha as pf-mask makes it, for a document that has none. */
static pf_err
make_masks(pf_doc *doc, const char *title)
{
    pf_tensor image, alpha;
    uint8_t ground[3];
    pf_err err = PF_OK;
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], H = image.dim[1], W = image.dim[2];
    if (N < 1 || W < 1 || W > PF_VIEW_SIDE_MAX || H < 1 || H > PF_VIEW_SIDE_MAX)
        return pf_fail(PF_ESHAPE, "views.image: %lld views of %lld x %lld pixels, expected 1 to %d "
                       "a side", (long long)N, (long long)W, (long long)H, PF_VIEW_SIDE_MAX);
    if (!pf_plain_background(ground, image.data, N, (int)W, (int)H, 0.5, &pf_conf))
        pf_warn("%s: there is no views.alpha, and no colour fills the border of the views; white "
                "is taken for their background", title);
    PF_TRY(PF_TENSOR_NEW(&alpha, PF_F32, N, H, W));
    for (int64_t n = 0; n < N && !err; n++)
        err = pf_plain_alpha((float *)alpha.data + n * H * W,
                             (const uint8_t *)image.data + n * H * W * 3, (int)W, (int)H, ground,
                             &pf_conf);
    if (!err)
        err = pf_doc_put(doc, "views.alpha", &alpha);
    pf_tensor_release(&alpha);
    return err;
}

struct photo {                                  // borrowed from a document
    int side;
    const float *image, *alpha;                 // [3, S, S] -1..1, [S, S]
    double elevation, azimuth;
};

static pf_err
need_number(double *to, const pf_doc *doc, const char *name, double most)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, name, PF_F32, 1, (int64_t[]){1}, &t));
    *to = (double)*(float *)t.data;
    return pf_tensor_expect_range(&t, name, -most - 1e-6, most + 1e-6, "an angle in radians");
}

/* As pf_posed_views_show_object has it. */
static bool
shows_object(const float *alpha, int64_t pixels)
{
    for (int64_t i = 0; i < pixels; i++)
        if (alpha[i] >= 0.5f)
            return true;
    return false;
}

static pf_err
read_photo(struct photo *p, const pf_doc *doc)
{
    pf_tensor image, alpha;
    PF_TRY(pf_doc_need(doc, "input.image", PF_F32, 3, (int64_t[]){3, -1, -1}, &image));
    const int64_t S = image.dim[1];
    if (S < 1 || S > PF_VIEW_SIDE_MAX || image.dim[2] != S)
        return pf_fail(PF_ESHAPE, "input.image is [3, %lld, %lld], expected a square of 1 to %d "
                       "pixels a side", (long long)S, (long long)image.dim[2], PF_VIEW_SIDE_MAX);
    PF_TRY(pf_doc_need(doc, "input.alpha", PF_F32, 2, (int64_t[]){S, S}, &alpha));
    PF_TRY(pf_tensor_expect_range(&image, "input.image", -1 - 1e-6, 1 + 1e-6, "-1 to 1"));
    PF_TRY(pf_tensor_expect_range(&alpha, "input.alpha", 0, 1, "0 to 1"));
    *p = (struct photo){.side = (int)S, .image = image.data, .alpha = alpha.data};
    if (!shows_object(p->alpha, S * S))
        return pf_fail(PF_EFORMAT, "input.alpha: the photo shows no object");
    PF_TRY(need_number(&p->elevation, doc, "input.elevation", PF_PI / 2));
    return need_number(&p->azimuth, doc, "input.azimuth", 1e4);
}

/* The elevation in the photo's embedding, where the model's encoder was taught to put it there. */
static pf_err
read_embedding(double *deg, const pf_doc *doc)
{
    const int at = pf_conf.clip.elevation;
    pf_tensor clip;
    *deg = NAN;
    if (at < 0)
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "input.clip", PF_F32, 2, (int64_t[]){1, -1}, &clip));
    if (clip.dim[1] < at + 2)
        return pf_fail(PF_ESHAPE, "input.clip has %lld numbers, expected the elevation at %d and "
                       "%d, as clip.elevation says", (long long)clip.dim[1], at, at + 1);
    PF_TRY(pf_tensor_expect_range(&clip, "input.clip", -1e6, 1e6, "CLIP's features"));
    const float *const p = (float *)clip.data + at;
    *deg = atan2((double)p[0], fmax((double)p[1], 0)) * (180 / PF_PI);
    return PF_OK;
}

/* The camera of a photo of which only the direction is known (scores.md, 2). */
static void
place_photo(struct picture *p, double elevation, double azimuth)
{
    pf_camera_pose(p->pose, elevation, azimuth);
    pf_camera_intrinsics(p->K, p->width);
}

static pf_err
scene_alloc(struct scene *s, const struct pf_posed_views *v, const struct photo *photo)
{
    const size_t n = (size_t)v->count + 1, side = (size_t)photo->side;
    const size_t area = (size_t)v->width * (size_t)v->height;
    s->views = v->count;
    s->picture = calloc(n, sizeof *s->picture);
    s->mask = malloc(n * PIXELS * sizeof(float));
    s->cover = malloc(n * PIXELS * sizeof(float));
    s->depth = malloc(n * PIXELS * sizeof(float));
    s->rgb = malloc(3 * ((size_t)v->count * area + side * side) * sizeof(float));
    if (!s->picture || !s->mask || !s->cover || !s->depth || !s->rgb)
        return pf_fail(PF_ENOMEM, "no memory for %d views", v->count);
    PF_TRY(hull_new(&s->hull, CELLS, half_cube));
    return hull_new(&s->joint, CELLS, half_cube);
}

static void
set_view(struct scene *s, const struct pf_posed_views *v, int n)
{
    const int64_t area = (int64_t)v->width * v->height;
    float *const rgb = s->rgb + 3 * n * area;
    struct picture *const p = &s->picture[n];
    *p = (struct picture){v->width, v->height, v->alpha + n * area, rgb, {0}, {0}};
    for (int64_t i = 0; i < 3 * area; i++)
        rgb[i] = (float)v->image[3 * n * area + i] / 255;
    for (int k = 0; k < 12; k++)
        p->pose[k] = (double)v->pose[12 * n + k];
    pf_posed_views_intrinsics(p->K, v, n);
}

static void
set_photo(struct scene *s, const struct photo *photo, float *rgb)
{
    const int64_t area = (int64_t)photo->side * photo->side;
    s->picture[s->views] =
        (struct picture){photo->side, photo->side, photo->alpha, rgb, {0}, {0}};
    for (int64_t i = 0; i < 3 * area; i++)
        rgb[i] = (photo->image[i % 3 * area + i / 3] + 1) / 2;
    place_photo(&s->picture[s->views], photo->elevation, photo->azimuth);
}

/* The picture's mask where hull_look looks. */
static void
look_at_mask(float *to, const struct picture *p)
{
    for (int i = 0; i < LOOK; i++)
        for (int j = 0; j < LOOK; j++)
            to[i * LOOK + j] = picture_at(p, p->alpha, 1, 0, fmax(0, look_at(j, p->width)),
                                          fmax(0, look_at(i, p->height)), 0);
}

static void
look(struct scene *s, int n)
{
    hull_look(&s->hull, &s->picture[n], s->cover + n * PIXELS, s->depth + n * PIXELS);
}

/* The views' hull; why is said where nothing is left. */
static void
carve(char why[96], struct scene *s, const struct pf_posed_views *v)
{
    const int64_t area = (int64_t)v->width * v->height;
    for (int n = 0; n < v->count; n++) {
        set_view(s, v, n);
        hull_carve(&s->hull, &s->picture[n]);
    }
    if (s->hull.low[0] <= s->hull.high[0])
        return;
    int n = 0;
    while (n < v->count && shows_object(v->alpha + n * area, area))
        n++;
    if (!pf_posed_views_show_object(v))
        snprintf(why, 96, "no view shows an object");
    else if (n < v->count)
        snprintf(why, 96, "view %d shows no object", n);
    else
        snprintf(why, 96, "the views show no object in common");
}

/* Photo, and the views' hull as every view sees it. */
static void
see(struct scene *s, const struct pf_posed_views *v, const struct photo *photo)
{
    set_photo(s, photo, s->rgb + 3 * (int64_t)v->count * v->width * v->height);
    for (int n = 0; n <= v->count; n++)
        look_at_mask(s->mask + n * PIXELS, &s->picture[n]);
    for (int n = 0; n < v->count; n++)
        look(s, n);
}

/* ---- shapes ---- */

/* Intersection over union of soft masks; 0 of two empty ones. */
static double
iou(const float *a, const float *b)
{
    double both = 0, either = 0;
    for (int i = 0; i < PIXELS; i++) {
        both += (double)(a[i] < b[i] ? a[i] : b[i]);
        either += (double)(a[i] < b[i] ? b[i] : a[i]);
    }
    return either > 0 ? both / either : 0;
}

struct blob {
    double area, u, v;          // in places; its middle in the picture's pixels
};

static struct blob
blob_of(const float *mask, const struct picture *p)
{
    struct blob b = {0};
    for (int i = 0; i < LOOK; i++)
        for (int j = 0; j < LOOK; j++) {
            const double a = (double)mask[i * LOOK + j];
            b.area += a;
            b.u += a * look_at(j, p->width);
            b.v += a * look_at(i, p->height);
        }
    b.u /= b.area > 0 ? b.area : 1;
    b.v /= b.area > 0 ? b.area : 1;
    return b;
}

/* Move and scale the photo's picture plane so that the hull's silhouette has the middle and the
 * area of the mask: how the photo was cropped is not known.  Twice, since perspective and soft
 * edges leave a rest. */
static void
fit_photo(struct scene *s)
{
    const int n = s->views;
    struct picture *const p = &s->picture[n];
    const struct blob mask = blob_of(s->mask + n * PIXELS, p);
    for (int i = 0; i < 2; i++) {
        look(s, n);
        const struct blob seen = blob_of(s->cover + n * PIXELS, p);
        if (!(mask.area > 0 && seen.area > 0))
            return;
        const double r = sqrt(mask.area / seen.area);
        p->K[0] *= r;
        p->K[4] *= r;
        p->K[2] = r * (p->K[2] - seen.u) + mask.u;
        p->K[5] = r * (p->K[5] - seen.v) + mask.v;
    }
    look(s, n);
}

/* How much of every `stride`-th view's mask is left when the photo carves, too. */
static double
coherence(struct scene *s, int stride)
{
    float cover[PIXELS];
    double sum = 0;
    int n = 0;
    hull_copy(&s->joint, &s->hull);
    hull_carve(&s->joint, &s->picture[s->views]);
    for (int i = 0; i < s->views; i += stride, n++) {
        hull_look(&s->joint, &s->picture[i], cover, NULL);
        sum += iou(cover, s->mask + i * PIXELS);
    }
    return sum / n;
}

/* ---- colours ---- */

/* The point at this depth of place (j, i) of p. */
static void
point_at(double X[3], const struct picture *p, double u, double v, double depth)
{
    const double *const P = p->pose, *const K = p->K, y = (v - K[5]) / K[4],
                 x = (u - K[2] - K[1] * y) / K[0];
    const double in[3] = {x * depth - P[3], y * depth - P[7], depth - P[11]};
    for (int k = 0; k < 3; k++)
        X[k] = P[k] * in[0] + P[4 + k] * in[1] + P[8 + k] * in[2];
}

/* Unit vector from p's camera to X. */
static void
direction_to(double d[3], const struct picture *p, const double X[3])
{
    const double *const P = p->pose;
    double length = 0;
    for (int k = 0; k < 3; k++) {
        d[k] = X[k] + P[k] * P[3] + P[4 + k] * P[7] + P[8 + k] * P[11];
        length += d[k] * d[k];
    }
    for (int k = 0; k < 3; k++)
        d[k] /= sqrt(length);
}

/* Add the colour that view n has at X, weighted by how near its line of sight is to `along`;
 * nothing where the hull hides X or the mask is not sure. */
static void
add_color(double sum[3], double *weight, const struct scene *s, int n, const double X[3],
          const double along[3])
{
    const struct picture *const p = &s->picture[n];
    const double *const P = p->pose, *const K = p->K, a = pf_dot3(P, X) + P[3],
                 b = pf_dot3(P + 4, X) + P[7], c = pf_dot3(P + 8, X) + P[11];
    const double u = (K[0] * a + K[1] * b) / c + K[2], v = K[4] * b / c + K[5];
    const double j = floor((u + 0.5) * LOOK / p->width), i = floor((v + 0.5) * LOOK / p->height);
    double d[3];
    if (!(c > 0 && j >= 0 && i >= 0 && j < LOOK && i < LOOK))
        return;
    const double depth = (double)s->depth[n * PIXELS + (int)i * LOOK + (int)j];
    if (depth <= 0 || c > depth + 3 * half_cube / CELLS ||
        picture_at(p, p->alpha, 1, 0, u, v, 0) < 0.9f)
        return;
    direction_to(d, p, X);
    const double cosine = pf_dot3(d, along), w = cosine > 0 ? pow(cosine, 8) : 0;
    *weight += w;
    for (int k = 0; k < 3; k++)
        sum[k] += w * (double)picture_at(p, p->rgb, 3, k, u, v, 1);
}

/* The mean difference of the colours of picture n and of the (other) views over picture n's object,
 * where the hull's surface is seen; `unseen` counts where it is not.  NAN: it is nowhere. */
static double
color_difference(const struct scene *s, int n)
{
    const struct picture *const p = &s->picture[n];
    double sum = 0;
    int places = 0, seen = 0;
    for (int i = 0; i < LOOK; i++)
        for (int j = 0; j < LOOK; j++) {
            const double depth = (double)s->depth[n * PIXELS + i * LOOK + j];
            const double u = look_at(j, p->width), v = look_at(i, p->height);
            double X[3], along[3], color[3] = {0}, weight = 0;
            if (picture_at(p, p->alpha, 1, 0, u, v, 0) < 0.9f)
                continue;
            places++;
            if (depth > 0) {
                point_at(X, p, u, v, depth);
                direction_to(along, p, X);
                for (int k = 0; k < s->views; k++)
                    if (k != n)
                        add_color(color, &weight, s, k, X, along);
            }
            seen += weight >= 1e-3;
            for (int k = 0; k < 3; k++)
                sum += weight < 1e-3 ? unseen / 3
                       : fabs(color[k] / weight -
                              (double)picture_at(p, p->rgb, 3, k, u, v, 1)) / 3;
        }
    return seen ? sum / places : NAN;
}

/* The mean of the views' differences, of which some may not be measured. */
static double
difference_of_views(const struct scene *s)
{
    double sum = 0;
    int measured = 0;
    for (int n = 0; n < s->views; n++) {
        const double d = color_difference(s, n);
        sum += isnan(d) ? 0 : d;
        measured += !isnan(d);
    }
    return measured ? sum / measured : NAN;
}

/* ---- what pulls ---- */

/* Where v, at equal steps, is greatest: the vertex of the parabola through the greatest and its
 * neighbours; an end if it is one; NAN if all are equal, for then nothing was compared. */
static double
vertex(const double v[SWEEP])
{
    int best = 0, worst = 0;
    for (int i = 1; i < SWEEP; i++) {
        best = v[i] > v[best] ? i : best;
        worst = v[i] < v[worst] ? i : worst;
    }
    double at = v[best] > v[worst] ? best : (double)NAN;
    if (best > 0 && best < SWEEP - 1) {
        const double a = v[best - 1], b = v[best], c = v[best + 1], bend = a - 2 * b + c;
        at += bend < 0 ? (a - c) / (2 * bend) : 0;
    }
    return sweep_first + at * sweep_step;
}

/* Try the photo at other elevations than the one that was supposed, and say where it fits best. */
static void
measure_pulls(struct score *score, struct scene *s, const struct photo *photo)
{
    struct picture *const p = &s->picture[s->views];
    const struct picture fitted = *p;
    double shape[SWEEP], color[SWEEP];
    for (int i = 0; i < SWEEP; i++) {
        const double elevation = (sweep_first + i * sweep_step) * (PF_PI / 180);
        place_photo(p, elevation, photo->azimuth);
        memcpy(p->K, fitted.K, sizeof p->K);
        look(s, s->views);
        const double d = color_difference(s, s->views);
        color[i] = isnan(d) ? -unseen : -d;
        place_photo(p, elevation, photo->azimuth);
        fit_photo(s);
        shape[i] = coherence(s, 4);
    }
    score->v[SCORE_SHAPE_PULL] = vertex(shape) - score->elevation_deg;
    score->v[SCORE_COLOR_PULL] = vertex(color) - score->elevation_deg;
}

/* scores.md, 4: without consistency, which blurred views have most of. */
static double
agreement(const double v[SCORES])
{
    return (v[SCORE_SILHOUETTE] + v[SCORE_COLOR] + v[SCORE_COHERENCE]) / 3;
}

pf_err
score_photo(struct score *score, const pf_doc *doc)
{
    struct photo photo;
    *score = (struct score){0};
    for (int k = 0; k < SCORES; k++)
        score->v[k] = NAN;
    PF_TRY(read_photo(&photo, doc));
    score->elevation_deg = photo.elevation * (180 / PF_PI);
    return read_embedding(&score->embedding_deg, doc);
}

/* Of a scene whose hull is not empty. */
static void
measure(struct score *score, struct scene *s, const struct photo *photo)
{
    const int n = s->views;
    fit_photo(s);
    score->v[SCORE_SILHOUETTE] = iou(s->cover + n * PIXELS, s->mask + n * PIXELS);
    score->v[SCORE_COLOR] = 1 - color_difference(s, n);
    if (isnan(score->v[SCORE_COLOR]))
        snprintf(score->why, sizeof score->why, "no colour of the photo is seen in a view");
    score->v[SCORE_COHERENCE] = coherence(s, 1);
    score->v[SCORE_CONSISTENCY] = 1 - difference_of_views(s);
    score->v[SCORE_AGREEMENT] = agreement(score->v);
    measure_pulls(score, s, photo);
}

pf_err
score_measure(struct score *score, pf_doc *doc, const char *title)
{
    const bool made = !pf_doc_get(doc, "views.alpha");
    struct scene s = {0};
    struct pf_posed_views v;
    struct photo photo;
    PF_TRY(score_photo(score, doc));
    PF_TRY(read_photo(&photo, doc));
    if (made)
        PF_TRY(make_masks(doc, title));
    PF_TRY(pf_posed_views_read(&v, doc));
    PF_TRY(pf_posed_views_aim(&v, half_cube));
    const pf_err err = scene_alloc(&s, &v, &photo);
    if (!err)
        carve(score->why, &s, &v);
    if (!err && !score->why[0]) {
        see(&s, &v, &photo);
        measure(score, &s, &photo);
    }
    if (!err && made)
        pf_doc_drop(doc, "views.alpha");
    scene_release(&s);
    return err;
}
