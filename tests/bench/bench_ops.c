/* bench_ops - operators at the sizes that the networks have, one line each on stdout: milliseconds
 * (the best of several runs on the CPU, the median on a GPU), GFLOP/s where there are products,
 * GB/s where there are none (inputs and outputs counted once), and on a GPU the share of what the
 * card was measured to do: a large copy, a large matrix product.  "tiny" is the golden model (64
 * channels), "full" the released one.  A GPU does the 16 views and both branches at once.
 *
 *     make bench
 *     build/release/tests/bench/bench_ops [-d cuda] [--precision bf16|f8] [--json] [WORD]
 *
 * With WORD, only lines that contain it are measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/rng.h"
#include "kernels/ops.h"
#include "kernels/strips.h"

static pf_dev *dev;
static const char *only = "";
static bool json;
static int64_t views = 1, rows = 1;     /* batch sizes: the volume networks', the UNet's */
static double copy_rate, product_rate;  /* what the GPU does: bytes/s, FLOP/s */

enum { SOME = 1 << 16 };

/* SOME numbers in -1..1, which tensors repeat. */
static const float *
numbers(void)
{
    static float some[SOME];
    for (int64_t i = 0; some[0] == 0 && i < SOME; i++)
        some[i] = 2 * pf_rng_uniform(1, PF_RNG_TEST, (uint64_t)i) - 1;
    return some;
}

static pf_tensor
filled(pf_dtype dtype, int ndim, const int64_t *dim)
{
    pf_tensor t;
    pf_must(pf_dev_alloc(dev, &t, dtype, ndim, dim));
    const int64_t n = pf_tensor_count(&t);
    for (int64_t i = 0; i < n; i += SOME) {
        const int64_t m = n - i < SOME ? n - i : SOME;
        const pf_tensor from = PF_VIEW((void *)numbers(), PF_F32, m);
        pf_tensor to = PF_VIEW((char *)t.data + i * (int64_t)pf_dtype_size(dtype), dtype, m);
        pf_must(pf_dev_put(dev, &to, &from));
    }
    return t;
}
#define TENSOR(...) filled(pf_dev_dtype(dev), PF_DIMS_(__VA_ARGS__))
#define VECTOR(...) filled(PF_F32, PF_DIMS_(__VA_ARGS__))

static pf_tensor
weight(int ndim, const int64_t *dim)
{
    pf_tensor t;
    pf_must(pf_tensor_new(&t, PF_F32, ndim, dim));
    for (int64_t i = 0; i < pf_tensor_count(&t); i++)
        ((float *)t.data)[i] = numbers()[i % SOME] / 64;
    return t;
}
#define WEIGHT(...) weight(PF_DIMS_(__VA_ARGS__))

/* A convolution of E4M3 numbers in *l, and an input for it in the shape of x.  False: the device
 * has none such. */
static bool
has_f8(pf_layer **l, pf_tensor *x8, const pf_tensor *x, const pf_tensor *w)
{
    static uint8_t some[SOME];
    const int64_t n = pf_tensor_count(x);
    pf_must(pf_layer_new_f8(dev, l, w, NULL, 1));
    if (!pf_layer_scale(*l))
        return false;
    pf_from_f32(some, numbers(), PF_F8, SOME);
    pf_must(pf_dev_alloc(dev, x8, PF_F8, x->ndim, x->dim));
    for (int64_t i = 0; i < n; i += SOME) {
        const int64_t m = n - i < SOME ? n - i : SOME;
        const pf_tensor from = PF_VIEW(some, PF_F8, m);
        pf_tensor to = PF_VIEW((char *)x8->data + i, PF_F8, m);
        pf_must(pf_dev_put(dev, &to, &from));
    }
    return true;
}

static pf_tensor
constant(const pf_tensor *host)
{
    pf_tensor t;
    pf_must(pf_dev_alloc(dev, &t, host->dtype, host->ndim, host->dim));
    pf_must(pf_dev_put(dev, &t, host));
    return t;
}

static bool
wanted(const char *name)
{
    return strstr(name, only) != NULL;
}

