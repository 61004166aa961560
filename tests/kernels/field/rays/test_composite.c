/* The compositor of signed distance fields: worked examples, what dropped points do, and its
 * gradients against finite differences in double precision. */
#include "kernels/field/rays/composite.h"
#include "tests/check.h"

enum { RAYS = 5, POINTS = 40 };

/* Rays of 12, 0, 9, 1 and 7 points with made-up distances that fall through the surface. */
struct scene {
    struct pf_samples s;
    float sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS];
};

static void
make_scene(struct scene *c)
{
    static const int count[RAYS] = {12, 0, 9, 1, 7};
    float noise[8 * POINTS];
    memset(c, 0, sizeof(*c));
    fill_uniform(noise, 8 * POINTS, 3);
    assert_ok(pf_samples_reserve(&c->s, RAYS, POINTS));
    for (int r = 0; r < RAYS; r++) {
        c->s.first[r] = c->s.n;
        for (int k = 0; k < count[r]; k++) {
            const int64_t i = c->s.n++;
            const float dir[3] = {0.6f, 0, 0.8f};
            memcpy(c->s.dir + 3 * i, dir, sizeof(dir));
            c->s.dist[i] = 0.05f + 0.02f * noise[i];
            c->s.skipped[i] = k == 0 ? 20 : k == 4 ? 3 : 0;
            c->sdf[i] = 0.2f - 0.05f * (float)k + 0.02f * noise[POINTS + i];
            for (int a = 0; a < 3; a++) {
                c->grad[3 * i + a] = -dir[a] + 0.7f * noise[2 * POINTS + 3 * i + a];
                c->rgb[3 * i + a] = 0.5f + 0.5f * noise[5 * POINTS + 3 * i + a];
            }
        }
    }
    c->s.rays = RAYS;
    c->s.first[RAYS] = c->s.n;
}

/* ---- the same in double, by the formulas of field.md, 4 ---- */

static double
plus(double x)
{
    return x > 0 ? x : 0;
}

static void
reference(double color[3 * RAYS], double mask[RAYS], const struct pf_samples *s, const double *sdf,
          const double *grad, const double *rgb, double inv_s, double r)
{
    for (int64_t n = 0; n < s->rays; n++) {
        double left = 1;
        mask[n] = color[3 * n] = color[3 * n + 1] = color[3 * n + 2] = 0;
        for (int64_t i = s->first[n]; i < s->first[n + 1]; i++) {
            const float *d = s->dir + 3 * i;
            const double tc = d[0] * grad[3 * i] + d[1] * grad[3 * i + 1] + d[2] * grad[3 * i + 2];
            const double ic = -(plus(-tc / 2 + 0.5) * (1 - r) + plus(-tc) * r);
            const double h = s->dist[i] / 2.0;
            const double P = 1 / (1 + exp(-(sdf[i] - ic * h) * inv_s));
            const double N = 1 / (1 + exp(-(sdf[i] + ic * h) * inv_s));
            const double alpha = fmin(fmax((P - N + 1e-5) / (P + 1e-5), 0), 1);
            left *= pow(1 + 1e-7, s->skipped[i]);
            for (int k = 0; k < 3; k++)
                color[3 * n + k] += alpha * left * rgb[3 * i + k];
            mask[n] += alpha * left;
            left *= 1 - alpha + 1e-7;
        }
        for (int k = 0; k < 3; k++)
            color[3 * n + k] += 1 - mask[n];
    }
}

struct doubles {
    double sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS], inv_s;
};

static double
weighed(const struct pf_samples *s, const struct doubles *x, double r, const float *d_color,
        const float *d_mask)
{
    double color[3 * RAYS], mask[RAYS], sum = 0;
    reference(color, mask, s, x->sdf, x->grad, x->rgb, x->inv_s, r);
    for (int i = 0; i < 3 * RAYS; i++)
        sum += d_color[i] * color[i];
    for (int i = 0; i < RAYS; i++)
        sum += d_mask[i] * mask[i];
    return sum;
}

static void
widen(struct doubles *x, const struct scene *c, double inv_s)
{
    for (int i = 0; i < POINTS; i++)
        x->sdf[i] = c->sdf[i];
    for (int i = 0; i < 3 * POINTS; i++) {
        x->grad[i] = c->grad[i];
        x->rgb[i] = c->rgb[i];
    }
    x->inv_s = inv_s;
}

