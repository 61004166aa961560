/* hash_team.h - the fast field at some points, forward and backward, for a team of a GPU's threads
 * (hash.h has the formulas, hash_point.h what happens at one point).  On the CPU hash_simd.c does
 * the same; tests/kernels/field/hash/test_hash_team.c runs this on the host against it.  Private.
 *
 * Products: a task is 4 channels of 4, 2 or 1 points (as many as keep the team busy); one weight
 * and one activation vector of 16 bytes from shared memory serve 16 multiply-adds, which keeps both
 * pipes of a multiprocessor equally busy (4 + 3 cycles a warp).  Outer products: a task is 4 x 4
 * weights over all points, 8 vectors for 64 multiply-adds. */
#ifndef PF_FIELD_HASH_TEAM_H
#define PF_FIELD_HASH_TEAM_H
#include "kernels/field/hash/hash_point.h"
#include "kernels/field/hash/hash_team_memory.h"

/* What happens to a number of a product before it is stored. */
enum pf_team_act {
    PF_AS_IT_IS, PF_MAX_0, PF_LOGISTIC,
    PF_SOFTPLUS,                /* other gets the derivative */
    PF_WHERE_POSITIVE,          /* 0 where other is not over 0: a rectifier backward */
};

PF_FN void
pf_team_store(float *to, float v, enum pf_team_act act, float *other)
{
    switch (act) {
    case PF_MAX_0: *to = v < 0.0f ? 0.0f : v; break;            // a NaN stays one
    case PF_LOGISTIC: *to = pf_sigmoid_of(v); break;
    case PF_SOFTPLUS: *to = pf_softplus_100(v, other); break;
    case PF_WHERE_POSITIVE: *to = *other > 0.0f ? v : 0.0f; break;
    default: *to = v;
    }
}

/* ---- products; none of them waits ---- */

/* N = 4, 2 or 1 points at p, a constant where this is called. */
PF_FN void
pf_points_at(float v[4], const float *p, const int N)
{
    if (N == 4) {
        const struct pf_four f = pf_four_at(p);
        v[0] = f.v[0]; v[1] = f.v[1]; v[2] = f.v[2]; v[3] = f.v[3];
    } else if (N == 2) {
        const struct pf_two f = pf_two_at(p);
        v[0] = f.v[0]; v[1] = f.v[1];
    } else {
        v[0] = *p;
    }
}

PF_FN void
pf_team_product_n(const struct pf_team *team, const struct pf_hash_team *t,
                  const struct pf_team_layer *l, float *y, bool bias, const float *x,
                  enum pf_team_act act, float *other, const int N)
{
    const int groups = t->P / N, tasks = pf_rows(l->K) / 4 * groups, columns = pf_rows(l->C);
    for (int i = team->rank; i < tasks; i += team->size) {
        const int p = i % groups * N, k = i / groups * 4;
        const float *w = l->w + k * columns;
        float sum[4][4];
        PF_UNROLL for (int r = 0; r < 4; r++)
            PF_UNROLL for (int j = 0; j < N; j++)
                sum[r][j] = bias && k + r < l->K ? l->b[k + r] : 0.0f;
        for (int c = 0; c < l->C; c++) {
            const struct pf_four a = pf_four_at(w + 4 * c);
            float in[4];
            pf_points_at(in, x + c * t->pitch + p, N);
            PF_UNROLL for (int r = 0; r < 4; r++)
                PF_UNROLL for (int j = 0; j < N; j++)
                    sum[r][j] += a.v[r] * in[j];
        }
        PF_UNROLL for (int r = 0; r < 4; r++)
            PF_UNROLL for (int j = 0; j < N; j++)
                pf_team_store(y + (k + r) * t->pitch + p + j, sum[r][j], act,
                              other ? other + (k + r) * t->pitch + p + j : 0);
    }
}

