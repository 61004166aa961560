/* attention.cuh - what attention.cu and attention_hopper.cu share: a call's sizes, and which
 * tiles of keys a block of queries walks over.  Private to these two, so names are short. */
#ifndef PF_ATTENTION_CUH
#define PF_ATTENTION_CUH
#include "kernels/cuda.cuh"

enum { WORD = 32 };             /* keys in a word of the mask */

struct attention_sizes {
    const uint32_t *mask;       // [masks, tokens, words], or NULL
    const uint32_t *lists;      // [min(B, masks), blocks, 1 + tiles] of survey(), or NULL
    const int *order;           // [tokens] of survey(): the token that the mask calls i, or NULL
    int side;                   // of strips, or 0
    int tokens, queries, heads, d, masks, words;
    int blocks, tiles;          // blocks of queries, tiles of keys
    // times log2 e: scores are in units of ln 2; f32: any, else positive
    float scale;
    bool negative;              // 16 bits: the queries change their signs instead
    bool sixteen, pairs;        // rows of heads are aligned to 16 bytes; to two numbers, in y
};

template <typename T> struct call : attention_sizes {
    T *y;                       // [B, queries, E], E = heads * d
    const T *qkv;               // [B, tokens, 3E]
};

/* Fill in what depends on the kernel's blocks, and find the tiles that are alive.  A block has
 * `groups` (4 at most) of `rows` queries, and of them `columns` columns of a head; a tile has
 * `keys`.  Returns in *grid how many blocks there are.  attention.cu. */
pf_err pf_attention_survey(pf_dev *dev, struct attention_sizes *s, int64_t B, int rows, int groups,
                           int keys, int columns, unsigned *grid) PF_MUST_USE;

/* attention_hopper.cu: does it do such heads, on this card?  Then do it. */
bool pf_attention_hopper_takes(const struct attention_sizes *s);
pf_err pf_attention_hopper(pf_dev *dev, const call<__half> &j, int64_t B) PF_MUST_USE;
pf_err pf_attention_hopper(pf_dev *dev, const call<__nv_bfloat16> &j, int64_t B) PF_MUST_USE;

namespace {

/* What block i works on.  Neighbours share keys: queries are the fastest axis. */
struct job {
    int64_t b, mask;            // element of the batch, and its mask
    int head, q0, column;       // first query; first column of the output within the head
    const uint32_t *list;
};

}

static __device__ __forceinline__ job
job_of(const attention_sizes &s, unsigned i, int queries, int columns)
{
    const int slices = (s.d + columns - 1) / columns;
    const int block = i % s.blocks;
    i /= s.blocks;
    const int slice = i % slices;
    i /= slices;
    const unsigned b = i / s.heads, m = s.mask ? b % s.masks : 0;
    const uint32_t *const list =
        s.lists ? s.lists + ((int64_t)m * s.blocks + block) * (1 + s.tiles) : nullptr;
    return {b, m, (int)(i % s.heads), block * queries, slice * columns, list};
}

/* A tile of keys in one register: its number << 16 | all << 8 | some, a bit for each group of
 * queries that sees all and some of it. */
enum { NUMBER = 16, ALL = 8, EVERYONE = 0xff };

template <int KEYS> static __device__ __forceinline__ uint32_t
tile_at(const attention_sizes &s, const uint32_t *list, int i)
{
    if (list)
        return list[1 + i];
    return (uint32_t)i << NUMBER | (i * KEYS + KEYS <= s.tokens ? EVERYONE << ALL : 0) | EVERYONE;
}

static __device__ __forceinline__ int
number_of(uint32_t tile)
{
    return tile >> NUMBER;
}

static __device__ __forceinline__ bool
seen_by(uint32_t tile, int group)
{
    return tile >> group & 1;
}

static __device__ __forceinline__ bool
all_seen_by(uint32_t tile, int group)
{
    return tile >> ALL >> group & 1;
}

static __device__ __forceinline__ int
tiles_in(const attention_sizes &s, const uint32_t *list)
{
    return list ? (int)list[0] : s.tiles;
}

/* Bits of word w that stand for keys: the last word may be short, and a tile may go beyond it. */
static __device__ __forceinline__ uint32_t
keys_in(int tokens, int w)
{
    const int left = tokens - w * WORD;
    return left >= WORD ? ~0u : left > 0 ? (1u << left) - 1 : 0;
}

/* 2^x to 2 ulp; 0 below 2^-126. */
static __device__ __forceinline__ float
power(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Two numbers in a register, the first in the low half. */
static __device__ __forceinline__ uint32_t
packed(float a, float b, __half)
{
    const __half2 v = __floats2half2_rn(a, b);
    return *(const uint32_t *)&v;
}

static __device__ __forceinline__ uint32_t
packed(float a, float b, __nv_bfloat16)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
    return *(const uint32_t *)&v;
}

#endif