static double
slope(double *at, const struct pf_samples *s, struct doubles *x, double r, const float *d_color,
      const float *d_mask)
{
    const double kept = *at, h = 1e-6 * fmax(1, fabs(kept));
    *at = kept + h;
    const double up = weighed(s, x, r, d_color, d_mask);
    *at = kept - h;
    const double down = weighed(s, x, r, d_color, d_mask);
    *at = kept;
    return (up - down) / (2 * h);
}

static void
close_to(const char *what, int64_t i, double got, double want, double scale)
{
    if (!(fabs(got - want) <= 2e-5 * scale))
        fail_msg("%s[%lld] is %g, finite differences say %g", what, (long long)i, got, want);
}

/* ---- tests ---- */

/* A ray from outside through a sharp surface: one point takes everything, the background
 * nothing. */
static void
test_a_sharp_surface_is_opaque(void **state)
{
    struct pf_samples s = {0};
    struct pf_neus_out out = {0};
    const float sdf[] = {0.3f, 0.0f, -0.3f}, grad[] = {0, 0, -2, 0, 0, -2, 0, 0, -2};
    const float rgb[] = {1, 0, 0, 0.25f, 0.5f, 0.75f, 0, 0, 1};
    (void)state;
    assert_ok(pf_samples_reserve(&s, 1, 3));
    for (int i = 0; i < 3; i++) {
        memcpy(s.dir + 3 * i, (float[]){0, 0, 1}, 3 * sizeof(float));
        s.dist[i] = 0.15f;
    }
    s.rays = 1;
    s.n = 3;
    s.first[0] = 0;
    s.first[1] = 3;
    assert_ok(pf_neus_out_reserve(&out, 1, 3));
    pf_neus_composite_forward(&out, &s, sdf, grad, rgb, 500, 1);
    for (int i = 0; i < 3; i++)
        assert_near((float[]){out.alpha[i] * out.left[i]}, (float[]){i == 1}, 1, 3e-5);
    assert_near(out.rgb, ((float[]){0.25f, 0.5f, 0.75f}), 3, 6e-5);
    assert_near(out.mask, (float[]){1}, 1, 3e-5);
    assert_near(out.normal, ((float[]){0, 0, -1}), 3, 3e-5);
    pf_neus_out_release(&out);
    pf_samples_release(&s);
}

static void
test_an_empty_ray_is_white(void **state)
{
    struct scene c;
    struct pf_neus_out out = {0};
    (void)state;
    make_scene(&c);
    assert_ok(pf_neus_out_reserve(&out, RAYS, c.s.n));
    pf_neus_composite_forward(&out, &c.s, c.sdf, c.grad, c.rgb, 30, 0.3f);
    assert_near(out.rgb + 3, ((float[]){1, 1, 1}), 3, 0);
    assert_near(out.mask + 1, (float[]){0}, 1, 0);
    assert_near(out.normal + 3, ((float[]){0, 0, 0}), 3, 0);
    pf_neus_out_release(&out);
    pf_samples_release(&c.s);
}

/* Colours, masks, and a slice of the rays that gives what the whole gave. */
static void
test_forward_follows_the_formula_in_double(void **state)
{
    struct scene c;
    struct doubles x;
    struct pf_neus_out out = {0}, part = {0};
    double color[3 * RAYS], mask[RAYS];
    (void)state;
    make_scene(&c);
    widen(&x, &c, 30);
    reference(color, mask, &c.s, x.sdf, x.grad, x.rgb, 30, 0.3f);
    assert_ok(pf_neus_out_reserve(&out, RAYS, c.s.n));
    pf_neus_composite_forward(&out, &c.s, c.sdf, c.grad, c.rgb, 30, 0.3f);
    for (int r = 0; r < RAYS; r++)
        close_to("mask", r, out.mask[r], mask[r], 0.1);
    for (int i = 0; i < 3 * RAYS; i++)
        close_to("rgb", i, out.rgb[i], color[i], 0.1);

    const struct pf_samples s = pf_samples_slice(&c.s, 2, 5);
    const int64_t at = c.s.first[2];
    assert_int_equal(s.n, 17);
    assert_ok(pf_neus_out_reserve(&part, 3, s.n));
    pf_neus_composite_forward(&part, &s, c.sdf + at, c.grad + 3 * at, c.rgb + 3 * at, 30, 0.3f);
    assert_near(part.rgb, out.rgb + 6, 9, 0);
    pf_neus_out_release(&out);
    pf_neus_out_release(&part);
    pf_samples_release(&c.s);
}

