/* tensor.c - shapes, memory, and conversion between number types. */
#include "common/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[PF_DTYPES] = {
    [PF_F32] = {"F32", 4}, [PF_F16] = {"F16", 2}, [PF_BF16] = {"BF16", 2}, [PF_F64] = {"F64", 8},
    [PF_U8] = {"U8", 1},   [PF_I8] = {"I8", 1},   [PF_U16] = {"U16", 2},   [PF_I16] = {"I16", 2},
    [PF_U32] = {"U32", 4}, [PF_I32] = {"I32", 4}, [PF_U64] = {"U64", 8},   [PF_I64] = {"I64", 8},
    [PF_BOOL] = {"BOOL", 1}, [PF_F8] = {"F8_E4M3", 1},
};

size_t
pf_dtype_size(pf_dtype dtype)
{
    if ((unsigned)dtype >= PF_DTYPES)
        pf_bug("dtype %d", (int)dtype);
    return dtypes[dtype].size;
}

const char *
pf_dtype_name(pf_dtype dtype)
{
    return (unsigned)dtype < PF_DTYPES ? dtypes[dtype].name : "?";
}

bool
pf_dtype_parse(pf_dtype *dtype, const char *name)
{
    for (int i = 0; i < PF_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (pf_dtype)i;
            return true;
        }
    return false;
}

int64_t
pf_tensor_count(const pf_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->dim[i];
    return n;
}

size_t
pf_tensor_bytes(const pf_tensor *t)
{
    return (size_t)pf_tensor_count(t) * pf_dtype_size(t->dtype);
}

pf_err
pf_shape_bytes(size_t *bytes, pf_dtype dtype, int ndim, const int64_t *dim)
{
    const int64_t most = (int64_t)1 << 62;
    int64_t n = (int64_t)pf_dtype_size(dtype);
    bool empty = false;

    if (ndim < 0 || ndim > PF_MAX_DIMS)
        return pf_fail(PF_ESHAPE, "%d axes; at most %d are supported", ndim, PF_MAX_DIMS);
    for (int i = 0; i < ndim; i++)
        if (dim[i] < 0)
            return pf_fail(PF_ESHAPE, "axis %d has the negative size %lld", i, (long long)dim[i]);
    /* Zeros are left out: whoever multiplies only some of the axes must not overflow either. */
    for (int i = 0; i < ndim; i++) {
        const int64_t d = dim[i] ? dim[i] : 1;
        if (n > most / d)
            return pf_fail(PF_ESHAPE, "the product of the axes is too large");
        n *= d;
        empty |= dim[i] == 0;
    }
    *bytes = empty ? 0 : (size_t)n;
    return PF_OK;
}

/* Large blocks lie in pages of 2 MB where the system has them: a fault for each 4 KB that is
 * touched costs a third of a large network's first run (kernels/SPEED.md). */
void *
pf_memory_new(size_t bytes)
{
    const size_t page = 2 << 20;
    const bool large = bytes >= 2 * page;
    void *data = NULL;

    if (posix_memalign(&data, large ? page : 64, bytes ? bytes : 1))
        return NULL;
    if (large)
        madvise(data, bytes, MADV_HUGEPAGE);    /* a kernel without them does as before */
    return data;
}

