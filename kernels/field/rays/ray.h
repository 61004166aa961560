/* ray.h - what happens along one ray or at one point, for a loop on the CPU (occupancy.c,
 * neus_sample.c, composite.c) and for a GPU's thread (sample.cu, trainer.cu, field.cu) alike.
 * Private to kernels/field. */
#ifndef PF_FIELD_RAY_H
#define PF_FIELD_RAY_H
#include "common/rng.h"
#include "kernels/field/rays/composite.h"
#include "kernels/field/hash/team.h"

/* ---- samples through the grid of distances (occupancy.c) ---- */

/* A field has hardly any weight where |sdf| inv_s is beyond this: sigmoid(-5) = 0.7 %. */
#define PF_GRID_REACH 5.0f
/* A trained field is not a perfect distance: it may say this many times too much. */
#define PF_GRID_SLACK 1.25f
/* Samples are never closer than this part of 1 / inv_s, nor of a cell. */
#define PF_FINEST_PART 0.25f
#define PF_FINEST_CELL 0.1f
enum { PF_MOST_STRETCHES = 64 };        /* beyond, gaps are taken for near: correct, only slower */

struct pf_ray_grid {
    int R, ray_samples;
    float bound, cell;
    const float *distance;      /* [R, R, R] z, y, x */
};

/* The grid of a field; distance NULL: only its cells matter. */
PF_HD_FN struct pf_ray_grid
pf_ray_grid_of(const struct pf_neus_config *conf, const float *distance)
{
    struct pf_ray_grid g;
    g.R = conf->occupancy_resolution;
    g.ray_samples = conf->ray_samples;
    g.bound = (float)conf->bound;
    g.cell = 2 * g.bound / (float)g.R;
    g.distance = distance;
    return g;
}

/* x: the centre of cell number c. */
PF_FN void
pf_ray_cell_centre(float x[3], const struct pf_ray_grid *g, int64_t c)
{
    x[0] = g->cell * ((float)(c % g->R) + 0.5f) - g->bound;
    x[1] = g->cell * ((float)(c / g->R % g->R) + 0.5f) - g->bound;
    x[2] = g->cell * ((float)(c / g->R / g->R) + 0.5f) - g->bound;
}

/* A cell that may hold points nearer to the surface than reach has a smaller distance at its
 * centre: half a diagonal more. */
PF_HD_FN float
pf_ray_cell_reach(const struct pf_ray_grid *g, float reach)
{
    return PF_GRID_SLACK * 0.8660254f * g->cell + reach;
}

struct pf_stretch {             /* a part of a ray that lies in near cells */
    float from, to;
};

/* Where the ray is inside the cube; false: nowhere. */
PF_FN bool
pf_ray_clip(float *from, float *to, const float o[3], const float d[3], float bound)
{
    float a = 0, b = INFINITY;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const float p = (-bound - o[k]) / d[k], q = (bound - o[k]) / d[k];
        if (d[k] == 0 && fabsf(o[k]) > bound)
            return false;
        if (d[k] == 0)
            continue;
        a = fmaxf(a, fminf(p, q));
        b = fminf(b, fmaxf(p, q));
    }
    *from = a;
    *to = b;
    return a < b && b < INFINITY;
}

/* The stretches of a ray, near to far, by walking from cell to cell (Amanatides and Woo 1987).
 * Returns their number. */
