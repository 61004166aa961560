/* The original's two perceptrons on a small scale: against the same network written once more in
 * double, with the distance's gradient by forward differentiation; the parameters' gradients, which
 * hold second-order terms, against finite differences of that. */
#include <omp.h>

#include "common/config.h"
#include "kernels/field/net.h"
#include "tests/check.h"

enum { N = 150, W = 16, F = 5, C = 12, LAYERS = 4, COLORS = 2, FREQ = 1, WIDE = 64 };

static struct pf_neus_config
small(void)
{
    struct pf_neus_config c = pf_conf.neus;
    c.field = "mlp";
    c.sdf_width = W;
    c.sdf_layers = LAYERS;
    c.sdf_frequencies = c.color_frequencies = FREQ;
    c.feature_dim = F;
    c.color_width = C;
    c.color_layers = COLORS;
    return c;
}

/* A small network whose every parameter matters, and points in the cube. */
static struct pf_net *
make(float x[3 * N], float dir[3 * N])
{
    const struct pf_neus_config c = small();
    struct pf_net *net;
    assert_ok(pf_net_kind("mlp")->create(&net, &c, 5));
    for (int i = 0; i < net->params; i++) {
        float *noise = malloc((size_t)net->param[i].n * sizeof(float));
        fill_uniform(noise, net->param[i].n, (uint64_t)(50 + i));
        for (int64_t k = 0; k < net->param[i].n; k++)
            net->param[i].value[k] += 0.1f * noise[k];
        free(noise);
    }
    fill_uniform(x, 3 * N, 6);
    fill_uniform(dir, 3 * N, 7);
    for (int i = 0; i < N; i++) {
        float *d = dir + 3 * i;
        const float length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        for (int k = 0; k < 3; k++) {
            x[3 * i + k] *= 0.6f;
            d[k] /= length;
        }
    }
    return net;
}

/* ---- the network in double; a dual number carries its derivative by x, y and z ---- */

struct dual {
    double v, d[3];
};

/* Values of all parameters in the order of net->param, in double. */
struct doubles {
    double *p[64];
    int64_t n[64];
    int count;
};

static void
linear(struct dual *to, const struct dual *x, int64_t out, int64_t in, const struct doubles *p,
       int at)
{
    for (int64_t o = 0; o < out; o++) {
        const double *v = p->p[at + 1] + o * in;
        double length = 0;
        struct dual sum = {p->p[at + 2][o], {0, 0, 0}};
        for (int64_t j = 0; j < in; j++)
            length += v[j] * v[j];
        for (int64_t j = 0; j < in; j++) {
            const double w = p->p[at][o] * v[j] / sqrt(length);
            sum.v += w * x[j].v;
            for (int k = 0; k < 3; k++)
                sum.d[k] += w * x[j].d[k];
        }
        to[o] = sum;
    }
}

static int
encoded(struct dual *to, const struct dual x[3])
{
    int n = 0;
    for (int c = 0; c < 3; c++)
        to[n++] = x[c];
    for (int f = 0; f < FREQ; f++)
        for (int phase = 0; phase < 2; phase++)
            for (int c = 0; c < 3; c++, n++) {
                const double a = x[c].v * (1 << f), slope = phase ? -sin(a) : cos(a);
                to[n].v = phase ? cos(a) : sin(a);
                for (int k = 0; k < 3; k++)
                    to[n].d[k] = slope * (1 << f) * x[c].d[k];
            }
    return n;
}

static void
softplus(struct dual *h, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double z = 100 * h[i].v, slope = z > 20 ? 1 : 1 / (1 + exp(-z));
        h[i].v = z > 20 ? h[i].v : log1p(exp(z)) / 100;
        for (int k = 0; k < 3; k++)
            h[i].d[k] *= slope;
    }
}

static double
reference_sdf(double feature[F], double g[3], const float x[3], const struct doubles *p)
{
    struct dual place[3] = {{0}}, code[WIDE], h[WIDE], z[WIDE];
    for (int k = 0; k < 3; k++) {
        place[k].v = x[k];
        place[k].d[k] = 1;
    }
    const int E = encoded(code, place);
    int64_t in = E;
    memcpy(h, code, sizeof(h));
    for (int l = 0; l <= LAYERS; l++) {
        const int64_t out = l == LAYERS ? 1 + F : l + 1 == LAYERS / 2 ? W - E : W;
        linear(z, h, out, in, p, 3 * l);
        memcpy(h, z, sizeof(h));
        in = out;
        if (l < LAYERS)
            softplus(h, out);
        if (l + 1 == LAYERS / 2) {
            memcpy(h + out, code, (size_t)E * sizeof(*h));
            in = out + E;
            for (int64_t i = 0; i < in; i++) {
                h[i].v /= sqrt(2);
                for (int k = 0; k < 3; k++)
                    h[i].d[k] /= sqrt(2);
            }
        }
    }
    for (int i = 0; i < F; i++)
        feature[i] = h[1 + i].v;
    memcpy(g, h[0].d, 3 * sizeof(double));
    return h[0].v;
}