pf_err
pf_tensor_new_unset(pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
{
    size_t bytes;

    PF_TRY(pf_shape_bytes(&bytes, dtype, ndim, dim));
    void *const data = pf_memory_new(bytes);
    if (!data)
        return pf_fail(PF_ENOMEM, "no memory for a tensor of %zu bytes", bytes);
    *t = pf_tensor_view(data, dtype, ndim, dim);
    return PF_OK;
}

pf_err
pf_tensor_new(pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
{
    PF_TRY(pf_tensor_new_unset(t, dtype, ndim, dim));
    memset(t->data, 0, pf_tensor_bytes(t));
    return PF_OK;
}

void
pf_tensor_release(pf_tensor *t)
{
    free(t->data);
    memset(t, 0, sizeof *t);
}

pf_err
pf_tensor_copy(pf_tensor *t, const pf_tensor *from)
{
    PF_TRY(pf_tensor_new_unset(t, from->dtype, from->ndim, from->dim));
    if (pf_tensor_bytes(from))
        memcpy(t->data, from->data, pf_tensor_bytes(from));
    return PF_OK;
}

pf_tensor
pf_tensor_view(void *data, pf_dtype dtype, int ndim, const int64_t *dim)
{
    pf_tensor t = {.dtype = dtype, .ndim = ndim, .data = data};

    if (ndim < 0 || ndim > PF_MAX_DIMS)
        pf_bug("a tensor of %d axes", ndim);
    for (int i = 0; i < ndim; i++)
        t.dim[i] = dim[i];
    return t;
}

static bool
shape_is(const pf_tensor *t, int ndim, const int64_t *dim)
{
    if (t->ndim != ndim)
        return false;
    for (int i = 0; i < ndim; i++)
        if (dim[i] >= 0 && t->dim[i] != dim[i])
            return false;
    return true;
}

bool
pf_tensor_is(const pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
{
    return t->dtype == dtype && shape_is(t, ndim, dim);
}

pf_err
pf_tensor_expect(const pf_tensor *t, const char *name, pf_dtype dtype, int ndim,
                 const int64_t *dim)
{
    char is[128], want[128];
    pf_tensor w;

    if (pf_tensor_is(t, dtype, ndim, dim))
        return PF_OK;
    w = pf_tensor_view(NULL, dtype, ndim, dim);
    return pf_fail(PF_ESHAPE, "%s is %s, expected %s", name, pf_tensor_describe(is, sizeof is, t),
                   pf_tensor_describe(want, sizeof want, &w));
}

pf_err
pf_tensor_expect_range(const pf_tensor *t, const char *name, double lo, double hi,
                       const char *expected)
{
    const float *x = t->data;

    for (int64_t i = 0, n = pf_tensor_count(t); i < n; i++)
        if (!(x[i] >= lo && x[i] <= hi))
            return pf_fail(PF_EFORMAT, "%s: element %lld is %g, expected %s", name, (long long)i,
                           (double)x[i], expected);
    return PF_OK;
}

const char *
pf_tensor_describe(char *buf, size_t size, const pf_tensor *t)
{
    size_t n = (size_t)snprintf(buf, size, "%s [", pf_dtype_name(t->dtype));

    for (int i = 0; i < t->ndim && n < size; i++) {
        const char *sep = i ? ", " : "";
        n += t->dim[i] < 0
                 ? (size_t)snprintf(buf + n, size - n, "%s*", sep)
                 : (size_t)snprintf(buf + n, size - n, "%s%lld", sep, (long long)t->dim[i]);
    }
    if (n < size)
        snprintf(buf + n, size - n, "]");
    return buf;
}

static uint32_t
bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static float
float_of(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

float
pf_bf16_to_f32(uint16_t v)
{
    return float_of((uint32_t)v << 16);
}

uint16_t
pf_f32_to_bf16(float v)
{
    const uint32_t u = bits_of(v);

    if ((u & 0x7fffffff) > 0x7f800000)          /* a NaN stays one: rounding could carry it away */
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float
pf_f16_to_f32(uint16_t v)
{
    const uint32_t sign = (uint32_t)(v & 0x8000) << 16, e = v >> 10 & 31, m = v & 0x3ff;

    if (e == 31)
        return float_of(sign | 0x7f800000 | m << 13);
    if (e == 0) {                               /* zero and subnormals: m * 2^-24, exact */
        const float a = (float)m * 0x1p-24f;
        return float_of(sign | bits_of(a));
    }
    return float_of(sign | (e + 112) << 23 | m << 13);
}

uint16_t
pf_f32_to_f16(float v)
{
    const uint32_t u = bits_of(v), a = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);

    if (a > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (a >= 0x477ff000)                        /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000) {                       /* subnormal: adding 0.5 rounds at 2^-24 */
        const float r = float_of(a) + 0.5f;
        return (uint16_t)(sign | (bits_of(r) - bits_of(0.5f)));
    }
    return (uint16_t)(sign | (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13);
}

float
pf_f8_to_f32(uint8_t v)
{
    const uint32_t sign = (uint32_t)(v & 0x80) << 24, e = v >> 3 & 15, m = v & 7;

    if ((v & 0x7f) == 0x7f)
        return float_of(sign | 0x7fc00000);
    if (e == 0) {                               /* zero and subnormals: m * 2^-9, exact */
        const float a = (float)m * 0x1p-9f;
        return float_of(sign | bits_of(a));
    }
    return float_of(sign | (e + 120) << 23 | m << 20);
}

uint8_t
pf_f32_to_f8(float v)
{
    const uint32_t u = bits_of(v), a = u & 0x7fffffff;
    const uint8_t sign = (uint8_t)(u >> 24 & 0x80);

    if (a > 0x7f800000)
        return 0x7f;
    if (a >= 0x43e00000)                        /* 448 and up */
        return (uint8_t)(sign | 0x7e);
    if (a < 0x3c800000) {                       /* subnormal: adding 2^14 rounds at 2^-9 */
        const float r = float_of(a) + 0x1p14f;
        return (uint8_t)(sign | (bits_of(r) - bits_of(0x1p14f)));
    }
    return (uint8_t)(sign | (a - 0x3c000000 + 0x7ffff + (a >> 20 & 1)) >> 20);
}

float
pf_f8_scale(float largest)
{
    int e;
    if (largest == 0)
        return 1;
    const int k = frexpf(largest, &e) > PF_F8_TOP / 512 ? e - 8 : e - 9;
    return ldexpf(1, k < PF_F8_SCALE_MIN ? PF_F8_SCALE_MIN
                     : k > PF_F8_SCALE_MAX ? PF_F8_SCALE_MAX : k);
}

#define CONVERT_FROM(type)                              \
    {                                                   \
        const type *p = from;                           \
        for (int64_t i = 0; i < n; i++)                 \
            to[i] = (float)p[i];                        \
    }                                                   \
    break

static void
to_f32(float *to, const void *from, pf_dtype dtype, int64_t n)
{
    switch (dtype) {
    case PF_F32:
        memcpy(to, from, (size_t)n * sizeof *to);
        break;
    case PF_F16:
        for (int64_t i = 0; i < n; i++)
            to[i] = pf_f16_to_f32(((const uint16_t *)from)[i]);
        break;
    case PF_BF16:
        for (int64_t i = 0; i < n; i++)
            to[i] = pf_bf16_to_f32(((const uint16_t *)from)[i]);
        break;
    case PF_F8:
        for (int64_t i = 0; i < n; i++)
            to[i] = pf_f8_to_f32(((const uint8_t *)from)[i]);
        break;
    case PF_BOOL:
        for (int64_t i = 0; i < n; i++)
            to[i] = ((const uint8_t *)from)[i] != 0;
        break;
    case PF_F64: CONVERT_FROM(double);
    case PF_U8:  CONVERT_FROM(uint8_t);
    case PF_I8:  CONVERT_FROM(int8_t);
    case PF_U16: CONVERT_FROM(uint16_t);
    case PF_I16: CONVERT_FROM(int16_t);
    case PF_U32: CONVERT_FROM(uint32_t);
    case PF_I32: CONVERT_FROM(int32_t);
    case PF_U64: CONVERT_FROM(uint64_t);
    case PF_I64: CONVERT_FROM(int64_t);
    default: pf_bug("conversion from dtype %d", (int)dtype);
    }
}

void
pf_to_f32(float *to, const void *from, pf_dtype dtype, int64_t n)
{
    const int64_t piece = 1 << 16, size = (int64_t)pf_dtype_size(dtype);
    if (n <= 2 * piece) {               // even a team of one costs a microsecond
        to_f32(to, from, dtype, n);
        return;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < n; i += piece)
        to_f32(to + i, (const char *)from + i * size, dtype, n - i < piece ? n - i : piece);
}

void
pf_from_f32(void *to, const float *from, pf_dtype dtype, int64_t n)
{
    switch (dtype) {
    case PF_F32:
        memcpy(to, from, (size_t)n * sizeof *from);
        break;
    case PF_F16:
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)to)[i] = pf_f32_to_f16(from[i]);
        break;
    case PF_BF16:
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)to)[i] = pf_f32_to_bf16(from[i]);
        break;
    case PF_F8:
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)to)[i] = pf_f32_to_f8(from[i]);
        break;
    case PF_F64:
        for (int64_t i = 0; i < n; i++)
            ((double *)to)[i] = from[i];
        break;
    default: pf_bug("conversion to %s", pf_dtype_name(dtype));
    }
}