static int
by_size(const void *a, const void *b)
{
    const double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

/* On a GPU the time of a call is that of many in a row, so that launching is hidden. */
enum { RUNS = 15 };
#define MEASURE(best, call)                                     \
    do {                                                        \
        double run_[RUNS], sum_ = 0;                            \
        const int calls_ = pf_dev_is_cuda(dev) ? 20 : 1;        \
        int n_ = 0;                                             \
        pf_must(call);                                          \
        pf_must(pf_dev_sync(dev));                              \
        for (; n_ < RUNS && (n_ < 5 || sum_ < 0.2); n_++) {     \
            const double t_ = pf_seconds();                     \
            for (int i_ = 0; i_ < calls_; i_++)                 \
                pf_must(call);                                  \
            pf_must(pf_dev_sync(dev));                          \
            run_[n_] = (pf_seconds() - t_) / calls_;            \
            sum_ += run_[n_] * calls_;                          \
        }                                                       \
        qsort(run_, (size_t)n_, sizeof *run_, by_size);         \
        best = run_[pf_dev_is_cuda(dev) ? n_ / 2 : 0];          \
    } while (0)

static void
print(const char *name, double s, double amount, const char *unit, double ceiling)
{
    if (json)
        printf("{\"op\": \"%s\", \"ms\": %.5f, \"%s\": %.1f, \"share\": %.3f}\n", name, 1e3 * s,
               unit, amount / s / 1e9, ceiling > 0 ? amount / s / ceiling : 0);
    else if (ceiling > 0)
        printf("%-48s %9.4f ms %9.1f %-7s %5.1f %%\n", name, 1e3 * s, amount / s / 1e9, unit,
               100 * amount / s / ceiling);
    else
        printf("%-48s %9.4f ms %9.1f %s\n", name, 1e3 * s, amount / s / 1e9, unit);
    fflush(stdout);
}

static void
print_products(const char *name, double s, double flops)
{
    print(name, s, flops, "GFLOP/s", product_rate);
}

static void
print_bytes(const char *name, double s, double count)
{
    print(name, s, count * (double)pf_dtype_size(pf_dev_dtype(dev)), "GB/s", copy_rate);
}

static void
bench_conv(const char *kind, int64_t B, int64_t D, int64_t side, int64_t C, int64_t K, int stride,
           bool residual)
{
    char name[100], deep[32] = "";
    const int64_t d = D ? D / stride : 1, h = side / stride;
    if (D)
        snprintf(deep, sizeof deep, "3d %lld x %lldx", (long long)B, (long long)D);
    snprintf(name, sizeof name, "%s conv%s%lldx%lld %lld -> %lld%s%s", kind, D ? deep : " ",
             (long long)side, (long long)side, (long long)C, (long long)K,
             stride > 1 ? " stride 2" : "", residual ? " + residual" : "");
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = D ? TENSOR(B, D, side, side, C) : TENSOR(B, side, side, C),
              y = D ? TENSOR(B, d, h, h, K) : TENSOR(B, h, h, K);
    pf_tensor w = D ? WEIGHT(K, C, 3, 3, 3) : WEIGHT(K, C, 3, 3),
              r = residual ? TENSOR(B, h, h, K) : y;
    const struct pf_epilogue e = {.residual = &r};
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    MEASURE(s, pf_conv(dev, &y, &x, l, stride, 1, 1, residual ? &e : NULL));
    print_products(name, s, 2.0 * (double)(B * d * h * h * C * K) * (D ? 27 : 9));
    if (pf_dev_f8(dev) && has_f8(&l, &x, &x, &w)) {
        strcat(name, ", f8");
        MEASURE(s, pf_conv(dev, &y, &x, l, stride, 1, 1, residual ? &e : NULL));
        print_products(name, s, 2.0 * (double)(B * d * h * h * C * K) * (D ? 27 : 9));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_transposed(const char *kind, int64_t B, int64_t D, int64_t side, int64_t C, int64_t K)
{
    char name[100];
    snprintf(name, sizeof name, "%s transposed conv3d %lld x %lldx%lldx%lld %lld -> %lld", kind,
             (long long)B, (long long)D, (long long)side, (long long)side, (long long)C,
             (long long)K);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(B, D, side, side, C), y = TENSOR(B, 2 * D, 2 * side, 2 * side, K),
              w = WEIGHT(C, K, 3, 3, 3);
    const struct pf_epilogue e = {.residual = &y};
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, true));
    MEASURE(s, pf_conv(dev, &y, &x, l, 2, 1, 1, &e));
    print_products(name, s, 2.0 * (double)(B * D * side * side * C * K) * 27);
    pf_dev_reset(dev, mark);
}

/* Doubled pixels by parity, in the products of 9 taps that it replaces; and those. */
static void
bench_doubled(const char *kind, int64_t B, int64_t side, int64_t C)
{
    char name[100];
    snprintf(name, sizeof name, "%s conv doubled %lldx%lld %lld -> %lld", kind, (long long)side,
             (long long)side, (long long)C, (long long)C);
    if (wanted(name)) {
        const size_t mark = pf_dev_mark(dev);
        pf_tensor x = TENSOR(B, side, side, C), y = TENSOR(B, 2 * side, 2 * side, C),
                  w = WEIGHT(C, C, 3, 3);
        pf_layer *l;
        double s;
        pf_must(pf_layer_new_doubled(dev, &l, &w, NULL));
        MEASURE(s, pf_conv(dev, &y, &x, l, 1, 1, 1, NULL));
        print_products(name, s, 2.0 * (double)(B * 4 * side * side * C * C) * 9);
        pf_dev_reset(dev, mark);
    }
    bench_conv(kind, B, 0, 2 * side, C, C, 1, false);
}

static void
bench_linear(const char *kind, int64_t M, int64_t C, int64_t K, enum pf_act act)
{
    static const char *const acts[] = {"", " + silu", " + relu", " + gelu", " + quick_gelu"};
    const struct pf_epilogue e = {.act = act};
    char name[100];
    snprintf(name, sizeof name, "%s linear %lld rows %lld -> %lld%s", kind, (long long)M,
             (long long)C, (long long)K, acts[act]);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(M, C), y = TENSOR(M, K), w = WEIGHT(K, C);
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    MEASURE(s, pf_linear(dev, &y, &x, l, &e));
    print_products(name, s, 2.0 * (double)(M * C * K));
    pf_dev_reset(dev, mark);
}

/* A transformer block's first product, gated; and, "old", by two operators. */
/* What the first product of a shape costs beside later ones: cublasLt's choice of an algorithm. */
static void
bench_choice(const char *kind, int64_t C)
{
    enum { N = 64, ROWS = 512, MORE = 16 };
    char name[100];
    snprintf(name, sizeof name, "%s choice of a product, one of %d", kind, N);
    if (!wanted(name) || !pf_dev_is_cuda(dev))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(ROWS + MORE * N, C), y = TENSOR(ROWS + MORE * N, C), w = WEIGHT(C, C);
    double s[2] = {0};
    pf_layer *l;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    pf_must(pf_linear(dev, &y, &x, l, NULL));           /* starts cublasLt */
    for (int again = 0; again < 2; again++) {
        pf_must(pf_dev_sync(dev));
        const double start = pf_seconds();
        for (int i = 0; i < N; i++) {
            x.dim[0] = y.dim[0] = ROWS + MORE * i;
            pf_must(pf_linear(dev, &y, &x, l, NULL));
        }
        pf_must(pf_dev_sync(dev));
        s[again] = (pf_seconds() - start) / N;
    }
    print(name, s[0] - s[1], 1e9, "choices/s", 0);
    pf_dev_reset(dev, mark);
}

static void
bench_linear_geglu(const char *kind, int64_t M, int64_t C, int64_t N)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    snprintf(name, sizeof name, "%s linear_geglu %lld rows %lld -> 2 x %lld", kind, (long long)M,
             (long long)C, (long long)N);
    if (!wanted(name))
        return;
    pf_tensor x = TENSOR(M, C), y = TENSOR(M, N), w = WEIGHT(2 * N, C), b = WEIGHT(2 * N);
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, &b, false));
    for (int old = 0; old < (pf_dev_is_cuda(dev) ? 2 : 1); old++) {
        setenv("PF_GEGLU", old ? "old" : "all", 1);
        if (old)
            strcat(name, ", old");
        MEASURE(s, pf_linear_geglu(dev, &y, &x, l));
        print_products(name, s, 4.0 * (double)(M * C * N));
    }
    unsetenv("PF_GEGLU");
    pf_dev_reset(dev, mark);
}