PF_FN int
pf_ray_walk(struct pf_stretch *s, const struct pf_ray_grid *g, const float o[3], const float d[3],
            float inv_s)
{
    const float most = pf_ray_cell_reach(g, PF_GRID_REACH / inv_s);
    float t, end, next[3], pace[3];
    int cell[3], n = 0;
    if (!pf_ray_clip(&t, &end, o, d, g->bound))
        return 0;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const float at = (o[k] + t * d[k] + g->bound) / g->cell;
        cell[k] = at > 0 ? at < (float)g->R ? (int)at : g->R - 1 : 0;
        const float wall = (float)(cell[k] + (d[k] > 0)) * g->cell - g->bound;
        next[k] = d[k] == 0 ? INFINITY : (wall - o[k]) / d[k];
        pace[k] = d[k] == 0 ? INFINITY : g->cell / fabsf(d[k]);
    }
    while (t < end) {
        const bool x = next[0] < next[1] && next[0] < next[2];
        const bool y = !x && next[1] < next[2] && !(next[0] < next[1]);
        const float wall = x ? next[0] : y ? next[1] : next[2], out = fminf(wall, end);
        const float at = g->distance[((int64_t)cell[2] * g->R + cell[1]) * g->R + cell[0]];
        if (at < -most)
            break;
        if (!(at > most) && out > t) {          /* a NaN is near */
            if (n && (s[n - 1].to == t || n == PF_MOST_STRETCHES)) {
                s[n - 1].to = out;
            } else {
                s[n].from = t;
                s[n++].to = out;
            }
        }
        t = fmaxf(t, out);
        PF_UNROLL for (int k = 0; k < 3; k++)
            if (k == (x ? 0 : y ? 1 : 2)) {
                next[k] += pace[k];
                cell[k] += d[k] > 0 ? 1 : -1;
            }
        if (cell[0] < 0 || cell[0] >= g->R || cell[1] < 0 || cell[1] >= g->R || cell[2] < 0 ||
            cell[2] >= g->R)
            break;
    }
    return n;
}

/* Samples that a ray with these stretches gets, and the distance between them. */
PF_FN int
pf_ray_plan(float *spacing, const struct pf_ray_grid *g, const struct pf_stretch *s, int n,
            float inv_s)
{
    const float finest = fmaxf(PF_FINEST_PART / inv_s, PF_FINEST_CELL * g->cell);
    float length = 0;
    for (int i = 0; i < n; i++)
        length += s[i].to - s[i].from;
    if (!(length > 0))
        return 0;
    const float wanted = ceilf(length / finest);
    const int samples = wanted < (float)g->ray_samples ? (int)wanted : g->ray_samples;
    *spacing = length / (float)samples;
    return samples;
}

/* All samples of a ray to x, dir [samples, 3] and dist [samples]; stretch: work space.  shift 0..1:
 * where in its interval each sample lies. */
PF_FN int
pf_ray_write(float *x, float *dir, float *dist, struct pf_stretch stretch[PF_MOST_STRETCHES],
             const struct pf_ray_grid *g, const float o[3], const float d[3], float inv_s,
             float shift)
{
    float spacing = 0, gone = 0;                /* gone: length of the stretches before this one */
    const int n = pf_ray_walk(stretch, g, o, d, inv_s);
    const int samples = pf_ray_plan(&spacing, g, stretch, n, inv_s);
    for (int i = 0, k = 0; k < samples; k++) {
        const float at = ((float)k + shift) * spacing;
        while (i < n - 1 && at - gone > stretch[i].to - stretch[i].from) {
            gone += stretch[i].to - stretch[i].from;
            i++;
        }
        const float t = stretch[i].from + at - gone;
        PF_UNROLL for (int c = 0; c < 3; c++) {
            x[3 * k + c] = o[c] + t * d[c];
            dir[3 * k + c] = d[c];
        }
        dist[k] = spacing;
    }
    return samples;
}

/* ---- the original's hierarchy of samples (neus_sample.c, sample.cu) ----
 *
 * Number k of a ray is at k * step: on a GPU rays lie beside each other, so that a warp's reads
 * coalesce. */

/* x: the point of the ray at depth z. */
PF_FN void
pf_ray_point(float x[3], const float o[3], const float d[3], float z)
{
    PF_UNROLL for (int k = 0; k < 3; k++)
        x[k] = o[k] + d[k] * z;
}

/* A NaN is outside. */
PF_FN bool
pf_ray_inside(const float o[3], const float d[3], float z, float bound)
{
    float x[3];
    bool in = true;
    pf_ray_point(x, o, d, z);
    PF_UNROLL for (int k = 0; k < 3; k++)
        in = in && fabsf(x[k]) <= bound;
    return in;
}

/* Whether the line meets the cube, a little enlarged. */
PF_FN bool
pf_ray_meets(const float o[3], const float d[3], double bound)
{
    double in = -INFINITY, out = INFINITY;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const double b = bound * 1.001, one = (-b - o[k]) / d[k], other = (b - o[k]) / d[k];
        if (d[k] == 0) {
            if (fabs(o[k]) > b)
                return false;
            continue;
        }
        in = fmax(in, fmin(one, other));
        out = fmin(out, fmax(one, other));
    }
    return in <= out;
}