static void
reference_color(double rgb[3], const float x[3], const float dir[3], const double g[3],
                const double feature[F], const struct doubles *p)
{
    struct dual h[WIDE] = {{0}}, z[WIDE], r[3] = {{0}};
    const double length = sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
    const double vn = -(dir[0] * g[0] + dir[1] * g[1] + dir[2] * g[2]) / length;
    int64_t in = 3;
    for (int k = 0; k < 3; k++) {
        h[k].v = x[k];
        r[k].v = 2 * vn * g[k] / length + dir[k];
    }
    in += encoded(h + in, r);
    for (int k = 0; k < 3; k++)
        h[in++].v = g[k] / length;
    for (int k = 0; k < F; k++)
        h[in++].v = feature[k];
    for (int l = 0; l <= COLORS; l++) {
        const int64_t out = l == COLORS ? 3 : C;
        linear(z, h, out, in, p, 3 * (LAYERS + 1 + l));
        for (int64_t i = 0; i < out; i++)
            h[i].v = l == COLORS ? 1 / (1 + exp(-z[i].v)) : z[i].v > 0 ? z[i].v : 0;
        in = out;
    }
    for (int k = 0; k < 3; k++)
        rgb[k] = h[k].v;
}

/* sum of a . sdf + b . gradient + c . colour over all points */
static double
weighed(const float *x, const float *dir, const struct doubles *p, const float *a, const float *b,
        const float *c)
{
    double sum = 0;
    for (int i = 0; i < N; i++) {
        double feature[F], g[3], rgb[3];
        sum += a[i] * reference_sdf(feature, g, x + 3 * i, p);
        reference_color(rgb, x + 3 * i, dir + 3 * i, g, feature, p);
        for (int k = 0; k < 3; k++)
            sum += b[3 * i + k] * g[k] + c[3 * i + k] * rgb[k];
    }
    return sum;
}

static void
widen(struct doubles *p, const struct pf_net *net)
{
    p->count = net->params;
    for (int i = 0; i < net->params; i++) {
        p->n[i] = net->param[i].n;
        p->p[i] = malloc((size_t)p->n[i] * sizeof(double));
        for (int64_t k = 0; k < p->n[i]; k++)
            p->p[i][k] = net->param[i].value[k];
    }
}

static void
release(struct doubles *p)
{
    for (int i = 0; i < p->count; i++)
        free(p->p[i]);
}

/* ---- tests ---- */

static void
test_forward_follows_the_network_in_double(void **state)
{
    float x[3 * N], dir[3 * N], sdf[N], alone[N], grad[3 * N], rgb[3 * N];
    struct pf_net *net = make(x, dir);
    struct doubles p;
    (void)state;
    widen(&p, net);
    assert_ok(net->ops->forward(net, sdf, grad, rgb, x, dir, N, false));
    assert_ok(net->ops->sdf(net, alone, x, N));
    for (int i = 0; i < N; i++) {
        double feature[F], g[3], c[3];
        const float want = (float)reference_sdf(feature, g, x + 3 * i, &p);
        reference_color(c, x + 3 * i, dir + 3 * i, g, feature, &p);
        assert_near(sdf + i, &want, 1, 2e-6);
        assert_near(alone + i, &want, 1, 2e-6);
        assert_near(grad + 3 * i, ((float[]){(float)g[0], (float)g[1], (float)g[2]}), 3, 2e-5);
        assert_near(rgb + 3 * i, ((float[]){(float)c[0], (float)c[1], (float)c[2]}), 3, 2e-5);
    }
    release(&p);
    net->ops->free(net);
}

static void
check_param(const struct pf_param *q, double *at, const float *x, const float *dir,
            const struct doubles *p, const float *a, const float *b, const float *c)
{
    double largest = 0;
    for (int64_t k = 0; k < q->n; k++)
        largest = fmax(largest, fabs(q->grad[k]));
    for (int64_t k = 0; k < q->n; k += q->n > 6 ? q->n / 6 : 1) {
        const double kept = at[k], h = 1e-6;
        at[k] = kept + h;
        const double up = weighed(x, dir, p, a, b, c);
        at[k] = kept - h;
        const double slope = (up - weighed(x, dir, p, a, b, c)) / (2 * h);
        at[k] = kept;
        if (!(fabs(q->grad[k] - slope) <= 1e-4 * largest + 1e-4))
            fail_msg("%s[%lld] is %g, finite differences say %g", q->name, (long long)k,
                     (double)q->grad[k], slope);
    }
}

/* All three outputs have cotangents, so the feature, the normal in the colour and the second order
 * are in it; two backward passes add up. */
