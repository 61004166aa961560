/* pf-sample's multistep solvers against their papers, written out in double: DPM-Solver++(2M) (Lu
 * et al., DPM-Solver++, 2022, algorithm 2) and UniPC of order 2 with B(h) = e^h - 1 (Zhao et al.,
 * UniPC, 2023, algorithms 1 and 2, data prediction); and against the exact solution.
 *
 * The network is the best one for pictures of one number that is Gaussian, for which everything is
 * known: x is Gaussian of mean sqrt(a) MEAN and variance a DEVIATION^2 + 1 - a at every time. */
// uses: tools/pf-sample/ddim.c tools/pf-sample/multistep.c
#include "tests/kernels/operator.h"
#include "tools/pf-sample/multistep.h"

#define MEAN 0.3
#define DEVIATION 0.5
enum { N = 5 };
static const float start[N] = {-1.5f, -0.4f, 0, 0.7f, 2};

static double
variance(double a)
{
    return a * DEVIATION * DEVIATION + 1 - a;
}

static double
noise_of(double x, double a)
{
    return sqrt(1 - a) * (x - sqrt(a) * MEAN) / variance(a);
}

static double
x0_of(double x, double a)
{
    return MEAN + sqrt(a) * DEVIATION * DEVIATION * (x - sqrt(a) * MEAN) / variance(a);
}

/* Where the probability flow takes x from one time to another: the same number of deviations. */
static double
exact(double x, double from, double to)
{
    return sqrt(to) * MEAN + sqrt(variance(to) / variance(from)) * (x - sqrt(from) * MEAN);
}

/* ---- the papers ---- */

static double
lambda(double a)
{
    return log(sqrt(a) / sqrt(1 - a));
}

/* a[0] is where sampling begins, a[n] where it ends. */
static double
dpm_solver_2m(double x, const double *a, int n)
{
    double before = 0;
    for (int i = 1; i <= n; i++) {
        const double h = lambda(a[i]) - lambda(a[i - 1]), told = x0_of(x, a[i - 1]);
        double D = told;
        if (i > 1) {
            const double r = (lambda(a[i - 1]) - lambda(a[i - 2])) / h;
            D = (1 + 1 / (2 * r)) * told - 1 / (2 * r) * before;
        }
        x = sqrt(1 - a[i]) / sqrt(1 - a[i - 1]) * x - sqrt(a[i]) * (exp(-h) - 1) * D;
        before = told;
    }
    return x;
}

/* What both of UniPC's formulas begin with, and B(h); towards a[i]. */
static double
uni_base(double *alpha_B, double x, double told, const double *a, int i)
{
    const double h = lambda(a[i]) - lambda(a[i - 1]);
    *alpha_B = sqrt(a[i]) * (exp(-h) - 1);
    return sqrt(1 - a[i]) / sqrt(1 - a[i - 1]) * x - *alpha_B * told;
}

/* The correction of x at a[i], where the network told `own`: m[0] at a[i-1], m[1] at a[i-2]. */
static double
uni_c(double x, double own, const double m[2], const double *a, int i)
{
    double aB;
    const double base = uni_base(&aB, x, m[0], a, i), h = lambda(a[i]) - lambda(a[i - 1]);
    if (i == 1)
        return base - aB * 0.5 * (own - m[0]);
    const double r = (lambda(a[i - 2]) - lambda(a[i - 1])) / h, B = exp(-h) - 1;
    const double phi2 = (exp(-h) - 1) / -h - 1, phi3 = phi2 / -h - 0.5;
    /* rho + rho' = phi2 / B;  r rho + rho' = 2 phi3 / B */
    const double rho = (phi2 / B - 2 * phi3 / B) / (1 - r);
    return base - aB * (rho * (m[1] - m[0]) / r + (phi2 / B - rho) * (own - m[0]));
}