/* A mask like an epipolar one: dense blocks for the own view, a band of 9 % for the other. */
static pf_tensor
band_mask(int64_t T)
{
    pf_tensor t, on_device;
    const int64_t words = (T + 31) / 32, half = T / 2;
    int64_t side = 1;
    while (side * side < half)
        side++;
    pf_must(PF_TENSOR_NEW(&t, PF_U32, 1, T, words));
    for (int64_t q = 0; q < T; q++)
        for (int64_t k = 0; k < T; k++) {
            const int64_t i = q % half / side - k % half / side,
                          j = k % half % side - q % half % side;
            if (q / half == k / half || (11 * (i - j / 3) * (i - j / 3) <= side * side / 44 + 3))
                ((uint32_t *)t.data)[q * words + k / 32] |= UINT32_C(1) << k % 32;
        }
    on_device = constant(&t);
    pf_tensor_release(&t);
    return on_device;
}

static void
bench_attention(const char *kind, int64_t B, int64_t T, int heads, int64_t d, bool masked)
{
    char name[100];
    snprintf(name, sizeof name, "%s attention %lld x %lld tokens, %d x %lld%s", kind, (long long)B,
             (long long)T, heads, (long long)d, masked ? " masked" : "");
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(B, T, 3 * heads * d), y = TENSOR(B, T, heads * d), mask = {0};
    double s;
    if (masked)
        mask = band_mask(T);
    MEASURE(s, pf_attention(dev, &y, &x, heads, 0.2f, masked ? &mask : NULL, 0));
    print_products(name, s, 4.0 * (double)(B * T * T * heads * d));
    pf_dev_reset(dev, mark);
}

