/* fuzz_onnx.c - any bytes as an ONNX model: its weights listed, each of them read.
 *
 *     make fuzz T=onnx SECONDS=600
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/onnx, each whole, cut short at
 * every byte and with single bytes changed, and speaks TAP. */
#include "common/onnx.h"
#include "tests/fuzz/replay.h"

static volatile unsigned char seen;     // so that reading the data is not optimised away

static void
read_data(const struct pf_onnx_tensor *t)
{
    if (!t->varints) {
        if (t->size)
            seen = t->data[0] ^ t->data[t->size - 1];
        return;
    }
    const int64_t n = pf_tensor_count(&t->t);
    void *const to = malloc((size_t)n * pf_dtype_size(t->t.dtype) + 1);
    if (!to || pf_onnx_unpack(to, t->t.dtype, n, t->data, t->size))
        abort();                // they were counted
    free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pf_onnx o;
    if (pf_onnx_parse(&o, bytes, size))
        return 0;
    for (int i = 0; i < o.tensors; i++)
        if (!o.tensor[i].unknown)
            read_data(&o.tensor[i]);
    pf_onnx_release(&o);
    return 0;
}

#ifndef PF_FUZZER
enum { CHANGES = 300 };

/* From a block of exactly that size, so that a sanitizer sees a step too far. */
static void
cut_at(const uint8_t *bytes, size_t n)
{
    uint8_t *const copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void
replay(uint8_t *bytes, size_t size)
{
    for (size_t n = 0; n < size && n < 2000; n++)
        cut_at(bytes, n);
    replay_changed(bytes, size, CHANGES);
}

int
main(int argc, char *argv[])
{
    return replay_files(argc, argv, "tests/data/onnx", replay);
}
#endif
