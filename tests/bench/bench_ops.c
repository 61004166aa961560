/* bench_ops - operators at the sizes that the networks have, one line each on stdout: milliseconds
 * (the best of several runs), GFLOP/s where there are products, GB/s where there are none (inputs
 * and outputs counted once).  "tiny" is the golden model (64 channels), "full" the released one.
 *
 *     make bench && build/release/tests/bench/bench_ops [WORD]    only lines that contain WORD */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/rng.h"
#include "kernels/ops.h"

static pf_dev *dev;
static const char *only = "";

static double
seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static pf_tensor
tensor(int ndim, const int64_t *dim)
{
    pf_tensor t;
    pf_must(pf_dev_alloc(dev, &t, PF_F32, ndim, dim));
    static float some[65536];           /* repeated */
    const int64_t n = pf_tensor_count(&t), part = sizeof some / sizeof *some;
    for (int64_t i = 0; some[0] == 0 && i < part; i++)
        some[i] = 2 * pf_rng_uniform(1, PF_RNG_TEST, (uint64_t)i) - 1;
    for (int64_t i = 0; i < n; i += part)
        memcpy((float *)t.data + i, some, (size_t)(n - i < part ? n - i : part) * sizeof *some);
    return t;
}
#define TENSOR(...) tensor(PF_DIMS_(__VA_ARGS__))

static bool
wanted(const char *name)
{
    return strstr(name, only) != NULL;
}

/* Time call until it has run 5 times and a fifth of a second. */
#define MEASURE(best, call)                                     \
    do {                                                        \
        double sum_ = 0;                                        \
        best = 1e9;                                             \
        pf_must(call);                                          \
        for (int i_ = 0; i_ < 5 || sum_ < 0.2; i_++) {          \
            const double t_ = seconds();                        \
            pf_must(call);                                      \
            const double d_ = seconds() - t_;                   \
            sum_ += d_;                                         \
            best = d_ < best ? d_ : best;                       \
        }                                                       \
    } while (0)

static void
print_products(const char *name, double s, double flops)
{
    printf("%-44s %10.4f ms %8.1f GFLOP/s\n", name, 1e3 * s, flops / s / 1e9);
    fflush(stdout);
}

static void
print_bytes(const char *name, double s, double numbers)
{
    printf("%-44s %10.4f ms %8.1f GB/s\n", name, 1e3 * s, 4 * numbers / s / 1e9);
    fflush(stdout);
}

static void
bench_conv(const char *kind, int64_t D, int64_t side, int64_t C, int64_t K, int stride,
           bool residual)
{
    char name[100];
    const int64_t d = D ? D / stride : 1, h = side / stride;
    snprintf(name, sizeof name, "%s conv%s %lldx%lld %lld -> %lld%s%s", kind, D ? "3d" : "",
             (long long)side, (long long)side, (long long)C, (long long)K,
             stride > 1 ? " stride 2" : "", residual ? " + residual" : "");
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = D ? TENSOR(1, D, side, side, C) : TENSOR(1, side, side, C),
              y = D ? TENSOR(1, d, h, h, K) : TENSOR(1, h, h, K);
    pf_tensor w = D ? TENSOR(K, C, 3, 3, 3) : TENSOR(K, C, 3, 3),
              r = residual ? TENSOR(1, h, h, K) : y;
    const struct pf_epilogue e = {.residual = &r};
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    MEASURE(s, pf_conv(dev, &y, &x, l, stride, 1, 1, residual ? &e : NULL));
    print_products(name, s, 2.0 * (double)(d * h * h * C * K) * (D ? 27 : 9));
    pf_dev_reset(dev, mark);
}