PF_FN void
pf_team_transposed_n(const struct pf_team *team, const struct pf_hash_team *t,
                     const struct pf_team_layer *l, float *x, const float *y, enum pf_team_act act,
                     float *other, const int N)
{
    const int columns = pf_rows(l->C), groups = t->P / N, tasks = columns / 4 * groups;
    for (int i = team->rank; i < tasks; i += team->size) {
        const int p = i % groups * N, c = i / groups * 4;
        float sum[4][4] = {{0}};
        for (int k = 0; k < l->K; k += 4) {
            const float *w = l->w + (k * columns + 4 * c);
            const struct pf_four a[4] = {pf_four_at(w), pf_four_at(w + 4), pf_four_at(w + 8),
                                         pf_four_at(w + 12)};
            PF_UNROLL for (int r = 0; r < 4; r++) {             /* spare rows meet weights of 0 */
                float in[4];
                pf_points_at(in, y + (k + r) * t->pitch + p, N);
                PF_UNROLL for (int q = 0; q < 4; q++)
                    PF_UNROLL for (int j = 0; j < N; j++)
                        sum[q][j] += a[q].v[r] * in[j];
            }
        }
        PF_UNROLL for (int q = 0; q < 4; q++)
            PF_UNROLL for (int j = 0; j < N; j++)
                pf_team_store(x + (c + q) * t->pitch + p + j, sum[q][j], act,
                              other ? other + (c + q) * t->pitch + p + j : 0);
    }
}

/* Points of a task: the most that keep over half of the team busy. */
PF_FN int
pf_team_points(const struct pf_team *team, const struct pf_hash_team *t, int channels)
{
    const int tasks = pf_rows(channels) / 4 * (t->P / 4);
    return 2 * tasks > team->size ? 4 : 4 * tasks > team->size ? 2 : 1;
}

/* y [K] = act(W x + b), x [C] */
PF_FN void
pf_team_product(const struct pf_team *team, const struct pf_hash_team *t,
                const struct pf_team_layer *l, float *y, bool bias, const float *x,
                enum pf_team_act act, float *other)
{
    const int N = pf_team_points(team, t, l->K);
    if (N == 4)
        pf_team_product_n(team, t, l, y, bias, x, act, other, 4);
    else if (N == 2)
        pf_team_product_n(team, t, l, y, bias, x, act, other, 2);
    else
        pf_team_product_n(team, t, l, y, bias, x, act, other, 1);
}

/* x [C] = act(W^T y), y [K] */
PF_FN void
pf_team_transposed(const struct pf_team *team, const struct pf_hash_team *t,
                   const struct pf_team_layer *l, float *x, const float *y, enum pf_team_act act,
                   float *other)
{
    const int N = pf_team_points(team, t, l->C);
    if (N == 4)
        pf_team_transposed_n(team, t, l, x, y, act, other, 4);
    else if (N == 2)
        pf_team_transposed_n(team, t, l, x, y, act, other, 2);
    else
        pf_team_transposed_n(team, t, l, x, y, act, other, 1);
}

/* The first task that this member takes of those that follow *turn others, round and round. */
PF_FN int
pf_turn_of(const struct pf_team *team, int *turn, int tasks)
{
    const int first = (team->rank + team->size - *turn % team->size) % team->size;
    *turn += tasks;
    return first;
}

/* sum_w += y x^T, and the same of a second pair unless y2 is NULL: sums over the points. */
PF_FN void
pf_team_outer(const struct pf_team *team, const struct pf_hash_team *t,
              const struct pf_team_layer *l, const float *y, const float *x, const float *y2,
              const float *x2, int *turn)
{
    const int down = pf_rows(l->K) / 4, across = pf_rows(l->C) / 4, tasks = down * across;
    for (int i = pf_turn_of(team, turn, tasks); i < tasks; i += team->size) {
        const int k = i / across, c = i % across;
        float sum[4][4] = {{0}};
        for (int pair = 0; pair < (y2 ? 2 : 1); pair++) {
            const float *a = (pair ? y2 : y) + k * t->pitch, *b = (pair ? x2 : x) + c * t->pitch;
            for (int p = 0; p < t->P; p += 4) {
                struct pf_four v[4], w[4];
                PF_UNROLL for (int r = 0; r < 4; r++) {
                    v[r] = pf_four_at(a + r * down * t->pitch + p);
                    w[r] = pf_four_at(b + r * across * t->pitch + p);
                }
                PF_UNROLL for (int r = 0; r < 4; r++)
                    PF_UNROLL for (int j = 0; j < 4; j++)
                        PF_UNROLL for (int m = 0; m < 4; m++)
                            sum[r][j] += v[r].v[m] * w[j].v[m];
            }
        }
        PF_UNROLL for (int r = 0; r < 4; r++)
            PF_UNROLL for (int j = 0; j < 4; j++)
                if (k + r * down < l->K && c + j * across < l->C)
                    l->sum_w[(k + r * down) * l->C + c + j * across] += sum[r][j];
    }
}