/* Where a ray passes the origin, minus and plus sqrt(3) / 2, half the diagonal of the unit cube. */
PF_FN void
pf_ray_near_far(float *near, float *far, const float o[3], const float d[3])
{
    const float reach = 0.8660254f;
    const float mid = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2]) /
                      (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    *near = mid - reach;
    *far = mid + reach;
}

/* z [n]: the even depths, moved by the ray's offset. */
PF_FN void
pf_ray_coarse(float *z, int64_t step, int n, const float o[3], const float d[3], float offset)
{
    float near, far;
    pf_ray_near_far(&near, &far, o, d);
    for (int k = 0; k < n; k++)
        z[k * step] = near + (far - near) * ((float)k / (float)(n > 1 ? n - 1 : 1)) + offset;
}

PF_FN float
pf_ray_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* z_new [fresh] for a ray that has n depths, ascending in z with distances sdf, at sharpness inv_s:
 * even quantiles of the light that the intervals take (the original's sample_pdf).  Outside the
 * cube the slope counts as 0 but the distance still goes into the opacity, as in the original
 * (field.md, 3).  weight [n - 1]: work space. */
PF_FN void
pf_ray_upsample(float *z_new, int fresh, const float *z, const float *sdf, float *weight,
                int64_t step, int n, const float o[3], const float d[3], float inv_s, float bound)
{
    float left = 1, before = 0, sum = 0, cdf[2] = {0, 0};
    bool inside_before = pf_ray_inside(o, d, z[0], bound);
    int above = 0;              /* first index whose cdf is over u; cdf[1] is its cdf */
    for (int k = 0; k + 1 < n; k++) {
        const float a = sdf[k * step], b = sdf[(k + 1) * step];
        const float dist = z[(k + 1) * step] - z[k * step], mid = (a + b) * 0.5f;
        const float slope = (b - a) / (dist + 1e-5f);
        const bool inside = pf_ray_inside(o, d, z[(k + 1) * step], bound);
        float cosine = slope < before ? slope : before;
        before = slope;
        cosine = cosine < -1e3f ? -1e3f : cosine > 0 ? 0 : cosine;
        if (!inside && !inside_before)
            cosine = 0;
        inside_before = inside;
        const float P = pf_ray_sigmoid((mid - cosine * dist * 0.5f) * inv_s);
        const float N = pf_ray_sigmoid((mid + cosine * dist * 0.5f) * inv_s);
        const float alpha = (P - N + 1e-5f) / (P + 1e-5f), w = alpha * left + 1e-5f;
        weight[k * step] = w;
        sum += w;
        left *= 1 - alpha + 1e-7f;
    }
    for (int i = 0; i < fresh; i++) {
        const float u = ((float)i + 0.5f) / (float)fresh;
        while (above < n && !(cdf[1] > u)) {
            cdf[0] = cdf[1];
            if (above + 1 < n)
                cdf[1] += weight[above * step] / sum;
            above++;
        }
        const int hi = above < n ? above : n - 1, lo = above > 0 ? above - 1 : 0;
        const float width = cdf[1] - cdf[0], t = (u - cdf[0]) / (width < 1e-5f ? 1 : width);
        z_new[i * step] =
            z[lo * step] + (t > 0 ? t < 1 ? t : 1 : 0) * (z[hi * step] - z[lo * step]);
    }
}

/* Merge m ascending depths and their distances into n, in place; sdf_new NULL: depths alone. */
PF_FN void
pf_ray_merge(float *z, float *sdf, int n, const float *z_new, const float *sdf_new, int m,
             int64_t step)
{
    int i = n - 1, j = m - 1;
    for (int k = n + m - 1; j >= 0; k--) {
        const bool old = i >= 0 && z[i * step] > z_new[j * step];
        z[k * step] = old ? z[i * step] : z_new[j * step];
        if (sdf_new)
            sdf[k * step] = old ? sdf[i * step] : sdf_new[j * step];
        if (old)
            i--;
        else
            j--;
    }
}

/* The points in the middle of each interval, those outside the cube dropped: their number, and
 * unless x is NULL themselves. */
PF_FN int
pf_ray_pack(float *x, float *dir, float *dist, int32_t *skipped, const float *z, int64_t step,
            int depths, const float o[3], const float d[3], float bound)
{
    int32_t dropped = 0;
    int n = 0;
    for (int k = 0; k < depths; k++) {
        const float here = z[k * step];
        const float length = k + 1 < depths ? z[(k + 1) * step] - here :
                             depths > 1     ? here - z[(k - 1) * step] : 0;
        const float middle = here + length * 0.5f;
        if (!pf_ray_inside(o, d, middle, bound)) {
            dropped++;
            continue;
        }
        if (x) {
            pf_ray_point(x + 3 * n, o, d, middle);
            PF_UNROLL for (int c = 0; c < 3; c++)
                dir[3 * n + c] = d[c];
            dist[n] = length;
            skipped[n] = dropped;
        }
        dropped = 0;
        n++;
    }
    return n;
}

/* ---- opacity and light (composite.c) ---- */

/* What the original adds so that nothing divides by zero (field.md, 4). */
#define PF_TINY_ALPHA 1e-5f
#define PF_TINY_LEFT 1e-7f

/* One point: the distance where its interval begins and ends, by the slope along the ray, and the
 * part of the light that is lost between. */
struct pf_section {
    float cosine;               /* d sdf / d t, annealed; never positive */
    float turn;                 /* d cosine / d (dir . grad) */
    float from, to;             /* sdf at both ends */
    float P, N;                 /* sigmoids of both, times inv_s */
    float alpha;
    bool clipped;
};

PF_FN struct pf_section
pf_ray_cut(float sdf, const float grad[3], const float dir[3], float dist, float inv_s, float ratio)
{
    struct pf_section c;
    const float tc = dir[0] * grad[0] + dir[1] * grad[1] + dir[2] * grad[2];
    const float half = -tc * 0.5f + 0.5f;
    c.cosine = -((half > 0 ? half : 0) * (1 - ratio) + (-tc > 0 ? -tc : 0) * ratio);
    c.turn = (tc < 1 ? 0.5f * (1 - ratio) : 0) + (tc < 0 ? ratio : 0);
    c.from = sdf - c.cosine * dist * 0.5f;
    c.to = sdf + c.cosine * dist * 0.5f;
    c.P = pf_ray_sigmoid(c.from * inv_s);
    c.N = pf_ray_sigmoid(c.to * inv_s);
    const float alpha = (c.P - c.N + PF_TINY_ALPHA) / (c.P + PF_TINY_ALPHA);
    c.clipped = !(alpha >= 0 && alpha <= 1);
    c.alpha = alpha < 0 ? 0 : alpha > 1 ? 1 : alpha;
    return c;
}

/* Light that dropped points, of opacity 0, let through: a little more than came (samples.h). */
PF_FN float
pf_ray_pass(float left, int32_t skipped)
{
    for (int32_t k = 0; k < skipped; k++)
        left *= 1 + PF_TINY_LEFT;
    return left;
}

/* Points of a batch's rays, or of some of them; skipped NULL: none was dropped. */
struct pf_ray_points {
    const float *dir, *dist, *sdf, *grad, *rgb;
    const int32_t *skipped;
    float inv_s, ratio;
};

struct pf_ray_color {
    float rgb[3], mask, normal[3];
};

/* Points begin..end-1 are a ray.  alpha, left: kept for backward, or NULL. */
PF_FN struct pf_ray_color
pf_ray_blend(const struct pf_ray_points *s, float *alpha, float *left, int64_t begin, int64_t end)
{
    struct pf_ray_color to = {{0, 0, 0}, 0, {0, 0, 0}};
    float light = 1;
    for (int64_t i = begin; i < end; i++) {
        const float *const g = s->grad + 3 * i;
        const struct pf_section c =
            pf_ray_cut(s->sdf[i], g, s->dir + 3 * i, s->dist[i], s->inv_s, s->ratio);
        light = pf_ray_pass(light, s->skipped ? s->skipped[i] : 0);
        const float w = c.alpha * light, length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
        if (alpha) {
            alpha[i] = c.alpha;
            left[i] = light;
        }
        to.mask += w;
        PF_UNROLL for (int k = 0; k < 3; k++) {
            to.rgb[k] += w * s->rgb[3 * i + k];
            to.normal[k] += w * g[k] / (length > 1e-12f ? length : 1e-12f);
        }
        light *= 1 - c.alpha + PF_TINY_LEFT;
    }
    PF_UNROLL for (int k = 0; k < 3; k++)
        to.rgb[k] += 1 - to.mask;               /* white shows through */
    return to;
}

/* What alpha's cotangent means for point i's inputs (field.md, 8).  Returns the point's part
 * of inv_s's cotangent. */
PF_FN double
pf_ray_cut_backward(float *d_sdf, float d_grad[3], float d_alpha, const struct pf_ray_points *s,
                    int64_t i)
{
    const float *const dir = s->dir + 3 * i, dist = s->dist[i];
    const struct pf_section c =
        pf_ray_cut(s->sdf[i], s->grad + 3 * i, dir, dist, s->inv_s, s->ratio);
    if (c.clipped)
        d_alpha = 0;
    const float sum = c.P + PF_TINY_ALPHA, a = c.P - c.N + PF_TINY_ALPHA;
    const float d_from = d_alpha * (1 / sum - a / (sum * sum)) * c.P * (1 - c.P);
    const float d_to = -d_alpha / sum * c.N * (1 - c.N);
    const float d_cosine = (d_to - d_from) * s->inv_s * dist * 0.5f;
    *d_sdf = (d_from + d_to) * s->inv_s;
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_grad[k] = d_cosine * c.turn * dir[k];
    return (double)d_from * c.from + (double)d_to * c.to;
}

/* A colour as a byte; the original lets what is above 1 wrap. */
PF_FN uint8_t
pf_ray_byte(float v)
{
    return (uint8_t)(255 * (v > 0 ? v < 1 ? v : 1 : 0));
}

/* Cotangents of the points from those of the ray's colour and mask; returns inv_s's.  trainer.cu
 * has the same, and density.h's, for a warp. */
PF_FN double
pf_ray_blend_backward(float *d_sdf, float *d_grad, float *d_rgb, const struct pf_ray_points *s,
                      const float *alpha, const float *left, const float dc[3], float d_mask,
                      int64_t begin, int64_t end)
{
    const float d_opacity = d_mask - (dc[0] + dc[1] + dc[2]);
    float d_left = 0;           /* cotangent of the light after the point */
    double part = 0;
    for (int64_t i = end - 1; i >= begin; i--) {
        const float *const c = s->rgb + 3 * i;
        const float a = alpha[i], light = left[i];
        const float d_weight = dc[0] * c[0] + dc[1] * c[1] + dc[2] * c[2] + d_opacity;
        PF_UNROLL for (int k = 0; k < 3; k++)
            d_rgb[3 * i + k] = a * light * dc[k];
        part += pf_ray_cut_backward(d_sdf + i, d_grad + 3 * i, (d_weight - d_left) * light, s, i);
        d_left = pf_ray_pass(d_weight * a + d_left * (1 - a + PF_TINY_LEFT),
                             s->skipped ? s->skipped[i] : 0);
    }
    return part;
}

/* ---- losses ---- */

/* Adds one ray's colour and mask losses to sums; writes the cotangents. */
PF_FN void
pf_ray_loss(struct pf_loss_sums *sums, float d_color[3], float *d_mask,
            const struct pf_ray_color *got, const float want[3], float want_mask,
            const struct pf_loss_weights *w)
{
    const double share = 1 / (double)w->rays;
    const double e[3] = {got->rgb[0] - want[0], got->rgb[1] - want[1], got->rgb[2] - want[2]};
    const double square = e[0] * e[0] + e[1] * e[1] + e[2] * e[2];
    const double loss = sqrt(square + 0.001), miss = got->mask - want_mask;
    sums->rgb += loss * share;
    sums->mask += miss * miss * share;
    sums->square += square;
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_color[k] = (float)(w->lambda_rgb * share * e[k] / loss);
    *d_mask = (float)(w->lambda_mask * share * 2 * miss);
}

/* The same of ray r as its view shows it: the object's part of the colour with the view's gain and
 * offset.  tones NULL: as it is. */
PF_FN void
pf_ray_toned_loss(struct pf_loss_sums *sums, float d_color[3], float *d_mask,
                  const struct pf_ray_color *got, const float want[3], float want_mask,
                  const struct pf_tones *tones, int64_t r, const struct pf_loss_weights *w)
{
    struct pf_ray_color shown = *got;
    float own[3];
    if (!tones) {
        pf_ray_loss(sums, d_color, d_mask, got, want, want_mask, w);
        return;
    }
    const float *const tone = tones->tone + PF_TONE * tones->view[r];
    float *const d_tone = tones->d_tone + PF_TONE * r;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        own[k] = got->rgb[k] - (1 - got->mask);
        shown.rgb[k] += tone[k] * own[k] + tone[3 + k] * got->mask;
    }
    pf_ray_loss(sums, d_color, d_mask, &shown, want, want_mask, w);
    PF_UNROLL for (int k = 0; k < 3; k++) {
        d_tone[k] = d_color[k] * own[k];
        d_tone[3 + k] = d_color[k] * got->mask;
        *d_mask += d_color[k] * (tone[k] + tone[3 + k]);
        d_color[k] *= 1 + tone[k];
    }
}