/* Cameras of 16 views around and the photo's: [16, 2, 4, 3]. */
static pf_tensor
pairs_of_cameras(void)
{
    static struct pf_spad_camera c[16][2];
    for (int v = 0; v < 16; v++) {
        pf_spad_camera(&c[v][0], 0.52, pf_rig_azimuth(v, 16));
        pf_spad_camera(&c[v][1], 0.35, 0);
    }
    return PF_VIEW(c, PF_F64, 16, 2, 4, 3);
}

/* The same mask in the order of memory, 2 pixel + view. */
static pf_tensor
without_strips(const pf_tensor *mask, int side)
{
    const int64_t T = mask->dim[1], words = mask->dim[2];
    pf_tensor in, out;
    pf_must(pf_tensor_new(&in, PF_U32, 3, mask->dim));
    pf_must(pf_tensor_new(&out, PF_U32, 3, mask->dim));
    pf_must(pf_dev_get(dev, &in, mask));
    for (int64_t i = 0; i < mask->dim[0] * T; i++) {
        const int64_t row = i - i % T + pf_strip_token((int)(i % T), side);
        for (int64_t k = 0; k < T; k++) {
            const int token = pf_strip_token((int)k, side);
            const uint32_t bit = ((uint32_t *)in.data)[i * words + k / 32] >> k % 32 & 1;
            ((uint32_t *)out.data)[row * words + token / 32] |= bit << token % 32;
        }
    }
    const pf_tensor on_device = constant(&out);
    pf_tensor_release(&in);
    pf_tensor_release(&out);
    return on_device;
}

/* Two views of 16 pairs of cameras under their epipolar masks; where these are in strips, "old" is
 * with masks in the order of memory. */
