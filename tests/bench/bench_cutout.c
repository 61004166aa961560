/* bench_cutout - how long the networks that cut out take for one picture, all of it: the picture to
 * the device, the network, the mask back.  Random weights, or those of -w; a fresh picture each
 * time; the median.  Processor time, of all threads, is what other jobs on the machine disturb
 * least; the first run, in which a tool does all its work, also packs weights and makes primitives.
 *
 *     make bench
 *     build/release/tests/bench/bench_cutout [-d cuda] [--precision f16] [--net isnet]
 *
 * What a GPU does meanwhile is told by
 *
 *     tests/bench/bench_tools --top 30 --profile .../bench_cutout -d cuda ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/opt.h"
#include "common/progress.h"
#include "kernels/cutout/cutout.h"
#include "tests/kernels/cutout/random_cutout.h"

static struct {
    const char *net;
    int side, runs;
    bool json;
} opt = {.net = "isnet", .runs = 9};

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "net", opt.net, "isnet|u2net|u2netp", "which network, without -w"),
    PF_OPT_INT(0, "side", opt.side, "N", "of the picture; 0: as it was trained",
               0, 8192),
    PF_OPT_INT(0, "runs", opt.runs, "N", "that are timed, after two that are not", 1,
               1000),
    PF_OPT_FLAG(0, "json", opt.json, "a line of JSON"),
    PF_OPT_END
};

static void
load(pf_cutout *net, pf_dev *dev)
{
    struct random_cutout r = {0};
    pf_checkpoint *weights;
    if (pf_common.weights) {
        pf_must(pf_checkpoint_open(&weights, pf_common.weights));
    } else {
        random_cutout(&r, opt.net);
        pf_must(pf_checkpoint_open_memory(&weights, r.bytes, r.size, opt.net));
    }
    pf_must(pf_cutout_load(net, dev, weights));
    pf_checkpoint_close(weights);
    random_release(&r);
}

static int
by_size(const void *a, const void *b)
{
    const double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static double
median(double *s, int n)
{
    qsort(s, (size_t)n, sizeof *s, by_size);
    return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

static double
processor_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int
main(int argc, char *argv[])
{
    pf_dev *dev;
    pf_cutout net;
    pf_tensor input, mask;
    pf_common.device = "cpu";
    pf_start(&argc, &argv, "", "Time a network that cuts out.", opts);
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    load(&net, dev);
    const int side = opt.side ? opt.side : pf_cutout_side(net.kind);
    double *const seconds = calloc(2 * (size_t)opt.runs, sizeof *seconds);
    double *const busy = seconds + opt.runs;    /* of the processor */
    double first = 0;
    if (!seconds)
        pf_must(pf_fail(PF_ENOMEM, "no memory for %d runs", opt.runs));
    pf_must(PF_TENSOR_NEW(&input, PF_F32, 1, side, side, 3));
    for (int i = -2; i < opt.runs; i++) {
        fill_uniform(input.data, pf_tensor_count(&input), (uint64_t)(i + 2));
        const double start = pf_seconds(), before = processor_seconds();
        pf_must(pf_cutout_run(dev, &net, &mask, &input, NULL));
        if (i == -2)
            first = processor_seconds() - before;
        if (i >= 0) {
            seconds[i] = pf_seconds() - start;
            busy[i] = processor_seconds() - before;
        }
        pf_tensor_release(&mask);
    }
    const double s = median(seconds, opt.runs), b = median(busy, opt.runs);     /* sorted, now */
    if (opt.json)
        printf("{\"net\": \"%s\", \"side\": %d, \"device\": \"%s\", \"ms\": %.4f, \"least\": %.4f, "
               "\"most\": %.4f, \"processor\": %.4f, \"first\": %.4f, \"MB\": %.1f}\n",
               pf_cutout_name(net.kind), side, pf_dev_name(dev), 1e3 * s, 1e3 * seconds[0],
               1e3 * seconds[opt.runs - 1], 1e3 * b, 1e3 * first,
               (double)pf_dev_need(dev) / 1e6);
    else
        printf("%s %dx%d on %s: %.2f ms, the median of %d (%.2f to %.2f); processor %.2f ms, of "
               "the first %.2f; %.0f MB\n", pf_cutout_name(net.kind), side, side, pf_dev_name(dev),
               1e3 * s, opt.runs, 1e3 * seconds[0], 1e3 * seconds[opt.runs - 1], 1e3 * b,
               1e3 * first, (double)pf_dev_need(dev) / 1e6);
    pf_tensor_release(&input);
    free(seconds);
    pf_dev_close(dev);
    return 0;
}