/* to [K] += y summed over the points. */
PF_FN void
pf_team_sum(const struct pf_team *team, const struct pf_hash_team *t, float *to, const float *y,
            int K, int *turn)
{
    for (int k = pf_turn_of(team, turn, K); k < K; k += team->size) {
        float sum = 0;
        for (int p = 0; p < t->P; p += 4) {
            const struct pf_four v = pf_four_at(y + k * t->pitch + p);
            sum += v.v[0] + v.v[1] + (v.v[2] + v.v[3]);
        }
        to[k] += sum;
    }
}

/* ---- the grid (hash_grid.c) ---- */

PF_FN void
pf_team_locate(struct pf_hash_place at[3], const struct pf_hash_shape *f,
               const struct pf_hash_level *l, const struct pf_hash_team *t, int p)
{
    PF_UNROLL for (int k = 0; k < 3; k++)
        at[k] = pf_hash_locate(t->x[k * t->pitch + p], f->grid.bound, l->scale);
}

/* Entry and weight of a corner (bits 0..2: upper in x, y, z). */
PF_FN int32_t
pf_team_corner(struct pf_hash_weight *w, const struct pf_hash_level *l,
               const struct pf_hash_place at[3], int corner)
{
    float side[3], slope[3];
    PF_UNROLL for (int k = 0; k < 3; k++) {
        side[k] = corner >> k & 1 ? at[k].side : 1.0f - at[k].side;
        slope[k] = corner >> k & 1 ? at[k].slope : -at[k].slope;
    }
    *w = pf_hash_weigh(side[0], side[1], side[2], slope[0], slope[1], slope[2]);
    return pf_hash_index(l, at[0].cell + (corner & 1), at[1].cell + (corner >> 1 & 1),
                         at[2].cell + (corner >> 2));
}

/* N = 2 or 1 neighbouring features at a time, by one load; a constant where this is called. */
PF_FN void
pf_team_encode_n(const struct pf_team *team, const struct pf_hash_team *t,
                 const struct pf_hash_shape *f, bool derivative, const int N)
{
    const int F = f->grid.features, parts = F / N, n = f->grid.levels * parts * t->P;
    for (int i = team->rank; i < n; i += team->size) {
        const int p = i % t->P, part = i / t->P % parts, level = i / t->P / parts;
        const int e = level * F + part * N;
        const struct pf_hash_level *const l = &f->grid.level[level];
        float value[2] = {0, 0}, jac[2][3] = {{0}};
        if (level < f->active) {
            struct pf_hash_place at[3];
            pf_team_locate(at, f, l, t, p);
            const float *const table = f->table + l->offset * F + part * N;
            PF_UNROLL for (int corner = 0; corner < 8; corner++) {
                struct pf_hash_weight w;
                float v[4];
                const int64_t entry = pf_team_corner(&w, l, at, corner);
                pf_points_at(v, table + entry * F, N);
                PF_UNROLL for (int j = 0; j < N; j++) {
                    value[j] += w.value * v[j];
                    PF_UNROLL for (int k = 0; k < 3; k++)
                        jac[j][k] += w.d[k] * v[j];
                }
            }
        }
        PF_UNROLL for (int j = 0; j < N; j++) {
            t->in[(3 + e + j) * t->pitch + p] = value[j];
            PF_UNROLL for (int k = 0; k < 3; k++)
                if (derivative)
                    t->jac[(3 * (e + j) + k) * t->pitch + p] = jac[j][k];
        }
    }
}

/* From x: in, and jac where a gradient will be wanted.  Ends with a wait. */
PF_FN void
pf_team_encode(const struct pf_team *team, const struct pf_hash_team *t,
               const struct pf_hash_shape *f, bool derivative)
{
    for (int i = team->rank; i < 3 * t->P; i += team->size)
        t->in[i / t->P * t->pitch + i % t->P] = t->x[i / t->P * t->pitch + i % t->P];
    if (f->grid.features % 2)
        pf_team_encode_n(team, t, f, derivative, 1);
    else
        pf_team_encode_n(team, t, f, derivative, 2);
    pf_wait(team);
}

/* grad [entries, F] += what the first `points` points contribute (pf_hash_scatter).  Members
 * beside each other take the features of one entry: one sector of memory for both. */
