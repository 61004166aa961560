/* tensor.h - a typed, row-major block of numbers.  Plain data; the last axis is the fastest.
 *
 *     pf_tensor t = {0};
 *     PF_TRY(PF_TENSOR_NEW(&t, PF_F32, H, W, 3));     // zeroed, owned
 *     float *p = t.data;
 *     pf_tensor_release(&t);
 *
 * A pf_tensor does not know where its data lives: host functions take host tensors, operators
 * (kernels/ops.h) take tensors of the device that they are given. */
#ifndef PF_TENSOR_H
#define PF_TENSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_MAX_DIMS = 8 };

typedef enum pf_dtype {         /* names in files: safetensors' */
    PF_F32, PF_F16, PF_BF16, PF_F64,
    PF_U8, PF_I8, PF_U16, PF_I16, PF_U32, PF_I32, PF_U64, PF_I64, PF_BOOL,
    PF_F8,                      /* E4M3: "F8_E4M3" */
    PF_DTYPES
} pf_dtype;

typedef struct pf_tensor {
    pf_dtype dtype;
    int ndim;                   /* 0: a scalar, one element */
    int64_t dim[PF_MAX_DIMS];
    void *data;                 /* 64-byte aligned when we allocated it */
} pf_tensor;

size_t pf_dtype_size(pf_dtype dtype);                           /* bytes an element */
const char *pf_dtype_name(pf_dtype dtype);                      /* "F32" */
bool pf_dtype_parse(pf_dtype *dtype, const char *name);         /* false: unknown name */

/* The types that are numbers by themselves: not F8, which wants a scale. */
static inline bool
pf_is_float(pf_dtype t)
{
    return t == PF_F32 || t == PF_F16 || t == PF_BF16 || t == PF_F64;
}

/* Product of the dimensions; sizes are checked when a tensor is made, so this cannot overflow. */
int64_t pf_tensor_count(const pf_tensor *t);
size_t pf_tensor_bytes(const pf_tensor *t);
/* Elements and bytes of a shape that came from outside.  PF_ESHAPE for a negative size, too many
 * axes, or a product over 2^62. */
pf_err pf_shape_bytes(size_t *bytes, pf_dtype dtype, int ndim, const int64_t *dim) PF_MUST_USE;

/* Memory of the host aligned to 64 bytes, as it was found; free() frees it, NULL: there is none. */
void *pf_memory_new(size_t bytes);
/* Allocate zeroed host memory.  t is overwritten: release what it owned before. */
pf_err pf_tensor_new(pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim) PF_MUST_USE;
/* The same, but the memory is as it was found: for one that is written whole at once. */
pf_err pf_tensor_new_unset(pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim) PF_MUST_USE;
void pf_tensor_release(pf_tensor *t);                           /* owned tensors only; zeroes *t */
pf_err pf_tensor_copy(pf_tensor *t, const pf_tensor *from) PF_MUST_USE;         /* t owned */
/* A tensor around memory that the caller keeps: PF_VIEW(data, PF_F32, 2, 3). */
pf_tensor pf_tensor_view(void *data, pf_dtype dtype, int ndim, const int64_t *dim);

bool pf_tensor_is(const pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim);
/* PF_ESHAPE "NAME is F32 [2, 3], expected F32 [2, 4]"; a wanted -1 matches any size. */
pf_err pf_tensor_expect(const pf_tensor *t, const char *name, pf_dtype dtype, int ndim,
                        const int64_t *dim) PF_MUST_USE;
/* PF_EFORMAT "NAME: element 7 is 255, expected <expected>" unless all of an F32 tensor is in
 * lo..hi, which NaN is not. */
pf_err pf_tensor_expect_range(const pf_tensor *t, const char *name, double lo, double hi,
                              const char *expected) PF_MUST_USE;
/* "F32 [2, 3]" into buf, and buf back. */
const char *pf_tensor_describe(char *buf, size_t size, const pf_tensor *t);

/* Convert n numbers to f32, many by all threads, and back (round to nearest even).  Integers and
 * bool convert by value; the way back is for float types alone. */
void pf_to_f32(float *to, const void *from, pf_dtype dtype, int64_t n);
void pf_from_f32(void *to, const float *from, pf_dtype dtype, int64_t n);
/* How many of n numbers are NaN or infinite; 0 where the type is no float's.  By all threads, if
 * they are many. */
int64_t pf_count_odd(const void *data, pf_dtype dtype, int64_t n);
uint16_t pf_f32_to_f16(float v);
float pf_f16_to_f32(uint16_t v);
uint16_t pf_f32_to_bf16(float v);
float pf_bf16_to_f32(uint16_t v);
/* E4M3: a sign, 4 bits of exponent, 3 of fraction, no infinities, one NaN of each sign.  What is
 * larger becomes the largest. */
#define PF_F8_MAX 448.0f
#define PF_F8_TOP 464.0f        /* half a step above: up to here the largest is the nearest */
uint8_t pf_f32_to_f8(float v);
float pf_f8_to_f32(uint8_t v);
/* By what numbers up to largest are divided to become E4M3: the smallest power of two that leaves
 * at most PF_F8_TOP, within these; 1 for zeros.  The largest becomes 240 to 448, so that what was
 * rounded once stays as it is, and all products with such a scale are exact as BF16. */
enum { PF_F8_SCALE_MIN = -124, PF_F8_SCALE_MAX = 119 };         /* powers of two */
float pf_f8_scale(float largest);

#define PF_DIMS_(...)                                                    \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),           \
        (int64_t[]){__VA_ARGS__}
#define PF_TENSOR_NEW(t, dtype, ...) pf_tensor_new(t, dtype, PF_DIMS_(__VA_ARGS__))
#define PF_VIEW(data, dtype, ...) pf_tensor_view(data, dtype, PF_DIMS_(__VA_ARGS__))
/* In a function that returns pf_err: the shape that an argument must have, named in the error. */
#define PF_EXPECT(t, dtype, ...) PF_TRY(pf_tensor_expect(t, #t, dtype, PF_DIMS_(__VA_ARGS__)))

#ifdef __cplusplus
}
#endif
#endif