/* The numbers at tone, one of each view, less their mean. */
PF_FN void
pf_tone_centre(float *tone, int64_t views)
{
    double mean = 0;
    for (int64_t i = 0; i < views; i++)
        mean += (double)tone[PF_TONE * i] / (double)views;
    for (int64_t i = 0; i < views; i++)
        tone[PF_TONE * i] -= (float)mean;
}

/* Adds one point's (|grad| - 1)^2 to sums, and its cotangent to d_grad. */
PF_FN void
pf_point_eikonal(struct pf_loss_sums *sums, float d_grad[3], const float g[3],
                 const struct pf_loss_weights *w)
{
    const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]), miss = length - 1;
    const double share = 2 * w->lambda_eikonal / w->inner;
    const float rate = length > 0 ? (float)(share * miss / length) : 0;
    sums->eikonal += (double)miss * miss / w->inner;
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_grad[k] += rate * g[k];
}

/* ---- points that are on no ray ---- */

/* Where the original's grid has distance 1 (field_march.h).  Products are exact: the same on every
 * device. */
PF_FN bool
pf_point_outside_ball(const float x[3])
{
    return (double)x[0] * x[0] + (double)x[1] * x[1] + (double)x[2] * x[2] >= 1;
}

/* Point `number`, uniform in one of `cells` cells of a grid (pf_occupancy_near). */
PF_FN void
pf_near_point(float x[3], const struct pf_ray_grid *g, const int32_t *cell, int64_t cells,
              uint64_t seed, uint64_t number)
{
    const struct pf_rng4 r = pf_philox(seed, PF_RNG_OCCUPANCY, number);
    const int32_t c = cell[r.v[0] * (uint64_t)cells >> 32], R = g->R;
    const int32_t at[3] = {c % R, c / R % R, c / R / R};
    PF_UNROLL for (int k = 0; k < 3; k++)
        x[k] = g->cell * ((float)at[k] + (float)(r.v[k + 1] >> 8) * 0x1p-24f) - g->bound;
}