PF_FN void
pf_team_scatter(const struct pf_team *team, const struct pf_hash_team *t,
                const struct pf_hash_shape *f, long long *grad, float scale, int points)
{
    const int F = f->grid.features;
    const int levels = f->active < f->grid.levels ? f->active : f->grid.levels;
    for (int i = team->rank; i < levels * t->P * F; i += team->size) {
        const int feature = i % F, p = i / F % t->P, level = i / F / t->P;
        const int e = 3 + level * F + feature;
        const struct pf_hash_level *const l = &f->grid.level[level];
        if (p >= points)
            continue;
        const float a = t->d_in[e * t->pitch + p], b = t->q[e * t->pitch + p];
        const float g[3] = {t->d_g[p], t->d_g[t->pitch + p], t->d_g[2 * t->pitch + p]};
        struct pf_hash_place at[3];
        pf_team_locate(at, f, l, t, p);
        PF_UNROLL for (int corner = 0; corner < 8; corner++) {
            struct pf_hash_weight w;
            const int64_t entry = l->offset + pf_team_corner(&w, l, at, corner);
            pf_add_fixed(grad + entry * F + feature, pf_hash_share(w, a, b, g, 1), scale);
        }
    }
}

/* ---- forward; every function ends with a wait ---- */

/* rows [C] = points from..from+P of x [n, C]; those past the end repeat the last, or are 0. */
PF_FN void
pf_team_load(const struct pf_team *team, const struct pf_hash_team *t, float *rows, const float *x,
             int C, int64_t from, int64_t n, bool zero)
{
    for (int i = team->rank; i < C * t->P; i += team->size) {
        const int p = i / C, c = i % C;
        const int64_t at = from + p < n ? from + p : n - 1;
        rows[c * t->pitch + p] = x && (from + p < n || !zero) ? x[at * C + c] : 0.0f;
    }
}

/* x [n, C] = rows [C]; no wait. */
PF_FN void
pf_team_unload(const struct pf_team *team, const struct pf_hash_team *t, float *x,
               const float *rows, int C, int64_t from, int64_t n)
{
    for (int i = team->rank; i < C * t->P; i += team->size) {
        const int p = i / C, c = i % C;
        if (from + p < n)
            x[(from + p) * C + c] = rows[c * t->pitch + p];
    }
}

/* After x: in, h, and unless it is the sdf alone that is wanted s and jac. */
PF_FN void
pf_team_first_layer(const struct pf_team *team, const struct pf_hash_team *t,
                    const struct pf_hash_shape *f, bool derivative)
{
    pf_team_encode(team, t, f, derivative);
    if (derivative) {
        pf_team_product(team, t, &t->layer[SDF0], t->h, true, t->in, PF_SOFTPLUS, t->s);
    } else {
        float unused;
        const struct pf_team_layer *const l = &t->layer[SDF0];
        pf_team_product(team, t, l, t->h, true, t->in, PF_AS_IT_IS, 0);
        pf_wait(team);
        for (int i = team->rank; i < l->K * t->P; i += team->size) {
            float *const h = t->h + i / t->P * t->pitch + i % t->P;
            *h = pf_softplus_100(*h, &unused);
        }
    }
    pf_wait(team);
}

/* The sdf alone, row 0 of out. */
PF_FN void
pf_team_sdf(const struct pf_team *team, const struct pf_hash_team *t)
{
    const struct pf_team_layer *const l = &t->layer[SDF1];
    for (int p = team->rank; p < t->P; p += team->size) {
        float sum = l->b[0];
        for (int c = 0; c < l->C; c++)
            sum += l->w[4 * c] * t->h[c * t->pitch + p];
        t->out[p] = sum;
    }
    pf_wait(team);
}

/* out's sdf and features, u, q, g.  u may be s. */
PF_FN void
pf_team_differentiate(const struct pf_team *team, const struct pf_hash_team *t,
                      const struct pf_hash_shape *f)
{
    const int H = t->layer[SDF0].K, E = f->grid.levels * f->grid.features;
    pf_team_product(team, t, &t->layer[SDF1], t->out, true, t->h, PF_AS_IT_IS, 0);
    for (int i = team->rank; i < H * t->P; i += team->size) {
        const int k = i / t->P, at = k * t->pitch + i % t->P;
        t->u[at] = t->layer[SDF1].w[4 * k] * t->s[at];
    }
    pf_wait(team);
    pf_team_transposed(team, t, &t->layer[SDF0], t->q, t->u, PF_AS_IT_IS, 0);
    pf_wait(team);
    for (int i = team->rank; i < 3 * t->P; i += team->size) {
        const int k = i / t->P, p = i % t->P;
        float g = t->q[k * t->pitch + p];
        for (int e = 0; e < E; e++)
            g += t->q[(3 + e) * t->pitch + p] * t->jac[(3 * e + k) * t->pitch + p];
        t->g[k * t->pitch + p] = g;
    }
    pf_wait(team);
}

