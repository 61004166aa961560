#include "tools/pf-stream/npy.h"

#include <stdlib.h>
#include <string.h>

#include "common/output.h"

static const char *
descriptor(pf_dtype dtype)
{
    static const char *const names[PF_DTYPES] = {
        [PF_F32] = "<f4", [PF_F16] = "<f2", [PF_BF16] = "<f4", [PF_F64] = "<f8", [PF_U8] = "|u1",
        [PF_I8] = "|i1",  [PF_U16] = "<u2", [PF_I16] = "<i2",  [PF_U32] = "<u4", [PF_I32] = "<i4",
        [PF_U64] = "<u8", [PF_I64] = "<i8", [PF_BOOL] = "|b1", [PF_F8] = "<f4",
    };
    return names[dtype];
}

/* Write magic, length, a Python dictionary, spaces and a line feed up to a multiple of 64 bytes. */
static void
write_header(const pf_tensor *t, FILE *to)
{
    char dict[256];
    int n = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                     descriptor(t->dtype));
    for (int i = 0; i < t->ndim; i++)
        n += snprintf(dict + n, sizeof dict - n, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    n += snprintf(dict + n, sizeof dict - n, "%s), }", t->ndim == 1 ? "," : "");
    const int padded = (10 + n + 1 + 63) / 64 * 64 - 10;
    const uint8_t start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(padded & 255),
                               (uint8_t)(padded >> 8)};
    fwrite(start, sizeof start, 1, to);
    fprintf(to, "%-*s\n", padded - 1, dict);
}

pf_err
pf_npy_write(const pf_tensor *t, FILE *to)
{
    const int64_t n = pf_tensor_count(t);
    write_header(t, to);
    if (t->dtype == PF_BF16 || t->dtype == PF_F8) {
        for (int64_t i = 0; i < n; i++) {
            float v;
            pf_to_f32(&v, (const char *)t->data + (size_t)i * pf_dtype_size(t->dtype), t->dtype, 1);
            fwrite(&v, sizeof v, 1, to);
        }
    } else if (n) {
        fwrite(t->data, pf_dtype_size(t->dtype), (size_t)n, to);
    }
    return pf_output_flush(to, "the array");
}