/* Point `number`, uniform on the faces of the cube (pf_occupancy_walls). */
PF_FN void
pf_wall_point(float x[3], float bound, uint64_t seed, uint64_t number)
{
    const struct pf_rng4 r = pf_philox(seed, PF_RNG_OCCUPANCY | UINT64_C(1) << 32, number);
    const int face = (int)((uint64_t)r.v[0] * 6 >> 32);
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const float within = bound * (2 * (float)(r.v[k + 1] >> 8) * 0x1p-24f - 1);
        x[k] = k == face / 2 ? face % 2 ? bound : -bound : within;
    }
}

/* Adds what one point, which stands for the volume `each`, says of the surface's area; writes
 * cotangents. */
PF_FN void
pf_point_area(struct pf_loss_sums *sums, float *d_sdf, float d_grad[3], float sdf, const float g[3],
              double each, float width, double lambda)
{
    const float P = pf_ray_sigmoid(sdf / width);
    const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
    const double delta = P * (1 - P) / width, share = lambda * each * delta;
    sums->area += each * delta * length;
    *d_sdf = (float)(share * (1 - 2 * P) / width * length);
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_grad[k] = length > 0 ? (float)(share * g[k] / length) : 0;
}

/* Adds the mask loss of one of n points that are outside for certain; returns the cotangent of
 * sdf. */
PF_FN float
pf_point_outside(struct pf_loss_sums *sums, float sdf, int64_t n, float margin,
                 const struct pf_loss_weights *w)
{
    const bool near_by = sdf < margin;
    sums->mask += near_by ? (double)(margin - sdf) / (double)n : 0;
    return near_by ? (float)(-w->lambda_mask / (double)n) : 0;
}

#endif
