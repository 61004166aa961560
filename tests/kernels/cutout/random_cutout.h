/* random_cutout.h - weights of the networks that cut out, by golden/background/README.md's rule:
 * every tensor is a function of its name and shape.  The names are written down once more here, so
 * that a wrong one in the network cannot agree with itself. */
#ifndef PF_TEST_RANDOM_CUTOUT_H
#define PF_TEST_RANDOM_CUTOUT_H
#include <zlib.h>

#include "common/checkpoint.h"
#include "common/safetensors.h"
#include "tests/tools/golden.h"

enum { RANDOM_TENSORS = 1500 };

struct random_cutout {
    struct pf_st_entry entry[RANDOM_TENSORS];
    int entries;
    char *bytes;                /* a safetensors file */
    size_t size;
};

static inline void
random_add(struct random_cutout *r, const char *name, int ndim, const int64_t *dim)
{
    assert_true(r->entries < RANDOM_TENSORS);
    struct pf_st_entry *const e = &r->entry[r->entries++];
    *e = (struct pf_st_entry){.name = strdup(name), .t = pf_tensor_view(NULL, PF_F32, ndim, dim)};
}

static inline void
random_conv(struct random_cutout *r, const char *prefix, int64_t K, int64_t C, int64_t side)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", prefix);
    random_add(r, name, 4, (int64_t[]){K, C, side, side});
    snprintf(name, sizeof name, "%s.bias", prefix);
    random_add(r, name, 1, &K);
}

static inline void
random_unit(struct random_cutout *r, const char *prefix, int64_t K, int64_t C)
{
    static const char *const norm[] = {"weight", "bias", "running_mean", "running_var"};
    char name[96];
    snprintf(name, sizeof name, "%s.conv_s1", prefix);
    random_conv(r, name, K, C, 3);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.bn_s1.%s", prefix, norm[i]);
        random_add(r, name, 1, &K);
    }
}

static inline void
random_stage(struct random_cutout *r, const char *stage, int L, int in, int mid, int out)
{
    char name[64];
    snprintf(name, sizeof name, "%s.rebnconvin", stage);
    random_unit(r, name, out, in);
    for (int k = 1; k <= L; k++) {
        snprintf(name, sizeof name, "%s.rebnconv%d", stage, k);
        random_unit(r, name, mid, k == 1 ? out : mid);
    }
    for (int k = L - 1; k > 0; k--) {
        snprintf(name, sizeof name, "%s.rebnconv%dd", stage, k);
        random_unit(r, name, k == 1 ? out : mid, 2 * mid);
    }
}

/* net is golden's: u2net, u2netp, isnet. */
static inline void
random_names(struct random_cutout *r, const char *net)
{
    static const char *const stage[] = {"stage1",  "stage2",  "stage3",  "stage4",
                                        "stage5",  "stage6",  "stage5d", "stage4d",
                                        "stage3d", "stage2d", "stage1d"};
    static const int L[] = {7, 6, 5, 4, 4, 4, 4, 4, 5, 6, 7};
    static const int in[] = {3, 64, 128, 256, 512, 512, 1024, 1024, 512, 256, 128};
    static const int mid[] = {32, 32, 64, 128, 256, 256, 256, 128, 64, 32, 16};
    static const int out[] = {64, 128, 256, 512, 512, 512, 512, 256, 128, 64, 64};
    static const int side[] = {64, 64, 128, 256, 512, 512};
    const bool small = !strcmp(net, "u2netp"), isnet = !strcmp(net, "isnet");
    char name[16];
    if (isnet)
        random_conv(r, "conv_in", 64, 3, 3);
    for (int i = 0; i < 11; i++)
        random_stage(r, stage[i], L[i],
                     i == 0 ? (isnet ? 64 : 3) : !small ? in[i] : i < 6 ? 64 : 128,
                     small ? 16 : mid[i], small ? 64 : out[i]);
    for (int k = 0; k < 6; k++) {
        snprintf(name, sizeof name, "side%d", k + 1);
        random_conv(r, name, 1, small ? 64 : side[k], 3);
    }
    if (!isnet)
        random_conv(r, "outconv", 1, 6, 1);
}

static inline bool
random_ends(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

static inline bool
random_begins(const char *name, const char *begin)
{
    return !strncmp(name, begin, strlen(begin));
}

static inline float
random_gain(const char *name)
{
    if (random_ends(name, ".rebnconvin.conv_s1.weight"))
        return 1;
    if (random_begins(name, "side"))
        return 4;
    return random_begins(name, "outconv") || random_begins(name, "conv_in") ? 1 : 2;
}

static inline void
random_values(float *to, const char *name, const pf_tensor *t, float gain)
{
    const int64_t n = pf_tensor_count(t);
    golden_noise(to, n, crc32(0, (const Bytef *)name, (uInt)strlen(name)), 0);
    float s = 0.125f;
    if (t->ndim == 4)
        s = (float)sqrt(gain / (double)(t->dim[1] * t->dim[2] * t->dim[3]));
    const bool variance = random_ends(name, "running_var");
    const bool one = t->ndim == 1 && (variance || random_ends(name, ".weight"));
    for (int64_t i = 0; i < n; i++)
        to[i] = (one ? 1 : 0) + (variance ? 0.25f * fabsf(to[i]) : s * to[i]);
}

/* The file of the tensors that were added; exceptions (NULL: none) are made to each.  gain NULL:
 * all numbers are 0. */
static inline void
random_write(struct random_cutout *r, float (*gain)(const char *name),
             void (*exception)(float *to, const char *name, int64_t n))
{
    struct pf_st_header h = {.entry = r->entry, .entries = r->entries};
    char *head;
    size_t begin;
    assert_ok(pf_st_print(&head, &begin, &h));
    r->size = begin + h.data_size;
    r->bytes = realloc(head, r->size);
    assert_non_null(r->bytes);
    memset(r->bytes + begin, 0, h.data_size);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < (gain ? r->entries : 0); i++) {
        const struct pf_st_entry *const e = &r->entry[i];
        float *const to = (float *)(void *)(r->bytes + begin + e->begin);
        random_values(to, e->name, &e->t, gain(e->name));
        if (exception)
            exception(to, e->name, pf_tensor_count(&e->t));
    }
}

/* The file of a network; random_release frees it. */
static inline void
random_cutout(struct random_cutout *r, const char *net)
{
    *r = (struct random_cutout){0};
    random_names(r, net);
    random_write(r, random_gain, NULL);
}

static inline void
random_release(struct random_cutout *r)
{
    for (int i = 0; i < r->entries; i++)
        free(r->entry[i].name);
    free(r->bytes);
}

#endif