static double
uni_p(double x, const double m[2], const double *a, int i)
{
    double aB;
    const double base = uni_base(&aB, x, m[0], a, i), h = lambda(a[i]) - lambda(a[i - 1]);
    if (i == 1)
        return base;
    return base - aB * 0.5 * (m[1] - m[0]) / ((lambda(a[i - 2]) - lambda(a[i - 1])) / h);
}

static double
uni_pc(double x, const double *a, int n)
{
    double m[2] = {x0_of(x, a[0])}, seen = uni_p(x, m, a, 1);
    for (int i = 1; i < n; i++) {
        const double own = x0_of(seen, a[i]);
        x = uni_c(x, own, m, a, i);
        m[1] = m[0];
        m[0] = own;
        seen = uni_p(x, m, a, i + 1);
    }
    return seen;
}

/* ---- ours ---- */

struct run {                            /* settings of a run */
    const float *alphas;
    const char *list;
    int steps;
    bool velocity, unipc;
};

/* abar of each time and at last of the end, without those at which nothing has changed yet. */
static int
times_of(double a[DDIM_TIMES + 1], const struct run *r)
{
    static struct ddim d;
    int n = 0;
    assert_ok(ddim_times(&d, r->steps, r->list));
    for (int k = d.steps - 1; k >= 0; k--)
        if (!n || r->alphas[d.t[k]] != a[n - 1])
            a[n++] = r->alphas[d.t[k]];
    if (r->alphas[0] != a[n - 1])
        a[n++] = r->alphas[0];
    return n - 1;
}

/* Solve from `start` with the coefficients and the operator of pf-sample. */
static void
solve(float x[N], const struct run *r)
{
    static struct ddim d;
    static struct multistep c;
    float y[N] = {0}, m1[N] = {0}, m2[N] = {0}, out[N];
    pf_tensor tx = PF_VIEW(x, PF_F32, N), ty = PF_VIEW(y, PF_F32, N), t1 = PF_VIEW(m1, PF_F32, N),
              t2 = PF_VIEW(m2, PF_F32, N), to = PF_VIEW(out, PF_F32, N);
    assert_ok(ddim_times(&d, r->steps, r->list));
    multistep_schedule(&c, &d, r->alphas, r->velocity, r->unipc);
    memcpy(x, start, sizeof start);
    for (int k = d.steps - 1; k >= 0; k--) {
        const double a = r->alphas[d.t[k]];
        for (int i = 0; i < N; i++)
            out[i] = (float)(r->velocity
                                 ? sqrt(a) * noise_of(x[i], a) - sqrt(1 - a) * x0_of(x[i], a)
                                 : noise_of(x[i], a));
        assert_ok(pf_multistep(cpu, &tx, &ty, &t1, &t2, &to, NULL, 1, &c.c[k]));
    }
}

/* The schedules: the original's; the demo model's kind, where from 951 on hardly anything but noise
 * is left; and one where nothing else is, so that lambda is -infinity. */
enum { USUAL, FLAT, DARK };
static float alphas[3][DDIM_TIMES];
static const float *const usual = alphas[USUAL];

static int
open_all(void **state)
{
    ddim_alphas(alphas[USUAL]);
    const double last = sqrt(usual[951]), first = sqrt(usual[0]);
    for (int i = 0; i < DDIM_TIMES; i++) {
        const double s = (sqrt(usual[i]) - last) * first / (first - last);
        alphas[FLAT][i] = (float)fmax(s * fabs(s), 1e-5);
        alphas[DARK][i] = (float)fmax(s * fabs(s), 0);
    }
    return open_cpu(state);
}