static void
check_gradients(float inv_s, float ratio)
{
    struct scene c;
    struct doubles x;
    struct pf_neus_out out = {0};
    float d_color[3 * RAYS], d_mask[RAYS], d_sdf[POINTS], d_grad[3 * POINTS], d_rgb[3 * POINTS];
    double d_inv_s = 0;
    make_scene(&c);
    widen(&x, &c, inv_s);
    fill_uniform(d_color, 3 * RAYS, 8);
    fill_uniform(d_mask, RAYS, 9);
    assert_ok(pf_neus_out_reserve(&out, RAYS, c.s.n));
    pf_neus_composite_forward(&out, &c.s, c.sdf, c.grad, c.rgb, inv_s, ratio);
    pf_neus_composite_backward(d_sdf, d_grad, d_rgb, &d_inv_s, &out, &c.s, c.sdf, c.grad, c.rgb,
                               inv_s, ratio, d_color, d_mask);
    for (int64_t i = 0; i < c.s.n; i++)
        close_to("d_sdf", i, d_sdf[i], slope(x.sdf + i, &c.s, &x, ratio, d_color, d_mask), inv_s);
    for (int64_t i = 0; i < 3 * c.s.n; i++) {
        close_to("d_grad", i, d_grad[i], slope(x.grad + i, &c.s, &x, ratio, d_color, d_mask), 1);
        close_to("d_rgb", i, d_rgb[i], slope(x.rgb + i, &c.s, &x, ratio, d_color, d_mask), 1);
    }
    close_to("d_inv_s", 0, d_inv_s, slope(&x.inv_s, &c.s, &x, ratio, d_color, d_mask), 1);
    pf_neus_out_release(&out);
    pf_samples_release(&c.s);
}

static void
test_backward_follows_finite_differences(void **state)
{
    (void)state;
    check_gradients(20, 0.3f);
    check_gradients(60, 1);
    check_gradients(20, 0);
}

/* Two rays worked by hand: an exact one, and one that is off by (0.3, 0, 0.4) and 0.5. */
static void
test_losses_worked_example(void **state)
{
    float rgb[] = {0.5f, 0.5f, 0.5f, 0.8f, 0.2f, 0.9f}, mask[] = {1, 0.75f};
    const float want[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.2f, 0.5f}, want_mask[] = {1, 0.25f};
    const struct pf_neus_out out = {.rgb = rgb, .mask = mask};
    const struct pf_loss_weights weights = {.lambda_rgb = 0.5, .lambda_mask = 1,
                                            .lambda_eikonal = 0.1, .rays = 2, .inner = 4};
    struct pf_loss_sums sums = {0};
    float d_color[6], d_mask[2], d_grad[6] = {0};
    const float grad[] = {0, 3, 0, 0.6f, 0, 0.8f};
    const double far = sqrt(0.25 + 0.001);
    (void)state;
    pf_neus_loss(&sums, d_color, d_mask, &out, want, want_mask, NULL, 2, &weights);
    assert_true(fabs(sums.rgb - (sqrt(0.001) + far) / 2) < 1e-6);
    assert_true(fabs(sums.mask - 0.125) < 1e-6);
    assert_true(fabs(sums.square - 0.25) < 1e-6);
    assert_near(d_color, ((float[]){0, 0, 0, (float)(0.075 / far), 0, (float)(0.1 / far)}), 6,
                1e-6);
    assert_near(d_mask, ((float[]){0, 0.5f}), 2, 1e-6);
    pf_neus_eikonal(&sums, d_grad, grad, 2, &weights);
    assert_true(fabs(sums.eikonal - 1) < 1e-6);                 /* (2^2 + 0^2) / 4 */
    assert_near(d_grad, ((float[]){0, 0.1f, 0, 0, 0, 0}), 6, 1e-6);
}

/* Gain and offset of a view act on the object's part of a colour; cotangents of both, of the colour
 * and of the mask. */
