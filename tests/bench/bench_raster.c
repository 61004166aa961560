/* bench_raster - 16 views of 256 x 256 of a ball of 100 k triangles: milliseconds for all of them,
 * the median of several runs, and the processor's time.  "drawn" is what a GPU does, by its own
 * events; "fetched" has the pictures on the host.
 *
 *     make bench
 *     build/release/tests/bench/bench_raster [-d cuda] [--triangles N] [--size PX] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/opt.h"
#include "common/progress.h"
#include "tests/kernels/raster/scenes.h"

enum { VIEWS = 16, RUNS = 20 };
static int triangles = 100000, size = 256;

static const struct pf_opt opts[] = {
    PF_OPT_INT(0, "triangles", triangles, "N", "of the ball, about", 100, 100000000),
    PF_OPT_INT(0, "size", size, "PX", "side of a view", 16, 4096),
    PF_OPT_END};

static int
by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds of all views. */
static double
draw_all(pf_raster *r, const struct pf_raster_view *view, bool fetched)
{
    struct pf_raster_camera c[VIEWS];
    float ms = 0;
    for (int n = 0; n < VIEWS; n++)
        c[n] = rig_camera(30, n * 360.0 / VIEWS, size);
    const double start = pf_seconds();
    if (PF_CUDA && !fetched) {
        pf_must(pf_raster_time_cuda(&ms, r, size, size, c, VIEWS, PF_LIGHT_SOFT));
        return ms;
    }
    for (int n = 0; n < VIEWS; n++)
        pf_must(pf_raster_view(r, view, &c[n], PF_LIGHT_SOFT));
    return 1e3 * (pf_seconds() - start);
}

static void
measure(pf_dev *dev, pf_raster *r, const struct pf_raster_view *view, bool fetched)
{
    const int runs = pf_dev_is_cuda(dev) ? RUNS : 3;
    double run[RUNS];
    draw_all(r, view, fetched);
    const clock_t before = clock();
    for (int i = 0; i < runs; i++)
        run[i] = draw_all(r, view, fetched);
    const double processor = 1e3 * (double)(clock() - before) / CLOCKS_PER_SEC / runs;
    qsort(run, (size_t)runs, sizeof *run, by_size);
    printf("%s\t%s\t%d views of %d x %d\t%lld triangles\t%.2f ms\tprocessor %.0f ms\n",
           pf_dev_name(dev), fetched ? "fetched" : "drawn", VIEWS, size, size,
           (long long)r->triangles, run[runs / 2], processor);
}

int
main(int argc, char *argv[])
{
    pf_dev *dev;
    pf_raster *r;
    pf_start(&argc, &argv, "", "Time the rasteriser.", opts);
    const int rings = (int)sqrt(triangles / 4.0);
    pf_scene s = ball_new(rings, 2 * rings);
    struct drawn d = drawn_new(size, size);
    pf_must(pf_dev_open(&dev, pf_common.device, "f32"));
    pf_must(pf_raster_open(&r, dev, &s));
    if (pf_dev_is_cuda(dev))
        measure(dev, r, &d.v, false);
    measure(dev, r, &d.v, true);
    pf_raster_close(r);
    pf_dev_close(dev);
    pf_scene_release(&s);
    drawn_free(&d);
    return 0;
}
