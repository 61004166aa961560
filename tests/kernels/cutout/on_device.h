/* on_device.h - the device that the networks of a test live on, and something for them to see:
 *
 *     return cmocka_run_group_tests(tests, open_dev, close_dev); */
#ifndef PF_TEST_ON_DEVICE_H
#define PF_TEST_ON_DEVICE_H
#include "kernels/dev.h"
#include "tests/check.h"

static pf_dev *dev;

static inline int
open_dev(void **state)
{
    (void)state;
    return pf_dev_open(&dev, test_device(), "f32");
}

static inline int
close_dev(void **state)
{
    (void)state;
    pf_dev_close(dev);
    return 0;
}

/* In place of dev one that holds nothing yet: layers live as long as their device. */
static inline void
reopen_dev(const char *device, const char *precision)
{
    pf_dev_close(dev);
    assert_ok(pf_dev_open(&dev, device, precision));
}

/* Noise [1, H, W, 3], the caller's. */
static inline pf_tensor
noise_picture(int64_t H, int64_t W)
{
    pf_tensor t;
    assert_ok(PF_TENSOR_NEW(&t, PF_F32, 1, H, W, 3));
    fill_uniform(t.data, pf_tensor_count(&t), 5);
    return t;
}

#endif
