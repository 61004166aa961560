/* training.h - what the tests of fields and trainers share: a ball in views, a trainer, documents
 * compared. */
#ifndef PF_TEST_TRAINING_H
#define PF_TEST_TRAINING_H
#include "common/camera.h"
#include "common/config.h"
#include "kernels/field/field_priv.h"
#include "tests/check.h"

/* A ball of radius 0.35 on white, in views [V, S, S] of the rig; its colour says where a point
 * is. */
static inline void
paint_ball(uint8_t *image, float *alpha, const pf_tensor *poses, const pf_tensor *intrinsics, int V,
           int S)
{
    for (int p = 0; p < V * S * S; p++) {
        float o[3], d[3];
        double pose[12], K[9];
        for (int i = 0; i < 12; i++)
            pose[i] = ((const float *)poses->data)[p / (S * S) * 12 + i];
        for (int i = 0; i < 9; i++)
            K[i] = ((const float *)intrinsics->data)[p / (S * S) * 9 + i];
        pf_camera_ray(o, d, pose, K, p % S, p / S % S);
        const float b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2];
        const float under = b * b - (o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 0.35f * 0.35f);
        alpha[p] = under > 0;
        for (int k = 0; k < 3; k++)
            image[3 * p + k] =
                under > 0 ? (uint8_t)(128 + 300 * (o[k] - d[k] * (b + sqrtf(under)))) : 255;
    }
}

enum { V = 4, MOST_SIDE = 24, MOST_PIXELS = V * MOST_SIDE * MOST_SIDE };

struct world {
    struct pf_neus_config conf;
    uint8_t image[MOST_PIXELS * 3];
    float alpha[MOST_PIXELS];
    pf_tensor pose, intrinsics;
    struct pf_field_views views;
};

/* A ball, seen from four sides, in views of side S; conf is the caller's. */
static inline void
see_ball(struct world *w, int S)
{
    assert_ok(pf_rig_tensors(&w->pose, &w->intrinsics, NULL, NULL, V, 0.4, S));
    paint_ball(w->image, w->alpha, &w->pose, &w->intrinsics, V, S);
    w->views =
        (struct pf_field_views){V, S, S, w->image, w->alpha, w->pose.data, w->intrinsics.data};
}

static inline void
release_world(struct world *w)
{
    pf_tensor_release(&w->pose);
    pf_tensor_release(&w->intrinsics);
}

/* Move every parameter a little, so that each matters: the same on every device. */
static inline void
roughen(pf_field *f, float table, float other)
{
    for (int i = 0; i < f->net->params; i++) {
        struct pf_param *p = &f->net->param[i];
        float *noise = malloc((size_t)p->n * sizeof(float));
        fill_uniform(noise, p->n, (uint64_t)(40 + i));
        for (int64_t k = 0; k < p->n; k++)
            p->value[k] += (strstr(p->name, "table") ? table : other) * noise[k];
        free(noise);
    }
    pf_field_changed(f);
}

struct run {
    pf_field *field;
    pf_trainer *trainer;
};

static inline struct run
start(const struct world *w, pf_dev *dev)
{
    struct run r;
    assert_ok(pf_field_new(&r.field, dev, &w->conf, 3));
    assert_ok(pf_trainer_new(&r.trainer, r.field, &w->views, &w->conf, 3));
    return r;
}

static inline struct pf_field_losses
steps(struct run *r, int n)
{
    struct pf_field_losses l = {0};
    for (int i = 0; i < n; i++) {
        assert_ok(pf_trainer_step(r->trainer, &l));
        assert_true(isfinite(l.total));
    }
    return l;
}

static inline void
stop(struct run *r)
{
    pf_trainer_free(r->trainer);
    pf_field_free(r->field);
}

static inline void
assert_same(const pf_doc *a, const pf_doc *b)
{
    assert_int_equal(a->tensors, b->tensors);
    for (int i = 0; i < a->tensors; i++) {
        assert_string_equal(a->tensor[i].name, b->tensor[i].name);
        assert_int_equal(pf_tensor_bytes(&a->tensor[i].t), pf_tensor_bytes(&b->tensor[i].t));
        if (memcmp(a->tensor[i].t.data, b->tensor[i].t.data, pf_tensor_bytes(&a->tensor[i].t)))
            fail_msg("%s differs", a->tensor[i].name);
    }
    assert_string_equal(pf_doc_get_meta(a, "field.config"), pf_doc_get_meta(b, "field.config"));
}

#endif