static void
test_the_papers(void **state)
{
    static const int steps[] = {1, 2, 3, 10, 50, 500};
    (void)state;
    for (int i = 0; i < 6 * 3 * 8; i++) {
        const int schedule = i / 8 % 3;
        const struct run r = {.alphas = alphas[schedule], .list = i & 1 ? "trailing" : "even",
                              .velocity = i & 2, .unipc = i & 4, .steps = steps[i / 24]};
        static double a[DDIM_TIMES + 1];
        const int n = times_of(a, &r);
        float got[N];
        if (schedule == DARK && !r.velocity)            // the noise does not tell x0 there
            continue;
        solve(got, &r);
        for (int k = 0; k < N; k++) {
            const double want = (r.unipc ? uni_pc : dpm_solver_2m)(start[k], a, n);
            if (!(fabs(got[k] - want) <= (r.velocity ? 2e-6 : 2e-5)))
                fail_msg("%s, %s, %d steps, %s, schedule %d: %.9g, expected %.9g",
                         r.unipc ? "unipc" : "dpmpp-2m", r.list, r.steps, r.velocity ? "v" : "eps",
                         schedule, got[k], want);
        }
    }
}

/* The largest error of a run against the exact solution. */
static double
error_of(const struct run *r)
{
    static double a[DDIM_TIMES + 1];
    const int n = times_of(a, r);
    double most = 0;
    float got[N];
    solve(got, r);
    for (int i = 0; i < N; i++)
        most = fmax(most, fabs(got[i] - exact(start[i], a[0], a[n])));
    return most;
}

/* Twice as many steps, a third of the error at most: a method of the first order halves it, one of
 * the second quarters it, and UniPC's correction adds an order.  The steps are even in lambda, or
 * the longest alone would tell. */
static void
test_the_exact_solution_is_neared_by_the_order(void **state)
{
    float even[DDIM_TIMES];
    (void)state;
    for (int i = 0; i < DDIM_TIMES; i++)
        even[i] = (float)(1 / (1 + exp(6 * (2.0 * i / DDIM_TIMES - 1))));
    for (int unipc = 0; unipc < 2; unipc++) {
        struct run r = {.alphas = even, .list = "trailing", .velocity = true, .unipc = unipc};
        double error[3];
        for (int i = 0; i < 3; i++) {
            r.steps = 25 << i;
            error[i] = error_of(&r);
        }
        const int less = unipc ? 6 : 3;
        print_message("# errors of 25, 50, 100 steps: %g %g %g\n", error[0], error[1], error[2]);
        assert_true(error[1] < error[0] / less && error[2] < error[1] / less);
    }
}

/* Where abar is 0, the whole signal is what the network tells: alpha x0 + sigma noise. */
static void
test_from_nothing_but_noise(void **state)
{
    const double a = alphas[DARK][0];
    (void)state;
    for (int unipc = 0; unipc < 2; unipc++) {
        float got[N];
        solve(got, &(struct run){.alphas = alphas[DARK], .list = "trailing", .steps = 1,
                                 .velocity = true, .unipc = unipc});
        for (int i = 0; i < N; i++)
            assert_near(&got[i], (&(float){(float)(sqrt(a) * MEAN + sqrt(1 - a) * start[i])}), 1,
                        1e-6);
    }
}

/* One step is DDIM's without noise. */
static void
test_the_first_step_is_ddim(void **state)
{
    static struct ddim d;
    float x[N], got[N], v[N];
    pf_tensor tx = PF_VIEW(x, PF_F32, N), tv = PF_VIEW(v, PF_F32, N);
    (void)state;
    assert_ok(ddim_times(&d, 1, "trailing"));
    ddim_schedule(&d, usual, 0, true);
    memcpy(x, start, sizeof x);
    for (int i = 0; i < N; i++) {
        const double a = usual[d.t[0]];
        v[i] = (float)(sqrt(a) * noise_of(x[i], a) - sqrt(1 - a) * x0_of(x[i], a));
    }
    assert_ok(pf_ddim_step(cpu, &tx, &tv, NULL, 1, &d.c[0], NULL));
    solve(got, &(struct run){.alphas = usual, .list = "trailing", .steps = 1, .velocity = true});
    assert_near(got, x, N, 2e-6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_papers),
        cmocka_unit_test(test_the_exact_solution_is_neared_by_the_order),
        cmocka_unit_test(test_from_nothing_but_noise),
        cmocka_unit_test(test_the_first_step_is_ddim),
    };
    return cmocka_run_group_tests(tests, open_all, close_cpu);
}