/* The bits of an exponent that only NaN and infinity have all of. */
static uint64_t
exponent_bits(pf_dtype dtype)
{
    switch (dtype) {
    case PF_F16: return 0x7c00;
    case PF_BF16: return 0x7f80;
    case PF_F32: return 0x7f800000;
    case PF_F64: return UINT64_C(0x7ff0000000000000);
    default: return 0;                          // no float: finite
    }
}

/* Define NAME: how many of n elements of this unsigned type have all bits of the mask.  A piece is
 * counted in the type itself, which takes as many numbers at a time as fit a vector. */
#define COUNT_MASKED(NAME, TYPE)                                                        \
    static int64_t                                                                      \
    NAME(const void *data, int64_t n, uint64_t mask)                                    \
    {                                                                                   \
        enum { PIECE = 1 << 15 };                                                       \
        const TYPE *const p = data, m = (TYPE)mask;                                     \
        int64_t bad = 0;                                                                \
        _Pragma("omp parallel for reduction(+ : bad) if (n > 2 * PIECE)")               \
        for (int64_t i = 0; i < n; i += PIECE) {                                        \
            const int64_t end = n - i < PIECE ? n : i + PIECE;                          \
            TYPE some = 0;                                                              \
            _Pragma("omp simd reduction(+ : some)")                                     \
            for (int64_t k = i; k < end; k++)                                           \
                some = (TYPE)(some + ((p[k] & m) == m));                                \
            bad += (int64_t)some;                                                       \
        }                                                                               \
        return bad;                                                                     \
    }
COUNT_MASKED(count16, uint16_t)
COUNT_MASKED(count32, uint32_t)
COUNT_MASKED(count64, uint64_t)

int64_t
pf_count_odd(const void *data, pf_dtype dtype, int64_t n)
{
    const uint64_t mask = exponent_bits(dtype);
    switch (mask ? pf_dtype_size(dtype) : 0) {
    case 2: return count16(data, n, mask);
    case 4: return count32(data, n, mask);
    case 8: return count64(data, n, mask);
    default: return 0;
    }
}
