/* npy.h - a tensor as NumPy's .npy file, version 1.0. */
#ifndef PF_NPY_H
#define PF_NPY_H
#include <stdio.h>

#include "common/tensor.h"

/* NumPy has neither bfloat16 nor E4M3: such a tensor is written as float32. */
pf_err pf_npy_write(const pf_tensor *t, FILE *to) PF_MUST_USE;

#endif