static void
bench_transposed(const char *kind, int64_t D, int64_t side, int64_t C, int64_t K)
{
    char name[100];
    snprintf(name, sizeof name, "%s transposed %lldx%lldx%lld %lld -> %lld", kind, (long long)D,
             (long long)side, (long long)side, (long long)C, (long long)K);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(1, D, side, side, C), y = TENSOR(1, 2 * D, 2 * side, 2 * side, K),
              w = TENSOR(C, K, 3, 3, 3);
    const struct pf_epilogue e = {.residual = &y};
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, true));
    MEASURE(s, pf_conv(dev, &y, &x, l, 2, 1, 1, &e));
    print_products(name, s, 2.0 * (double)(D * side * side * C * K) * 27);
    pf_dev_reset(dev, mark);
}

static void
bench_linear(const char *kind, int64_t M, int64_t C, int64_t K)
{
    char name[100];
    snprintf(name, sizeof name, "%s linear %lld rows %lld -> %lld", kind, (long long)M,
             (long long)C, (long long)K);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(M, C), y = TENSOR(M, K), w = TENSOR(K, C);
    pf_layer *l;
    double s;
    pf_must(pf_layer_new(dev, &l, &w, NULL, false));
    MEASURE(s, pf_linear(dev, &y, &x, l, NULL));
    print_products(name, s, 2.0 * (double)(M * C * K));
    pf_dev_reset(dev, mark);
}

/* A mask like an epipolar one: dense blocks for the own view, a band of 9 % for the other. */
static pf_tensor
band_mask(int64_t T)
{
    pf_tensor t;
    const int64_t words = (T + 31) / 32, half = T / 2;
    int64_t side = 1;
    while (side * side < half)
        side++;
    pf_must(PF_ALLOC(dev, &t, PF_U32, 1, T, words));
    memset(t.data, 0, pf_tensor_bytes(&t));
    for (int64_t q = 0; q < T; q++)
        for (int64_t k = 0; k < T; k++) {
            const int64_t i = q % half / side - k % half / side,
                          j = k % half % side - q % half % side;
            if (q / half == k / half || (11 * (i - j / 3) * (i - j / 3) <= side * side / 44 + 3))
                ((uint32_t *)t.data)[q * words + k / 32] |= UINT32_C(1) << k % 32;
        }
    return t;
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
    MEASURE(s, pf_attention(dev, &y, &x, heads, 0.2f, masked ? &mask : NULL));
    print_products(name, s, 4.0 * (double)(B * T * T * heads * d));
    pf_dev_reset(dev, mark);
}

static void
bench_norms(const char *kind, int64_t P, int64_t C)
{
    char name[100];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x = TENSOR(1, P, C), y = TENSOR(1, P, C), v = TENSOR(C);
    double s;
    snprintf(name, sizeof name, "%s group_norm + silu %lld x %lld", kind, (long long)P,
             (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_group_norm(dev, &y, &x, &v, &v, 32, 1e-5f, PF_SILU, NULL));
        print_bytes(name, s, 2.0 * (double)(P * C));
    }
    snprintf(name, sizeof name, "%s layer_norm %lld x %lld", kind, (long long)P, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_layer_norm(dev, &y, &x, &v, &v, 1e-5f));
        print_bytes(name, s, 2.0 * (double)(P * C));
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
              proj = PF_VIEW(P, PF_F32, V, 3, 4);
    pf_tensor space = TENSOR(1, 32, 32, 32, C), frustum = TENSOR(1, 48, 32, 32, C);
    double s;
    snprintf(name, sizeof name, "%s unproject %lld views", kind, (long long)V);
    if (wanted(name)) {
        MEASURE(s, pf_unproject(dev, &volume, &maps, &proj, 0.5f));
        print_bytes(name, s, (double)pf_tensor_count(&volume));
    }
    for (int64_t v = 0; v < V; v++)
        memcpy(P[v], (float[]){1 / 35.0f, 0, -0.457f, 0, 0, 1 / 35.0f, -0.457f, 0, 0, 0, 1, -1.5f},
               sizeof P[v]);
    pf_tensor unproj = PF_VIEW(P, PF_F32, 1, 3, 4);
    snprintf(name, sizeof name, "%s frustum_sample %lld channels", kind, (long long)C);
    if (wanted(name)) {
        MEASURE(s, pf_frustum_sample(dev, &frustum, &space, &unproj, 0.5f, 0.634f, 2.366f));
        print_bytes(name, s, (double)pf_tensor_count(&frustum));
    }
    pf_dev_reset(dev, mark);
}

