/* gpu.h - the GPU of tests that skip where there is none. */
#ifndef PF_TEST_GPU_H
#define PF_TEST_GPU_H
#include "kernels/dev.h"
#include "tests/check.h"

static pf_dev *gpu;

static int
open_gpu(void **state)
{
    (void)state;
    if (pf_dev_open(&gpu, "cuda", "f32") != PF_OK)
        print_message("# %s\n", pf_error());
    return 0;
}

static int
close_gpu(void **state)
{
    (void)state;
    pf_dev_close(gpu);
    return 0;
}

static void
need_gpu(void)
{
    if (!gpu)
        skip();
}

#endif