/* color, seen along dir; n goes beside the features in out. */
PF_FN void
pf_team_shade(const struct pf_team *team, const struct pf_hash_team *t)
{
    const int O = t->layer[SDF1].K, pitch = t->pitch;
    for (int p = team->rank; p < t->P; p += team->size)
        t->length[p] = pf_hash_look(t->out + O * pitch + p, t->g + p, t->dir + p, t->view, pitch);
    pf_wait(team);
    pf_team_product(team, t, &t->layer[COLOR0], t->c0, true, t->out + pitch, PF_MAX_0, 0);
    pf_wait(team);
    pf_team_product(team, t, &t->layer[COLOR1], t->c1, true, t->c0, PF_MAX_0, 0);
    pf_wait(team);
    pf_team_product(team, t, &t->layer[COLOR2], t->color, true, t->c1, PF_LOGISTIC, 0);
    pf_wait(team);
}

/* ---- backward; every function ends with a wait ---- */

/* From d_color: d_out's features; d_g is added to.  d_c0, d_c1, d_color stay for the sums. */
PF_FN void
pf_team_shade_backward(const struct pf_team *team, const struct pf_hash_team *t)
{
    const int O = t->layer[SDF1].K, pitch = t->pitch;
    for (int i = team->rank; i < 3 * t->P; i += team->size) {
        const int at = i / t->P * pitch + i % t->P;
        t->d_color[at] *= t->color[at] * (1.0f - t->color[at]);
    }
    pf_wait(team);
    pf_team_transposed(team, t, &t->layer[COLOR2], t->d_c1, t->d_color, PF_WHERE_POSITIVE, t->c1);
    pf_wait(team);
    pf_team_transposed(team, t, &t->layer[COLOR1], t->d_c0, t->d_c1, PF_WHERE_POSITIVE, t->c0);
    pf_wait(team);
    pf_team_transposed(team, t, &t->layer[COLOR0], t->d_out + pitch, t->d_c0, PF_AS_IT_IS, 0);
    pf_wait(team);
    for (int p = team->rank; p < t->P; p += team->size)
        pf_hash_look_backward(t->d_g + p, t->d_out + O * pitch + p, t->out + O * pitch + p,
                              t->dir + p, t->view, t->length[p], pitch);
    pf_wait(team);
}

/* From d_out (sdf and features) and d_g: d_q, d_z, d_in; and what d_u adds to W1[0]'s sums. */
PF_FN void
pf_team_sdf_backward(const struct pf_team *team, const struct pf_hash_team *t,
                     const struct pf_hash_shape *f)
{
    const int H = t->layer[SDF0].K, E = f->grid.levels * f->grid.features, pitch = t->pitch;
    int turn = 0;
    for (int i = team->rank; i < (3 + E) * t->P; i += team->size) {
        const int e = i / t->P, p = i % t->P;
        t->d_q[e * pitch + p] = e < 3 ? t->d_g[e * pitch + p]
                                      : t->jac[(3 * e - 9) * pitch + p] * t->d_g[p] +
                                        t->jac[(3 * e - 8) * pitch + p] * t->d_g[pitch + p] +
                                        t->jac[(3 * e - 7) * pitch + p] * t->d_g[2 * pitch + p];
    }
    pf_wait(team);
    pf_team_product(team, t, &t->layer[SDF0], t->d_u, false, t->d_q, PF_AS_IT_IS, 0);
    pf_team_transposed(team, t, &t->layer[SDF1], t->d_z, t->d_out, PF_AS_IT_IS, 0);
    pf_wait(team);
    for (int i = team->rank; i < H * t->P; i += team->size) {
        const int k = i / t->P, at = k * pitch + i % t->P;
        pf_softplus_100_backward(&t->d_z[at], &t->d_u[at], t->s[at], t->layer[SDF1].w[4 * k]);
    }
    pf_wait(team);
    pf_team_sum(team, t, t->layer[SDF1].sum_w, t->d_u, H, &turn);
    pf_team_transposed(team, t, &t->layer[SDF0], t->d_in, t->d_z, PF_AS_IT_IS, 0);
    pf_wait(team);
}