static void
bench_epipolar_attention(const char *kind, int64_t B, int side, int heads, int64_t d)
{
    char name[100];
    const int64_t T = 2 * (int64_t)side * side;
    snprintf(name, sizeof name, "%s attention %lld x %lld tokens, %d x %lld epipolar", kind,
             (long long)B, (long long)T, heads, (long long)d);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    const pf_tensor host = pairs_of_cameras(), cameras = constant(&host);
    pf_tensor x = TENSOR(B, T, 3 * heads * d), y = TENSOR(B, T, heads * d), mask, plain;
    double s;
    pf_must(PF_ALLOC(dev, &mask, PF_U32, 16, T, (T + 31) / 32));
    pf_must(pf_epipolar_mask(dev, &mask, &cameras, 32, side));
    MEASURE(s, pf_attention(dev, &y, &x, heads, 0.2f, &mask, side));
    print_products(name, s, 4.0 * (double)(B * T * T * heads * d));
    if (pf_in_strips(side)) {
        plain = without_strips(&mask, side);
        strcat(name, ", old");
        MEASURE(s, pf_attention(dev, &y, &x, heads, 0.2f, &plain, 0));
        print_products(name, s, 4.0 * (double)(B * T * T * heads * d));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_norms(const char *kind, int64_t P, int64_t C)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(rows, P, C), y = TENSOR(rows, P, C), v = VECTOR(C);
    double s;
    snprintf(name, sizeof name, "%s group_norm + silu %lld x %lld", kind, (long long)P,
             (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_group_norm(dev, &y, &x, &v, &v, 32, 1e-5f, PF_SILU, NULL, NULL));
        print_bytes(name, s, 2.0 * (double)(rows * P * C));
    }
    snprintf(name, sizeof name, "%s layer_norm %lld x %lld", kind, (long long)P, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_layer_norm(dev, &y, &x, &v, &v, 1e-5f));
        print_bytes(name, s, 2.0 * (double)(rows * P * C));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_elementwise(const char *kind, int64_t P, int64_t C)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(P, 2 * C), y = TENSOR(P, C), z = TENSOR(P, C);
    double s;
    snprintf(name, sizeof name, "%s geglu %lld x %lld", kind, (long long)P, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_geglu(dev, &y, &x));
        print_bytes(name, s, 3.0 * (double)(P * C));
    }
    snprintf(name, sizeof name, "%s add %lld x %lld", kind, (long long)P, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_add(dev, &y, &y, &z, 1e-3f));
        print_bytes(name, s, 3.0 * (double)(P * C));
    }
    snprintf(name, sizeof name, "%s concat %lld x %lld", kind, (long long)P, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_concat(dev, &x, &y, &z));
        print_bytes(name, s, 4.0 * (double)(P * C));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_volumes(const char *kind, int64_t V, int64_t C)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    static float P[16][12];
    for (int64_t v = 0; v < V; v++)
        memcpy(P[v], (float[]){35, 0, 16, 24, 0, 35, 16, 24, 0, 0, 1, 1.5f}, sizeof P[v]);
    pf_tensor maps = TENSOR(V, 32, 32, 16), volume = TENSOR(1, 32, 32, 32, V * 16),
              host = PF_VIEW(P, PF_F32, V, 3, 4), proj = constant(&host);
    pf_tensor space = TENSOR(1, 32, 32, 32, C), frustum = TENSOR(V, 48, 32, 32, C);
    double s;
    snprintf(name, sizeof name, "%s unproject %lld views", kind, (long long)V);
    if (wanted(name)) {
        MEASURE(s, pf_unproject(dev, &volume, &maps, &proj, 0.5f));
        print_bytes(name, s, (double)pf_tensor_count(&volume));
    }
    for (int64_t v = 0; v < V; v++)
        memcpy(P[v], (float[]){1 / 35.0f, 0, -0.457f, 0, 0, 1 / 35.0f, -0.457f, 0, 0, 0, 1, -1.5f},
               sizeof P[v]);
    pf_tensor unproj = constant(&host);
    snprintf(name, sizeof name, "%s frustum_sample %lld channels", kind, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_frustum_sample(dev, &frustum, &space, &unproj, 0.5f, 0.634f, 2.366f));
        print_bytes(name, s, (double)pf_tensor_count(&frustum));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_depth_attention(const char *kind, int64_t side, int64_t D, int64_t n)
{
    char name[100];
    snprintf(name, sizeof name, "%s depth_attention %lldx%lld, %lld samples of %lld", kind,
             (long long)side, (long long)side, (long long)D, (long long)n);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor q = TENSOR(views, side, side, 4 * n), context = TENSOR(views, D, side, side, n),
              y = TENSOR(views, side, side, 4 * n);
    double s;
    MEASURE(s, pf_depth_attention(dev, &y, &q, &context, 4, 0.2f));
    print_bytes(name, s, (double)(pf_tensor_count(&context) + 2 * pf_tensor_count(&q)));
    pf_dev_reset(dev, mark);
}

/* What 16 views know of their cameras, at one side of those made from a latent of 32. */
static void
bench_epipolar(const char *kind, int h)
{
    const int64_t T = 2 * h * h;
    const size_t mark = pf_dev_mark(dev);
    char name[100];
    pf_tensor host = pairs_of_cameras(), cameras = constant(&host),
              map = TENSOR(16, T, 6), mask;
    double s;
    pf_must(PF_ALLOC(dev, &mask, PF_U32, 16, T, (T + 31) / 32));
    snprintf(name, sizeof name, "%s epipolar_mask 16 views, side %d", kind, h);
    if (wanted(name)) {
        MEASURE(s, pf_epipolar_mask(dev, &mask, &cameras, 32, h));
        print_bytes(name, s, (double)(pf_tensor_bytes(&mask) / pf_dtype_size(pf_dev_dtype(dev))));
    }
    snprintf(name, sizeof name, "%s plucker_tokens 16 views, side %d", kind, h);
    if (wanted(name)) {
        MEASURE(s, pf_plucker_tokens(dev, &map, &cameras, 32, h));
        print_bytes(name, s, (double)pf_tensor_count(&map));
    }
    pf_dev_reset(dev, mark);
}

