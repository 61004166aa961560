/* hash_team_memory.h - what lies where in the memory of a team of threads (hash_team.h).  Private.
 *
 * A quantity of C channels is C rows of P points, P + 4 floats apart: neighbouring rows then lie in
 * different banks of shared memory.  Rows come in fours; spare ones of a point are finite where the
 * point is, because memory starts as zeros and their weights are zeros.  Memory is shared memory
 * where the rows fit, else global: the code is the same. */
#ifndef PF_FIELD_HASH_TEAM_MEMORY_H
#define PF_FIELD_HASH_TEAM_MEMORY_H
#include "kernels/field/hash/hash.h"
#include "kernels/field/hash/team.h"

enum { PF_TEAM_PAD = 4 };
enum pf_team_kind { PF_TEAM_SDF, PF_TEAM_FORWARD, PF_TEAM_BACKWARD };

/* What a kernel must know of a field; its weights are where the parameters are, unpacked. */
struct pf_hash_shape {
    struct pf_hash_grid grid;
    int active;                 /* levels in use */
    float view;
    int K[PF_HASH_LAYERS], C[PF_HASH_LAYERS];
    int64_t weights;            /* numbers of all layers: weight, bias, weight, bias, ... */
    const float *table, *weight;
};

static inline struct pf_hash_shape
pf_hash_shape_of(const struct pf_hash *net, const float *table, const float *weight)
{
    struct pf_hash_shape f;
    memset(&f, 0, sizeof f);
    f.grid = net->grid;
    f.active = net->active;
    f.view = net->view;
    f.weights = net->weights;
    f.table = table;
    f.weight = weight;
    for (int i = 0; i < PF_HASH_LAYERS; i++) {
        f.K[i] = net->layer[i].K;
        f.C[i] = net->layer[i].C;
    }
    return f;
}

/* A layer in a team's memory: w [rows(K) / 4, rows(C), 4], four rows interleaved, spare ones 0. */
struct pf_team_layer {
    int K, C;
    float *w, *b;
    float *sum_w, *sum_b;       /* [K, C], [K] gradients; backward alone */
};

/* Rows as in struct pf_hash_simd; what is missing there is computed again or lies elsewhere. */
struct pf_hash_team {
    int P, pitch;               /* points; floats from row to row */
    float view;
    struct pf_team_layer layer[PF_HASH_LAYERS];
    float *sums;                /* [weights] all sum_w and sum_b */
    float *x, *dir, *in, *jac, *h, *s, *u, *q;
    float *out;                 /* [1 + G | n 3 | SH 16] */
    float *g, *length, *c0, *c1, *color;
    float *d_out, *d_c0, *d_c1, *d_color, *d_g, *d_q, *d_u, *d_z, *d_in;
};

/* The next n floats; NULL while they are only counted. */
PF_HD_FN float *
pf_team_take(float *memory, int64_t *at, int64_t n)
{
    float *const p = memory ? memory + *at : 0;
    *at += n;
    return p;
}

/* Lay the rows of P points out over memory, a multiple of 16 bytes; NULL counts.  Returns how
 * many floats. */
PF_HD_FN int64_t
pf_hash_team_lay_out(struct pf_hash_team *t, float *memory, const struct pf_hash_shape *f, int P,
                     enum pf_team_kind kind)
{
    const int E = f->grid.levels * f->grid.features;
    const int layers = kind == PF_TEAM_SDF ? 2 : PF_HASH_LAYERS;
    const bool backward = kind == PF_TEAM_BACKWARD;
    const int64_t row = P + PF_TEAM_PAD, in = pf_rows(3 + E) * row;
    const int64_t out = (1 + pf_rows(f->C[COLOR0])) * row;
    const int64_t h = pf_rows(f->K[SDF0]) * row, c = pf_rows(f->K[COLOR0]) * row;
    const int64_t wider = h > c ? h : c;
    int64_t at = 0;
    t->P = P;
    t->pitch = P + PF_TEAM_PAD;
    t->view = f->view;
    t->sums = 0;
    if (backward)
        t->sums = pf_team_take(memory, &at, (f->weights + 3) / 4 * 4);
    float *sums = t->sums;
    PF_UNROLL for (int i = 0; i < layers; i++) {
        struct pf_team_layer *const l = &t->layer[i];
        l->K = f->K[i];
        l->C = f->C[i];
        l->w = pf_team_take(memory, &at, (int64_t)pf_rows(l->K) * pf_rows(l->C));
        l->b = pf_team_take(memory, &at, pf_rows(l->K));
        l->sum_w = sums;
        l->sum_b = sums ? sums + l->K * l->C : 0;
        sums = sums ? l->sum_b + l->K : 0;
    }
    t->x = pf_team_take(memory, &at, 4 * row);
    t->in = pf_team_take(memory, &at, in);
    t->h = pf_team_take(memory, &at, backward ? h : wider);
    if (kind == PF_TEAM_SDF) {
        t->out = pf_team_take(memory, &at, row);
        return at;
    }
    t->s = pf_team_take(memory, &at, !backward ? wider : h > in ? h : in);
    t->dir = pf_team_take(memory, &at, 4 * row);
    t->jac = pf_team_take(memory, &at, pf_rows(3 * E) * row);
    t->q = pf_team_take(memory, &at, in);
    t->out = pf_team_take(memory, &at, out);
    t->g = pf_team_take(memory, &at, 4 * row);
    t->length = pf_team_take(memory, &at, row);
    t->color = pf_team_take(memory, &at, 4 * row);
    if (!backward) {
        t->u = t->s;            /* their last use comes before their heirs' first */
        t->c0 = t->h;
        t->c1 = t->s;
        return at;
    }
    t->u = pf_team_take(memory, &at, h);
    t->c0 = pf_team_take(memory, &at, c);
    t->c1 = pf_team_take(memory, &at, c);
    t->d_out = pf_team_take(memory, &at, out);
    t->d_c0 = pf_team_take(memory, &at, c);
    t->d_c1 = pf_team_take(memory, &at, c);
    t->d_color = pf_team_take(memory, &at, 4 * row);
    t->d_g = pf_team_take(memory, &at, 4 * row);
    t->d_q = pf_team_take(memory, &at, in);
    t->d_u = pf_team_take(memory, &at, h);
    t->d_z = pf_team_take(memory, &at, h);
    t->d_in = t->s;
    return at;
}

/* Zeros everywhere, then the weights.  Ends with a wait. */
PF_FN void
pf_hash_team_start(const struct pf_team *team, struct pf_hash_team *t, float *memory,
                   int64_t floats, const struct pf_hash_shape *f, int layers)
{
    const float *from = f->weight;
    for (int64_t i = team->rank; i < floats; i += team->size)
        memory[i] = 0.0f;
    pf_wait(team);
    PF_UNROLL for (int n = 0; n < layers; n++) {
        const struct pf_team_layer *const l = &t->layer[n];
        const int columns = pf_rows(l->C);
        for (int i = team->rank; i < l->K * l->C; i += team->size) {
            const int k = i / l->C, c = i % l->C;
            l->w[(k / 4 * columns + c) * 4 + k % 4] = from[i];
        }
        from += l->K * l->C;
        for (int k = team->rank; k < l->K; k += team->size)
            l->b[k] = from[k];
        from += l->K;
    }
    pf_wait(team);
}

#endif