/* All layers' sums, the colour net's only where it has been gone through. */
PF_FN void
pf_team_sums(const struct pf_team *team, const struct pf_hash_team *t, bool color)
{
    int turn = 0;
    pf_team_outer(team, t, &t->layer[SDF0], t->u, t->d_q, t->d_z, t->in, &turn);
    pf_team_outer(team, t, &t->layer[SDF1], t->d_out, t->h, 0, 0, &turn);
    pf_team_sum(team, t, t->layer[SDF0].sum_b, t->d_z, t->layer[SDF0].K, &turn);
    pf_team_sum(team, t, t->layer[SDF1].sum_b, t->d_out, t->layer[SDF1].K, &turn);
    if (color) {
        pf_team_outer(team, t, &t->layer[COLOR0], t->d_c0, t->out + t->pitch, 0, 0, &turn);
        pf_team_outer(team, t, &t->layer[COLOR1], t->d_c1, t->c0, 0, 0, &turn);
        pf_team_outer(team, t, &t->layer[COLOR2], t->d_color, t->c1, 0, 0, &turn);
        pf_team_sum(team, t, t->layer[COLOR0].sum_b, t->d_c0, t->layer[COLOR0].K, &turn);
        pf_team_sum(team, t, t->layer[COLOR1].sum_b, t->d_c1, t->layer[COLOR1].K, &turn);
        pf_team_sum(team, t, t->layer[COLOR2].sum_b, t->d_color, t->layer[COLOR2].K, &turn);
    }
}

/* ---- all of it: points from..from+P of n ---- */

PF_FN void
pf_hash_team_sdf(const struct pf_team *team, const struct pf_hash_team *t,
                 const struct pf_hash_shape *f, float *sdf, const float *x, int64_t from, int64_t n)
{
    pf_team_load(team, t, t->x, x, 3, from, n, false);
    pf_wait(team);
    pf_team_first_layer(team, t, f, false);
    pf_team_sdf(team, t);
    pf_team_unload(team, t, sdf, t->out, 1, from, n);
    pf_wait(team);
}

PF_FN void
pf_hash_team_forward(const struct pf_team *team, const struct pf_hash_team *t,
                     const struct pf_hash_shape *f, float *sdf, float *grad, float *rgb,
                     const float *x, const float *dir, int64_t from, int64_t n)
{
    pf_team_load(team, t, t->x, x, 3, from, n, false);
    pf_team_load(team, t, t->dir, dir, 3, from, n, true);
    pf_wait(team);
    pf_team_first_layer(team, t, f, true);
    pf_team_differentiate(team, t, f);
    if (sdf)
        pf_team_unload(team, t, sdf, t->out, 1, from, n);
    if (grad)
        pf_team_unload(team, t, grad, t->g, 3, from, n);
    if (rgb) {
        pf_team_shade(team, t);
        pf_team_unload(team, t, rgb, t->color, 3, from, n);
    }
    pf_wait(team);
}

PF_FN void
pf_hash_team_backward(const struct pf_team *team, const struct pf_hash_team *t,
                      const struct pf_hash_shape *f, long long *grad, float scale,
                      const float *d_sdf, const float *d_grad, const float *d_rgb, const float *x,
                      const float *dir, int64_t from, int64_t n)
{
    const int O = t->layer[SDF1].K;
    pf_team_load(team, t, t->x, x, 3, from, n, false);
    pf_team_load(team, t, t->dir, dir, 3, from, n, true);
    pf_team_load(team, t, t->d_g, d_grad, 3, from, n, true);
    pf_team_load(team, t, t->d_color, d_rgb, 3, from, n, true);
    pf_wait(team);
    pf_team_first_layer(team, t, f, true);
    pf_team_differentiate(team, t, f);
    if (d_rgb) {
        pf_team_shade(team, t);
        pf_team_shade_backward(team, t);
    } else {
        for (int i = team->rank; i < (O - 1) * t->P; i += team->size)
            t->d_out[(1 + i / t->P) * t->pitch + i % t->P] = 0.0f;
    }
    pf_team_load(team, t, t->d_out, d_sdf, 1, from, n, true);
    pf_wait(team);
    pf_team_sdf_backward(team, t, f);
    pf_team_sums(team, t, d_rgb != 0);
    pf_team_scatter(team, t, f, grad, scale, n - from < t->P ? (int)(n - from) : t->P);
    pf_wait(team);
}

#endif
