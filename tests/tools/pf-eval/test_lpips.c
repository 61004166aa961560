/* LPIPS with few channels and random weights against its formulas, convolution by convolution, in
 * double. */
// uses: tools/pf-eval/lpips.c
#include "common/stream.h"
#include "tests/tools/program.h"
#include "tools/pf-eval/lpips.h"

enum { SIDE = 32, LAYERS = 13, BLOCKS = 5 };
/* What torchvision calls the layers, and which of them a pool stands before. */
static const int place[LAYERS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int slice[LAYERS] = {1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5};
static const int channels[BLOCKS + 1] = {3, 4, 6, 5, 7, 8};

static float weight[LAYERS][8 * 8 * 9], bias[LAYERS][8], head[BLOCKS][8];

static int
inputs(int k)
{
    return k ? channels[slice[k - 1]] : 3;
}

static float
uniform(uint64_t stream, int i, float low, float high)
{
    return low + (high - low) * pf_rng_uniform(stream, PF_RNG_TEST, (uint64_t)i);
}

static void
make_weights(void)
{
    for (int k = 0; k < LAYERS; k++) {
        const int K = channels[slice[k]], C = inputs(k);
        for (int i = 0; i < K * C * 9; i++)
            weight[k][i] = uniform((uint64_t)k, i, -0.6f, 0.7f);
        for (int i = 0; i < K; i++)
            bias[k][i] = uniform((uint64_t)(k + 100), i, -0.1f, 0.3f);
    }
    for (int b = 0; b < BLOCKS; b++)
        for (int i = 0; i < 8; i++)
            head[b][i] = uniform((uint64_t)(b + 200), i, 0, 1);
}

static void
put(pf_doc *doc, const char *name, float *data, int ndim, const int64_t *dim)
{
    const pf_tensor t = pf_tensor_view(data, PF_F32, ndim, dim);
    assert_ok(pf_doc_put(doc, name, &t));
}

/* The layers under lpips' names or torchvision's, the heads, or both. */
static void
write_weights(const char *path, bool vgg, bool own_names, bool heads)
{
    pf_doc doc = {0};
    char name[64];
    for (int k = 0; k < LAYERS && vgg; k++) {
        const int64_t K = channels[slice[k]], dim[4] = {K, inputs(k), 3, 3};
        snprintf(name, sizeof name,
                 own_names ? "net.slice%2$d.%1$d.weight" : "features.%1$d.weight",
                 place[k], slice[k]);
        put(&doc, name, weight[k], 4, dim);
        memcpy(strrchr(name, '.'), ".bias", 6);
        put(&doc, name, bias[k], 1, &K);
    }
    for (int b = 0; b < BLOCKS && heads; b++) {
        snprintf(name, sizeof name, "lin%d.model.1.weight", b);
        put(&doc, name, head[b], 4, (int64_t[]){1, channels[b + 1], 1, 1});
    }
    write_document(&doc, path);
    pf_doc_release(&doc);
}

/* y [K, n, n] = relu(conv x [C, n, n]). */
static void
convolve(double *y, const double *x, int k, int n)
{
    const int C = inputs(k), K = channels[slice[k]];
    for (int o = 0; o < K; o++)
        for (int i = 0; i < n * n; i++) {
            double sum = bias[k][o];
            for (int c = 0; c < C; c++)
                for (int t = 0; t < 9; t++) {
                    const int v = i / n + t / 3 - 1, u = i % n + t % 3 - 1;
                    if (v >= 0 && v < n && u >= 0 && u < n)
                        sum += weight[k][(o * C + c) * 9 + t] * x[(c * n + v) * n + u];
                }
            y[o * n * n + i] = fmax(sum, 0);
        }
}

static void
pool(double *x, int C, int n)
{
    const int h = n / 2;
    for (int c = 0; c < C; c++)
        for (int i = 0; i < h * h; i++) {
            const double *p = x + c * n * n + i / h * 2 * n + i % h * 2;
            x[c * h * h + i] = fmax(fmax(p[0], p[1]), fmax(p[n], p[n + 1]));
        }
}

static double
difference(const double *a, const double *b, int C, int pixels, const float *w)
{
    double sum = 0;
    for (int i = 0; i < pixels; i++) {
        double aa = 0, bb = 0;
        for (int c = 0; c < C; c++) {
            aa += a[c * pixels + i] * a[c * pixels + i];
            bb += b[c * pixels + i] * b[c * pixels + i];
        }
        for (int c = 0; c < C; c++) {
            const double d = a[c * pixels + i] / (sqrt(aa) + 1e-10) -
                             b[c * pixels + i] / (sqrt(bb) + 1e-10);
            sum += w[c] * d * d;
        }
    }
    return sum / pixels;
}

static double
expected(const float *a, const float *b)
{
    static double x[2][8 * SIDE * SIDE], y[8 * SIDE * SIDE];
    const double shift[3] = {-.030, -.088, -.188}, scale[3] = {.458, .448, .450};
    double sum = 0;
    int n = SIDE;
    for (int i = 0; i < 3 * n * n; i++)
        for (int s = 0; s < 2; s++)
            x[s][i % 3 * n * n + i / 3] = (2.0 * (s ? b : a)[i] - 1 - shift[i % 3]) / scale[i % 3];
    for (int k = 0; k < LAYERS; k++) {
        const int C = channels[slice[k]];
        for (int s = 0; s < 2; s++) {
            convolve(y, x[s], k, n);
            memcpy(x[s], y, sizeof y);
        }
        if (k < LAYERS - 1 && slice[k + 1] == slice[k])
            continue;
        sum += difference(x[0], x[1], C, n * n, head[slice[k] - 1]);
        for (int s = 0; s < 2; s++)
            pool(x[s], C, n);
        n /= 2;
    }
    return sum;
}

static void
test_lpips_is_its_formula(void **state)
{
    static float a[3 * SIDE * SIDE], b[3 * SIDE * SIDE];
    static const struct {
        const char *weights, *heads;
    } files[] = {{"vgg.pf", "heads.pf"}, {"all.pf", NULL}};
    pf_dev *dev;
    (void)state;
    make_weights();
    write_weights("vgg.pf", true, false, false);
    write_weights("heads.pf", false, false, true);
    write_weights("all.pf", true, true, true);
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        a[i] = uniform(300, i, 0, 1);
        b[i] = 0.5f * a[i] + uniform(301, i, 0, 0.5f);
    }
    const double want = expected(a, b);
    assert_true(want > 0.01);
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    for (int i = 0; i < 2; i++) {
        struct lpips *net;
        double d;
        assert_ok(lpips_open(&net, dev, files[i].weights, files[i].heads));
        assert_ok(lpips_distance(&d, net, a, b, SIDE, SIDE));
        assert_true(fabs(d - want) < 1e-5 * want);
        assert_ok(lpips_distance(&d, net, a, a, SIDE, SIDE));
        assert_true(d == 0);
        assert_fails(lpips_distance(&d, net, a, b, SIDE, 24), PF_ESHAPE, "multiples of 16");
        lpips_close(net);
    }
    pf_dev_close(dev);
}

static void
test_missing_weights_are_named(void **state)
{
    struct lpips *net;
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_fails(lpips_open(&net, dev, "vgg.pf", NULL), PF_EFORMAT, "lin0.model.1.weight");
    lpips_close(net);
    assert_fails(lpips_open(&net, dev, "heads.pf", NULL), PF_EFORMAT, "features.0.weight");
    lpips_close(net);
    pf_dev_close(dev);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lpips_is_its_formula),
        cmocka_unit_test(test_missing_weights_are_named),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