static void
test_backward_follows_finite_differences(void **state)
{
    float x[3 * N], dir[3 * N], sdf[N], grad[3 * N], rgb[3 * N], a[N], b[3 * N], c[3 * N];
    struct pf_net *net = make(x, dir);
    struct doubles p;
    (void)state;
    fill_uniform(a, N, 11);
    fill_uniform(b, 3 * N, 12);
    fill_uniform(c, 3 * N, 13);
    assert_ok(net->ops->forward(net, sdf, grad, rgb, x, dir, N, true));
    assert_ok(net->ops->backward(net, a, b, c));
    widen(&p, net);
    for (int i = 0; i < net->params; i++)
        check_param(&net->param[i], p.p[i], x, dir, &p, a, b, c);
    const float once = net->param[1].grad[3];
    assert_ok(net->ops->backward(net, a, b, c));
    assert_near(net->param[1].grad + 3, (float[]){2 * once}, 1, 0);
    release(&p);
    net->ops->free(net);
}

/* Not a bit depends on how many threads share the work, nor on whether a tape is kept. */
static void
test_threads_do_not_change_a_bit(void **state)
{
    float x[3 * N], dir[3 * N], out[2][7 * N], a[N], b[3 * N], c[3 * N];
    struct pf_net *net[2] = {make(x, dir), make(x, dir)};
    const int threads = omp_get_max_threads();
    (void)state;
    fill_uniform(a, N, 11);
    fill_uniform(b, 3 * N, 12);
    fill_uniform(c, 3 * N, 13);
    for (int i = 0; i < 2; i++) {
        omp_set_num_threads(i ? 1 : 4);
        assert_ok(
            net[i]->ops->forward(net[i], out[i], out[i] + N, out[i] + 4 * N, x, dir, N, true));
        assert_ok(net[i]->ops->backward(net[i], a, b, c));
    }
    omp_set_num_threads(threads);
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
    for (int i = 0; i < net[0]->params; i++)
        assert_memory_equal(net[0]->param[i].grad, net[1]->param[i].grad,
                            (size_t)net[0]->param[i].n * sizeof(float));
    assert_ok(net[0]->ops->forward(net[0], out[1], out[1] + N, out[1] + 4 * N, x, dir, N, false));
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
    net[0]->ops->free(net[0]);
    net[1]->ops->free(net[1]);
}

/* Geometric initialisation at full size: about |x| - 0.5, but for the middle, where each softplus
 * of nothing adds ln 2 / 100. */
static void
test_a_new_field_is_a_sphere(void **state)
{
    struct pf_net *net;
    float x[] = {0, 0, 0.25f, 0.5f, 0, 0, 0, -0.5f, 0, 0.3f, 0.3f, 0.265f, 0, 0, 1}, sdf[5];
    (void)state;
    assert_ok(pf_net_kind("mlp")->create(&net, &pf_conf.neus, 6033));
    assert_int_equal(net->params, 3 * 14);
    int64_t count = 1;                                          /* the variance is the field's */
    for (int i = 0; i < net->params; i++)
        count += net->param[i].n;
    assert_int_equal(count, 802491);                            /* field.md, 5 */
    assert_ok(net->ops->sdf(net, sdf, x, 5));
    assert_near(sdf, ((float[]){-0.25f, 0, 0, 0, 0.5f}), 5, 0.15);
    net->ops->free(net);
}

/* Mesh colours are asked for without a direction: as if looked at along -normal. */
static void
test_no_direction_means_against_the_normal(void **state)
{
    float x[3 * N], dir[3 * N], sdf[N], grad[3 * N], rgb[3 * N], same[3 * N];
    struct pf_net *net = make(x, dir);
    (void)state;
    assert_ok(net->ops->forward(net, sdf, grad, rgb, x, NULL, N, false));
    for (int i = 0; i < N; i++) {
        const float *g = grad + 3 * i;
        const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
        for (int k = 0; k < 3; k++)
            dir[3 * i + k] = -g[k] / length;
    }
    assert_ok(net->ops->forward(net, sdf, grad, same, x, dir, N, false));
    assert_near(rgb, same, 3 * N, 1e-5);
    net->ops->free(net);
}

static void
test_sizes_that_make_no_network_are_refused(void **state)
{
    struct pf_neus_config c = small();
    struct pf_net *net;
    (void)state;
    c.sdf_width = 9;                                       /* the skip alone takes 9 */
    assert_fails(pf_net_kind("mlp")->create(&net, &c, 1), PF_EARG, "sdf_width is 9");
    c = small();
    c.sdf_layers = 1;
    assert_fails(pf_net_kind("mlp")->create(&net, &c, 1), PF_EARG, "sdf_layers is 1");
    c = small();
    c.feature_dim = 1 << 30;
    assert_fails(pf_net_kind("mlp")->create(&net, &c, 1), PF_EARG, "feature_dim");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_follows_the_network_in_double),
        cmocka_unit_test(test_backward_follows_finite_differences),
        cmocka_unit_test(test_threads_do_not_change_a_bit),
        cmocka_unit_test(test_a_new_field_is_a_sphere),
        cmocka_unit_test(test_no_direction_means_against_the_normal),
        cmocka_unit_test(test_sizes_that_make_no_network_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