static void
bench_depth_attention(const char *kind, int64_t side, int64_t D, int64_t d)
{
    char name[100];
    snprintf(name, sizeof name, "%s depth_attention %lldx%lld, %lld samples, 4 x %lld", kind,
             (long long)side, (long long)side, (long long)D, (long long)d);
    if (!wanted(name))
        return;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor q = TENSOR(1, side, side, 4 * d), kv = TENSOR(1, D, side, side, 8 * d),
              y = TENSOR(1, side, side, 4 * d);
    double s;
    MEASURE(s, pf_depth_attention(dev, &y, &q, &kv, 4, 0.2f));
    print_bytes(name, s, (double)pf_tensor_count(&kv));
    pf_dev_reset(dev, mark);
}

/* The UNet's four levels: sides 32, 16, 8, 4. */
static void
bench_unet(const char *kind, const int64_t channels[4], int heads)
{
    for (int i = 0; i < 4; i++) {
        const int64_t side = 32 >> i, C = channels[i], P = side * side;
        bench_conv(kind, 0, side, C, C, 1, false);
        bench_conv(kind, 0, side, C, C, 1, true);
        bench_conv(kind, 0, side, 2 * C, C, 1, false);
        bench_linear(kind, P, C, C);
        bench_linear(kind, 2 * P, C, 8 * C);
        bench_norms(kind, P, C);
        bench_elementwise(kind, 2 * P, 4 * C);
        if (i < 3) {
            bench_attention(kind, 1, P, heads, C / heads, false);
            bench_attention(kind, 1, 2 * P, heads, C / heads, true);
        }
    }
    bench_linear(kind, 1, 4 * channels[0], channels[3]);
    bench_conv(kind, 0, 32, 8, channels[0], 1, false);
    bench_conv(kind, 0, 32, channels[0], 4, 1, false);
    bench_conv(kind, 0, 32, channels[0], channels[0], 2, false);
}

static void
bench_volume_nets(const char *kind, const int64_t channels[4])
{
    static const int64_t depth[] = {48, 24, 12, 6};
    bench_conv(kind, 32, 32, 256, channels[0], 1, false);
    for (int i = 0; i < 4; i++) {
        bench_conv(kind, depth[i], 32 >> i, channels[i], channels[i], 1, false);
        if (i < 3)
            bench_conv(kind, depth[i], 32 >> i, channels[i], channels[i + 1], 2, false);
        if (i > 0)
            bench_transposed(kind, depth[i], 32 >> i, channels[i], channels[i - 1]);
        bench_depth_attention(kind, 32 >> i, depth[i], channels[i] / 2);
    }
    bench_volumes(kind, 16, channels[0]);
}

int
main(int argc, char *argv[])
{
    only = argc > 1 ? argv[1] : "";
    pf_must(pf_dev_open(&dev, "cpu", NULL));
    printf("%s\n", pf_dev_name(dev));
    bench_unet("tiny", (int64_t[]){64, 64, 128, 128}, 4);
    bench_volume_nets("tiny", (int64_t[]){16, 32, 64, 128});
    bench_unet("full", (int64_t[]){320, 640, 1280, 1280}, 8);
    bench_volume_nets("full", (int64_t[]){64, 128, 256, 512});
    bench_conv("vae", 0, 256, 128, 128, 1, true);
    bench_conv("vae", 0, 256, 128, 3, 1, false);
    bench_conv("vae", 0, 128, 256, 256, 1, false);
    bench_conv("vae", 0, 64, 512, 512, 1, false);
    bench_conv("vae", 0, 32, 512, 512, 1, false);
    bench_norms("vae", 65536, 128);
    bench_attention("vae", 1, 1024, 1, 512, false);
    bench_linear("clip", 257, 1024, 4096);
    bench_attention("clip", 1, 257, 16, 64, false);
    pf_dev_close(dev);
    return 0;
}