static void
test_tones_follow_finite_differences(void **state)
{
    float rgb[] = {0.8f, 0.6f, 0.9f}, mask[] = {0.75f}, part[PF_TONE], unused[4], d[4];
    float tone[2 * PF_TONE] = {9, 9, 9, 9, 9, 9, 0.2f, -0.1f, 0, 0.05f, 0, -0.1f};
    const float want[] = {0.5f, 0.2f, 0.5f}, want_mask[] = {0.25f}, h = 1e-3f;
    const int32_t view[] = {1};
    const struct pf_neus_out out = {.rgb = rgb, .mask = mask};
    const struct pf_tones tones = {tone, view, part};
    const struct pf_loss_weights weights = {.lambda_rgb = 0.5, .lambda_mask = 2, .rays = 1,
                                            .inner = 1};
    struct pf_loss_sums sums = {0};
    float d_tone[PF_TONE];
    const double e[] = {0.8 + 0.2 * 0.55 + 0.05 * 0.75 - 0.5, 0.6 - 0.1 * 0.35 - 0.2,
                        0.9 - 0.1 * 0.75 - 0.5};
    (void)state;
    pf_neus_loss(&sums, d, d + 3, &out, want, want_mask, &tones, 1, &weights);
    memcpy(d_tone, part, sizeof part);
    assert_true(fabs(sums.square - e[0] * e[0] - e[1] * e[1] - e[2] * e[2]) < 1e-6);
    for (int i = 0; i < 4 + PF_TONE; i++) {
        float *at = i < 3 ? rgb + i : i < 4 ? mask : tone + PF_TONE + i - 4;
        const float was = *at, got = i < 4 ? d[i] : d_tone[i - 4];
        struct pf_loss_sums more = {0}, less = {0};
        *at = was + h;
        pf_neus_loss(&more, unused, unused + 3, &out, want, want_mask, &tones, 1, &weights);
        *at = was - h;
        pf_neus_loss(&less, unused, unused + 3, &out, want, want_mask, &tones, 1, &weights);
        *at = was;
        const double slope =
            (0.5 * (more.rgb - less.rgb) + 2 * (more.mask - less.mask)) / (2 * (double)h);
        assert_near(&got, &(float){(float)slope}, 1, 1e-3);
    }
}

/* The cotangents of area, and of being outside, against differences of the sums. */
static void
test_area_follows_finite_differences(void **state)
{
    enum { N = 3 };
    float sdf[N] = {-0.02f, 0.004f, 0.03f}, d_sdf[N], d_grad[3 * N], unused[4 * N];
    float grad[3 * N] = {0.6f, 0, 0.9f, -0.3f, 0.2f, 0.8f, 0, 1, 0};
    const float h = 1e-3f, width = 0.01f;
    const struct pf_loss_weights weights = {.lambda_mask = 1};
    struct pf_loss_sums sums = {0};
    (void)state;
    pf_neus_area(&sums, d_sdf, d_grad, sdf, grad, N, 0.2, width, 1);
    for (int i = 0; i < 4 * N; i++) {
        float *at = i < N ? sdf + i : grad + i - N;
        const float was = *at, got = i < N ? d_sdf[i] : d_grad[i - N];
        const float step = i < N ? 0.1f * h : h;
        struct pf_loss_sums more = {0}, less = {0};
        *at = was + step;
        pf_neus_area(&more, unused, unused + N, sdf, grad, N, 0.2, width, 1);
        *at = was - step;
        pf_neus_area(&less, unused, unused + N, sdf, grad, N, 0.2, width, 1);
        *at = was;
        const double want = (more.area - less.area) / (2 * (double)step);
        assert_true(fabs(got - want) < 1e-2 * fabs(want) + 1e-3);
    }
    pf_neus_outside(&sums, d_sdf, sdf, N, width, &weights);
    assert_true(fabs(sums.mask - (0.03 + 0.006) / N) < 1e-6);
    assert_near(d_sdf, ((float[]){-1.0f / N, -1.0f / N, 0}), N, 1e-6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sharp_surface_is_opaque),
        cmocka_unit_test(test_an_empty_ray_is_white),
        cmocka_unit_test(test_forward_follows_the_formula_in_double),
        cmocka_unit_test(test_backward_follows_finite_differences),
        cmocka_unit_test(test_losses_worked_example),
        cmocka_unit_test(test_tones_follow_finite_differences),
        cmocka_unit_test(test_area_follows_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