/* The UNet's four levels: sides 32, 16, 8, 4. */
static void
bench_unet(const char *kind, const int64_t channels[4], int heads)
{
    for (int i = 0; i < 4; i++) {
        const int64_t side = 32 >> i, C = channels[i], P = side * side;
        bench_conv(kind, rows, 0, side, C, C, 1, false);
        bench_conv(kind, rows, 0, side, C, C, 1, true);
        bench_conv(kind, rows, 0, side, 2 * C, C, 1, false);
        bench_linear(kind, rows * P, C, C, PF_NONE);
        bench_linear(kind, rows * P, C, 8 * C, PF_NONE);
        bench_linear(kind, rows * P, 4 * C, C, PF_NONE);
        bench_linear_geglu(kind, rows * P, C, 4 * C);
        if (i < 3)
            bench_linear_geglu(kind, 2 * rows * P, C, 4 * C);
        bench_norms(kind, P, C);
        bench_elementwise(kind, rows * P, 4 * C);
        if (i < 3) {
            bench_attention(kind, rows, P, heads, C / heads, false);
            bench_attention(kind, rows, 2 * P, heads, C / heads, true);
            bench_epipolar_attention(kind, rows, (int)side, heads, C / heads);
        }
    }
    bench_choice(kind, channels[0]);
    bench_linear(kind, 1, channels[0], 4 * channels[0], PF_SILU);
    bench_linear(kind, 1, 4 * channels[0], channels[3], PF_NONE);
    bench_conv(kind, views, 0, 32, 4, channels[0], 1, false);
    bench_conv(kind, views, 0, 32, channels[0], 4, 1, false);
    for (int i = 0; i < 3; i++)
        bench_conv(kind, rows, 0, 32 >> i, channels[i], channels[i], 2, false);
    for (int i = 2; i >= 0; i--)
        bench_doubled(kind, rows, 16 >> i, channels[i + 1]);
}

static void
bench_volume_nets(const char *kind, const int64_t channels[4])
{
    static const int64_t depth[] = {48, 24, 12, 6};
    bench_conv(kind, 1, 32, 32, 256, channels[0], 1, false);
    for (int i = 0; i < 4; i++) {
        bench_conv(kind, views, depth[i], 32 >> i, channels[i], channels[i], 1, false);
        bench_conv(kind, 1, 32 >> i, 32 >> i, channels[i], channels[i], 1, false);
        if (i < 3)
            bench_conv(kind, views, depth[i], 32 >> i, channels[i], channels[i + 1], 2, false);
        if (i > 0)
            bench_transposed(kind, views, depth[i], 32 >> i, channels[i], channels[i - 1]);
        bench_depth_attention(kind, 32 >> i, depth[i], channels[i]);
    }
    bench_volumes(kind, 16, channels[0]);
}

/* What the card does at best: a copy counted in both directions, and a product of 8192^3. */
static void
measure_ceilings(void)
{
    const size_t mark = pf_dev_mark(dev);
    const int64_t n = INT64_C(1) << 28;
    pf_tensor a = TENSOR(n), b = TENSOR(n), x = TENSOR(8192, 8192), y = TENSOR(8192, 8192),
              w = WEIGHT(8192, 8192);
    pf_layer *l;
    double s;
    MEASURE(s, pf_dev_cast(dev, &b, &a));
    copy_rate = 2 * (double)pf_tensor_bytes(&a) / s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    MEASURE(s, pf_linear(dev, &y, &x, l, NULL));
    product_rate = 2.0 * 8192 * 8192 * 8192 / s;
    pf_dev_reset(dev, mark);
    if (!json)
        printf("ceilings: copy %.0f GB/s, product %.0f TFLOP/s\n", copy_rate / 1e9,
               product_rate / 1e12);
}

