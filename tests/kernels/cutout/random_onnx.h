/* random_onnx.h - the weights of random_cutout.h as ONNX models of the kinds that people have: with
 * norms, with norms folded and nodes that have the paths of modules, or neither paths nor names.
 * Protobuf is written by hand; no edge of the graph but those from weights is there. */
#ifndef PF_TEST_RANDOM_ONNX_H
#define PF_TEST_RANDOM_ONNX_H
#include "common/bytes.h"
#include "tests/kernels/cutout/random_cutout.h"

enum onnx_style { ONNX_NORMS, ONNX_FOLDED, ONNX_NAMELESS };

struct onnx_bytes {
    unsigned char *at;
    size_t n;
};

static inline void
onnx_put(struct onnx_bytes *b, const void *bytes, size_t n)
{
    b->at = realloc(b->at, b->n + n + 1);
    assert_non_null(b->at);
    memcpy(b->at + b->n, bytes, n);
    b->n += n;
}

static inline void
onnx_varint(struct onnx_bytes *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        onnx_put(b, &(unsigned char){(unsigned char)(v | 128)}, 1);
    onnx_put(b, &(unsigned char){(unsigned char)v}, 1);
}

static inline void
onnx_number(struct onnx_bytes *b, int field, uint64_t v)
{
    onnx_varint(b, (uint64_t)field << 3);
    onnx_varint(b, v);
}

static inline void
onnx_block(struct onnx_bytes *b, int field, const void *bytes, size_t n)
{
    onnx_varint(b, (uint64_t)field << 3 | 2);
    onnx_varint(b, n);
    onnx_put(b, bytes, n);
}

static inline void
onnx_text(struct onnx_bytes *b, int field, const char *text)
{
    onnx_block(b, field, text, strlen(text));
}

/* Put inner, which is freed, into b. */
static inline void
onnx_message(struct onnx_bytes *b, int field, struct onnx_bytes *inner)
{
    onnx_block(b, field, inner->at, inner->n);
    free(inner->at);
    *inner = (struct onnx_bytes){0};
}

/* Adds an initialiser to a graph. */
static inline void
onnx_tensor(struct onnx_bytes *graph, const char *name, const pf_tensor *t)
{
    struct onnx_bytes m = {0};
    for (int i = 0; i < t->ndim; i++)
        onnx_number(&m, 1, (uint64_t)t->dim[i]);
    onnx_number(&m, 2, 1);
    onnx_text(&m, 8, name);
    onnx_block(&m, 9, t->data, pf_tensor_bytes(t));
    onnx_message(graph, 5, &m);
}

static inline void
onnx_node(struct onnx_bytes *graph, const char *op, const char *name, int inputs,
          const char *const *input)
{
    struct onnx_bytes m = {0};
    onnx_text(&m, 1, "x");
    for (int i = 0; i < inputs; i++)
        onnx_text(&m, 1, input[i]);
    onnx_text(&m, 2, "y");
    onnx_text(&m, 3, name);
    onnx_text(&m, 4, op);
    onnx_message(graph, 1, &m);
}

/* The weights of one network, one after the other in the order of execution. */
struct onnx_source {
    const struct random_cutout *from;
    const char *data;           /* of the safetensors file */
    int next, numbered;
};

static inline pf_tensor
onnx_next(struct onnx_source *s)
{
    const struct pf_st_entry *const e = &s->from->entry[s->next++];
    pf_tensor t = e->t;
    t.data = (void *)(uintptr_t)(s->data + e->begin);
    return t;
}

/* "/stage1/rebnconvin/conv_s1/Conv" of stage1.rebnconvin.conv_s1.weight. */
static inline void
onnx_path(char path[128], const char *name, const char *op)
{
    snprintf(path, 128, "/%.*s/%s", (int)(strrchr(name, '.') - name), name, op);
    for (char *c = path; *c; c++)
        if (*c == '.')
            *c = '/';
}

/* Weight and bias of a convolution, with its norm: gamma, beta, mean, variance. */
static inline void
onnx_fold(const pf_tensor conv[2], const pf_tensor norm[4])
{
    const int64_t K = conv[0].dim[0], row = pf_tensor_count(&conv[0]) / K;
    const float *const gamma = norm[0].data, *const beta = norm[1].data, *const mean = norm[2].data,
                *const variance = norm[3].data;
    float *const weight = conv[0].data, *const bias = conv[1].data;
    for (int64_t k = 0; k < K; k++) {
        const double gain = gamma[k] / sqrt((double)variance[k] + 1e-5);
        for (int64_t i = 0; i < row; i++)
            weight[k * row + i] = (float)(gain * weight[k * row + i]);
        bias[k] = (float)(gain * ((double)bias[k] - mean[k]) + beta[k]);
    }
}

/* A convolution and, of a unit, its norm. */
static inline void
onnx_unit(struct onnx_bytes *graph, struct onnx_source *s, enum onnx_style style)
{
    const struct pf_st_entry *const e = &s->from->entry[s->next];
    const bool unit = strstr(e->name, ".conv_s1.") != NULL;
    char path[128], name[6][128];
    pf_tensor t[6], own[2];
    for (int i = 0; i < (unit ? 6 : 2); i++) {
        snprintf(name[i], sizeof name[i], "%s", s->from->entry[s->next].name);
        t[i] = onnx_next(s);
    }
    for (int i = 0; i < 2; i++)
        assert_ok(pf_tensor_copy(&own[i], &t[i]));
    if (unit && style != ONNX_NORMS) {
        onnx_fold(own, t + 2);
        for (int i = 0; i < 2; i++)
            snprintf(name[i], sizeof name[i], style == ONNX_FOLDED ? "onnx::Conv_%d" : "%d",
                     1796 + 3 * s->numbered + i);
        s->numbered++;
    }
    onnx_path(path, e->name, "Conv");
    onnx_node(graph, "Conv", style == ONNX_NAMELESS ? "Conv_0" : path, 2,
              (const char *const[]){name[0], name[1]});
    for (int i = 0; i < 2; i++) {
        onnx_tensor(graph, name[i], &own[i]);
        pf_tensor_release(&own[i]);
    }
    if (!unit || style != ONNX_NORMS)
        return;
    onnx_node(graph, "BatchNormalization", "", 4,
              (const char *const[]){name[2], name[3], name[4], name[5]});
    for (int i = 2; i < 6; i++)
        onnx_tensor(graph, name[i], &t[i]);
}

/* The model of r's weights, which are pf_st_print's.  Bytes are the caller's. */
static inline struct onnx_bytes
random_onnx(const struct random_cutout *r, enum onnx_style style)
{
    struct onnx_bytes graph = {0}, model = {0}, opset = {0};
    struct onnx_source s = {
        .from = r, .data = r->bytes + 8 + pf_little((unsigned char *)r->bytes, 8)};
    while (s.next < r->entries)
        onnx_unit(&graph, &s, style);
    onnx_number(&opset, 2, 15);
    onnx_number(&model, 1, 8);
    onnx_text(&model, 2, "pytorch");
    onnx_message(&model, 7, &graph);
    onnx_message(&model, 8, &opset);
    return model;
}

#endif