/* The networks that cut out: U^2-Net and IS-Net. */
static void
bench_cutout(int64_t side, int64_t C, int dilation)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(1, side, side, C), y = TENSOR(1, side, side, C),
              half = TENSOR(1, side / 2, side / 2, C), w = WEIGHT(C, C, 3, 3);
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    snprintf(name, sizeof name, "cutout conv_dilated %lldx%lld, %lld channels, dilation %d",
             (long long)side, (long long)side, (long long)C, dilation);
    if (wanted(name)) {
        MEASURE(s, pf_conv_dilated(dev, &y, &x, l, dilation, NULL));
        print_products(name, s, 18.0 * (double)(side * side * C * C));
    }
    snprintf(name, sizeof name, "cutout max_pool %lldx%lld, %lld channels", (long long)side,
             (long long)side, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_max_pool(dev, &half, &x, 2));
        print_bytes(name, s, 1.25 * (double)(side * side * C));
    }
    snprintf(name, sizeof name, "cutout bilinear to %lldx%lld, %lld channels", (long long)side,
             (long long)side, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_bilinear(dev, &y, &half));
        print_bytes(name, s, 1.25 * (double)(side * side * C));
    }
    pf_dev_reset(dev, mark);
}

/* TRACER-B7's blocks: a depthwise convolution, squeeze, excitation. */
static void
bench_tracer(int64_t side, int64_t C, int64_t kernel)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(1, side, side, C), y = TENSOR(1, side, side, C),
              mean = TENSOR(1, 1, 1, C), w = WEIGHT(C, 1, kernel, kernel);
    pf_layer *l;
    double s;
    pf_must(pf_layer_new_depthwise(dev, &l, &w, NULL));
    pf_tensor_release(&w);
    snprintf(name, sizeof name, "tracer depthwise %lldx%lld, %lld channels, %lld x %lld",
             (long long)side, (long long)side, (long long)C, (long long)kernel, (long long)kernel);
    if (wanted(name)) {
        MEASURE(s, pf_conv_dilated(dev, &y, &x, l, 1, &(struct pf_epilogue){.act = PF_SILU}));
        print_bytes(name, s, 2.0 * (double)(side * side * C));
    }
    snprintf(name, sizeof name, "tracer average_pool %lldx%lld, %lld channels", (long long)side,
             (long long)side, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_average_pool(dev, &mean, &x));
        print_bytes(name, s, (double)(side * side * C));
    }
    snprintf(name, sizeof name, "tracer multiply %lldx%lld, %lld channels", (long long)side,
             (long long)side, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_multiply(dev, &y, &x, &mean));
        print_bytes(name, s, 2.0 * (double)(side * side * C));
    }
    pf_dev_reset(dev, mark);
}

int
main(int argc, char *argv[])
{
    static const struct pf_opt opts[] = {
        PF_OPT_FLAG(0, "json", json, "a line of JSON for each operator"),
        PF_OPT_END
    };
    pf_common.device = "cpu";
    pf_start(&argc, &argv, "[WORD]", "Time operators at the networks' sizes.", opts);
    only = argc ? argv[0] : "";
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    if (!json)
        printf("%s\n", pf_dev_name(dev));
    if (pf_dev_is_cuda(dev)) {
        views = 16;
        rows = 32;
        measure_ceilings();
    } else {
        bench_unet("tiny", (int64_t[]){64, 64, 128, 128}, 4);
        bench_volume_nets("tiny", (int64_t[]){16, 32, 64, 128});
    }
    bench_cutout(320, 16, 1);
    bench_cutout(512, 64, 1);
    bench_cutout(32, 256, 8);
    bench_tracer(160, 288, 3);
    bench_tracer(40, 960, 5);
    bench_unet("full", (int64_t[]){320, 640, 1280, 1280}, 8);
    bench_volume_nets("full", (int64_t[]){64, 128, 256, 512});
    for (int h = 32; h >= 4; h /= 2)
        bench_epipolar("full", h);
    bench_conv("vae", views, 0, 256, 128, 128, 1, true);
    bench_conv("vae", views, 0, 256, 128, 3, 1, false);
    bench_doubled("vae", views, 128, 256);
    bench_doubled("vae", views, 64, 512);
    bench_doubled("vae", views, 32, 512);
    bench_conv("vae", views, 0, 128, 256, 256, 1, false);
    bench_conv("vae", views, 0, 32, 512, 512, 1, false);
    bench_norms("vae", 65536, 128);
    bench_attention("vae", 1, 1024, 1, 512, false);
    bench_linear("clip", 257, 1024, 4096, PF_QUICK_GELU);
    bench_attention("clip", 1, 257, 16, 64, false);
    pf_dev_close(dev);
    return 0;
}
