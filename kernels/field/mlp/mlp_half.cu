/* mlp_half.cu - training of the original's field on a GPU in halves: mlp.cu and mlp_backward.cu
 * with every array of the tape in f16, products by the tensor cores (half_product.cuh), and what
 * stands between two products in the epilogue of the first.
 *
 * Weights, gradients, sums, and all that has three columns stay f32.  A half's 11 bits are tf32's;
 * its range is not, so cotangents are PF_HALF_SCALE times too large until they are gradients, and
 * what is beyond 65504 is that.  The slope of softplus is not kept: it is 1 - exp(-100 x) of what
 * softplus gave.
 *
 * Widths are rounded up to 64 and what is beyond is 0.  The last layer of the distance has its
 * features first and the distance behind them, and the colour's first layer likewise takes the
 * features first: so one writes where the other reads, in whole runs of 16 bytes.  turn_out and
 * turn_in of a layer say by how much its rows and columns are turned.
 *
 * A step of configs/neus-mlp.yaml, 380 k points and 460 k distances: 3.5 TFLOP, 3.6 ms at 990
 * TFLOP/s; 46 k halves a point and 4 k a distance are read or written: 39 GB, 8.1 ms at 4.8 TB/s.
 * Seen: 17.3 ms, of which products with their epilogues are 11.7. */
#include "kernels/field/mlp/half_product.cuh"
#include "kernels/field/mlp/mlp.cuh"

namespace {

enum { RUN = half_product::RUN, SUM_SLICES = 1024 };

/* 11 bits and a range of 65504: see above. */
__device__ __forceinline__ uint32_t
halves(float a, float b)
{
    uint32_t r;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
    return r;
}

__device__ __forceinline__ void
write_run(__half *p, const float (&v)[RUN])
{
    *(uint4 *)p = make_uint4(halves(v[0], v[1]), halves(v[2], v[3]), halves(v[4], v[5]),
                             halves(v[6], v[7]));
}

__device__ __forceinline__ __half
half_of(float v)
{
    return __ushort_as_half((unsigned short)halves(v, 0.0f));
}

struct nothing {};
typedef pf_run<__half, RUN> run;

/* Through the read-only path: nothing in this kernel writes there. */
__device__ __forceinline__ run
read_run(const __half *p)
{
    const uint4 u = __ldg((const uint4 *)p);
    run v;
    v.w[0] = u.x, v.w[1] = u.y, v.w[2] = u.z, v.w[3] = u.w;
    return v;
}

/* log(1 + e^(100 z)) / 100 as exactly as a half can hold it. */
__device__ __forceinline__ float
softplus(float z)
{
    return fmaxf(z, 0.0f) + 0.01f * __logf(1.0f + __expf(-fabsf(100.0f * z)));
}

/* Its slope where it gave x; rate: 100, by what x is too large. */
__device__ __forceinline__ float
slope_at(float x, float rate)
{
    return 1.0f - __expf(-rate * x);
}

// ---- what comes after a product ----

/* next [n, N] = scale [softplus(y + b) | code], out columns of the former. */
struct to_next {
    __half *next;
    const float *b;
    const __half *code;         // [n, code_row], of code_width; NULL: none
    int row, out, code_row, code_width;
    float scale;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], held) const
    {
        float bias[RUN];
        pf_read_floats(bias, b + j);
#pragma unroll
        for (int l = 0; l < RUN; l++)
            v[l] = scale * softplus(v[l] + bias[l]);
        for (int l = 0; j + RUN > out && l < RUN; l++) {
            const int past = j + l - out;
            if (past >= 0)
                v[l] = code && past < code_width
                           ? scale * __half2float(code[i * code_row + past]) : 0.0f;
        }
        write_run(next + i * row + j, v);
    }
};

/* The last layer of the distance: features to the colour's input, sdf [points]. */
struct to_features {
    __half *feature;
    float *sdf;
    const float *b;
    int row, features;
    int64_t points;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], held) const
    {
        float bias[RUN];
        if (j > features)
            return;
        pf_read_floats(bias, b + j);
#pragma unroll
        for (int l = 0; l < RUN; l++)
            v[l] += bias[l];
        if (j + RUN <= features) {
            write_run(feature + i * row + j, v);
            return;
        }
#pragma unroll
        for (int l = 0; l < RUN; l++)
            if (j + l < features)
                feature[i * row + j + l] = half_of(v[l]);
            else if (j + l == features && i < points)
                sdf[i] = v[l];
    }
};

/* u of the layer below = its slope times p = scale y; columns beyond out are the encoding's, to
 * extra [n, extra_row]. */
struct to_chain {
    __half *u;
    const __half *x;            // what the layer below gave, like u
    float *extra;               // NULL: no encoding
    int row, out, extra_row, code_width;
    float scale, rate;
    typedef run held;
    __device__ held fetch(int64_t i, int j) const { return read_run(x + i * row + j); }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], const held &h) const
    {
        float given[RUN];
        pf_unpack<__half>(given, h);
        for (int l = 0; j + RUN > out && l < RUN; l++) {
            const int past = j + l - out;
            if (past >= 0 && past < code_width && extra)
                extra[i * extra_row + past] = scale * v[l];
        }
#pragma unroll
        for (int l = 0; l < RUN; l++)
            v[l] *= scale * slope_at(given[l], rate);
        for (int l = 0; j + RUN > out && l < RUN; l++)
            if (j + l >= out)
                v[l] = 0;               /* the slope of an encoding is anything */
        write_run(u + i * row + j, v);
    }
};

/* q [n, row] += y, its first width columns. */
struct to_encoding {
    float *q;
    int row, width;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, const float (&v)[RUN], held) const
    {
#pragma unroll
        for (int l = 0; l < RUN; l++)
            if (j + l < width)
                q[i * row + j + l] += v[l];
    }
};

/* next = max(y + b, 0); a NaN stays one. */
struct to_rectified {
    __half *next;
    const float *b;
    int row, out;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], held) const
    {
        float bias[RUN];
        pf_read_floats(bias, b + j);
#pragma unroll
        for (int l = 0; l < RUN; l++) {
            v[l] += bias[l];
            v[l] = v[l] < 0 ? 0.0f : v[l];
        }
        for (int l = 0; j + RUN > out && l < RUN; l++)
            if (j + l >= out)
                v[l] = 0;
        write_run(next + i * row + j, v);
    }
};

/* z [n, 4] = the first columns, for logistic(). */
struct to_color {
    float *z;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, const float (&v)[RUN], held) const
    {
        if (j == 0)
            *(float4 *)(z + 4 * i) = make_float4(v[0], v[1], v[2], 0);
    }
};

/* z_bar of the colour layer below: y where x is above 0. */
struct to_rectified_bar {
    __half *z_bar;
    const __half *x;
    int row;
    typedef run held;
    __device__ held fetch(int64_t i, int j) const { return read_run(x + i * row + j); }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], const held &h) const
    {
        float given[RUN];
        pf_unpack<__half>(given, h);
#pragma unroll
        for (int l = 0; l < RUN; l++)
            v[l] = given[l] > 0 ? v[l] : 0.0f;
        write_run(z_bar + i * row + j, v);
    }
};

/* Cotangents of the colour's input: features to z_bar of the distance's last layer, the others to
 * rest [n, rest_row]. */
struct to_input_bar {
    __half *z_bar;
    float *rest;
    int row, features, rest_row, rest_width;
    typedef nothing held;
    __device__ held fetch(int64_t, int) const { return {}; }
    __device__ void
    finish(int64_t i, int j, const float (&v)[RUN], held) const
    {
        if (j + RUN <= features) {
            write_run(z_bar + i * row + j, v);
            return;
        }
#pragma unroll
        for (int l = 0; l < RUN; l++) {
            const int past = j + l - features;
            if (past < 0)
                z_bar[i * row + j + l] = half_of(v[l]);
            else if (past < rest_width)
                rest[i * rest_row + past] = v[l];
        }
    }
};

/* Up the gradient's chain: p_bar of the next layer = scale [slope y | q_bar], and what the slope's
 * own slope adds to z_bar. */
struct to_chain_bar {
    __half *p_bar, *z_bar;
    const __half *x, *u;        // what this layer gave, u of it; all [n, row]
    const __half *q_bar;        // [n, code_row]; NULL: no encoding is taken here
    int row, out, code_row, code_width;
    float scale, rate;
    struct held {
        run x, u;
    };
    __device__ held
    fetch(int64_t i, int j) const
    {
        return {read_run(x + i * row + j), read_run(u + i * row + j)};
    }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], const held &h) const
    {
        float given[RUN], own[RUN], second[RUN];
        pf_unpack<__half>(given, h.x);
        pf_unpack<__half>(own, h.u);
#pragma unroll
        for (int l = 0; l < RUN; l++) {
            const float left = __expf(-rate * given[l]);        // 1 - slope
            second[l] = 100.0f * left * own[l] * v[l];
            v[l] *= scale - scale * left;
        }
        for (int l = 0; j + RUN > out && l < RUN; l++) {
            const int past = j + l - out;
            if (past < 0)
                continue;
            second[l] = 0;
            v[l] = q_bar && past < code_width
                       ? scale * __half2float(q_bar[i * code_row + past]) : 0.0f;
        }
        write_run(p_bar + i * row + j, v);
        write_run(z_bar + i * row + j, second);
    }
};

/* z_bar of the layer below += scale slope y. */
struct to_softplus_bar {
    __half *z_bar;
    const __half *x;
    int row, out;
    float scale, rate;
    struct held {
        run x, z_bar;
    };
    __device__ held
    fetch(int64_t i, int j) const
    {
        return {read_run(x + i * row + j), pf_read_run<__half, RUN>(z_bar + i * row + j)};
    }
    __device__ void
    finish(int64_t i, int j, float (&v)[RUN], const held &h) const
    {
        float given[RUN], before[RUN];
        pf_unpack<__half>(given, h.x);
        pf_unpack<__half>(before, h.z_bar);
#pragma unroll
        for (int l = 0; l < RUN; l++)
            v[l] = before[l] + scale * slope_at(given[l], rate) * v[l];
        for (int l = 0; j + RUN > out && l < RUN; l++)
            if (j + l >= out)
                v[l] = 0;
        write_run(z_bar + i * row + j, v);
    }
};

// ---- kernels ----

/* w [N, K] and its transpose, from from [out, pitch(in)]; b [N] from bias [out]. */
__global__ void
halve(__half *w, __half *wt, float *b, const float *from, const float *bias, int64_t N, int64_t K,
      int64_t out, int64_t in, int64_t turn_out, int64_t turn_in)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, o = t / K, c = t % K;
    if (o >= N)
        return;
    const int64_t row = (o + turn_out) % out, column = (c + turn_in) % in;
    const bool inside = o < out && c < in;
    const __half v = half_of(inside ? from[row * pitch(in) + column] : 0.0f);
    w[o * K + c] = v;
    wt[c * N + o] = v;
    if (c == 0)
        b[o] = o < out ? bias[row] : 0.0f;
}

/* code [n, pitch(width)] of x, and the same in halves [n, row]. */
__global__ void
encode_both(float *code, __half *half, int64_t row, int64_t width, const float *x, int64_t points,
            int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / row, j = t % row;
    if (i >= n)
        return;
    const float v = j < width ? pf_mlp_encoded(x + 3 * (i < points ? i : points - 1), j) : 0.0f;
    if (code && j < pitch(width))
        code[i * pitch(width) + j] = v;
    half[t] = half_of(v);
}

/* u [n, row] of the layer below the last: its slope times w, the distance's row. */
__global__ void
chain_first(__half *u, const __half *x, const float *w, int64_t row, int64_t out, int64_t n)
{
    const int64_t t = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) * RUN, j = t % row;
    float v[RUN];
    if (t >= n * row)
        return;
    pf_unpack<__half>(v, read_run(x + t));
    for (int l = 0; l < RUN; l++)
        v[l] = j + l < out ? slope_at(v[l], 100.0f) * w[j + l] : 0.0f;
    write_run(u + t, v);
}

/* sdf [points] = h [points, row] . w + b: a warp a point. */
__global__ void
dot_halves(float *sdf, const __half *h, int64_t row, int64_t width, const float *w, const float *b,
           int64_t points)
{
    const int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    float sum = 0;
    if (i >= points)
        return;
    for (int64_t j = RUN * lane; j < row; j += RUN * PF_WARP) {
        float v[RUN];
        pf_unpack<__half>(v, read_run(h + i * row + j));
        for (int l = 0; l < RUN; l++)
            sum += j + l < width ? v[l] * w[j + l] : 0.0f;
    }
    sum = pf_warp_sum(sum);
    if (lane == 0)
        sdf[i] = sum + b[0];
}

/* Behind the features of the colour's input [n, row]: x, the reflection's encoding, the normal;
 * rest [n, pitch(6 + code)]: the same in f32. */
__global__ void
color_rest(__half *input, float *rest, const float *x, const float *frame, int64_t code,
           int64_t features, int64_t row, int64_t points, int64_t n)
{
    const int64_t width = row - features;
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / width, j = t % width;
    if (i >= n)
        return;
    const float *const point = x + 3 * (i < points ? i : points - 1);
    const float value = j < 6 + code ? pf_mlp_seen(point, frame + 8 * i, code, j) : 0.0f;
    input[i * row + features + j] = half_of(value);
    if (j < pitch(6 + code))
        rest[i * pitch(6 + code) + j] = value;
}

/* z_bar [n, row] of the colour's last layer. */
__global__ void
logistic_bar(__half *z_bar, int64_t row, const float *d_rgb, const float *rgb, int64_t points,
             int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / row, k = t % row;
    if (i >= n)
        return;
    const float c = k < 3 ? rgb[3 * i + k] : 0.0f;
    z_bar[t] = half_of(
        k < 3 && i < points ? PF_HALF_SCALE * d_rgb[3 * i + k] * c * (1 - c) : 0.0f);
}

/* Column `features` of z_bar [n, row] is the distance's, beyond is 0; so is what comes before
 * unless the colour has written it. */
__global__ void
distance_bar(__half *z_bar, int64_t row, const float *d_sdf, int64_t features, int64_t from,
             int64_t points, int64_t n)
{
    const int64_t width = row - from;
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / width;
    const int64_t j = from + t % width;
    if (i >= n)
        return;
    z_bar[i * row + j] =
        half_of(j == features && i < points ? PF_HALF_SCALE * d_sdf[i] : 0.0f);
}

/* p_bar [n, row] of the first layer: how the encoding changes when x moves by g_bar. */
__global__ void
encoding_bar(__half *to, int64_t row, const float *g_bar, const float *code, int64_t width,
             int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / row, j = t % row;
    if (i >= n)
        return;
    const float v = j < width ? pf_mlp_moved(g_bar + 3 * i, code + i * pitch(width), j) : 0.0f;
    to[t] = half_of(v);
}

/* part [SUM_SLICES, row] = sums of x [n, row] over a slice of its rows; blockDim: runs of a row,
 * rows at once. */
__global__ void
sum_slices(float *part, const __half *x, int64_t row, int64_t n)
{
    extern __shared__ float shared[];           // [rows at once, row]
    const int64_t from = n * blockIdx.x / SUM_SLICES, to = n * (blockIdx.x + 1) / SUM_SLICES;
    const int64_t j = threadIdx.x * RUN;
    float sum[RUN] = {};
    for (int64_t i = from + threadIdx.y; i < to; i += blockDim.y) {
        float v[RUN];
        pf_unpack<__half>(v, read_run(x + i * row + j));
        for (int l = 0; l < RUN; l++)
            sum[l] += v[l];
    }
    for (int l = 0; l < RUN; l++)
        shared[threadIdx.y * row + j + l] = sum[l];
    __syncthreads();
    const int64_t mine = threadIdx.y * blockDim.x + threadIdx.x;
    for (int64_t k = mine; k < row; k += blockDim.x * blockDim.y) {
        float all = 0;
        for (unsigned r = 0; r < blockDim.y; r++)
            all += shared[r * row + k];
        part[blockIdx.x * row + k] = all;
    }
}

/* to [row] += the slices' sums, in order; one warp a column. */
__global__ void
add_sums(float *to, const float *part, int64_t row)
{
    const int64_t j = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    float sum = 0;
    if (j >= row)
        return;
    for (int s = lane; s < SUM_SLICES; s += PF_WARP)
        sum += part[s * row + j];
    sum = pf_warp_sum(sum);
    if (lane == 0)
        to[j] += sum;
}

// ---- arrays ----

struct arrays {                 // of n points
    int64_t n;
    __half *x[2 * MAX_LAYERS], *z_bar[2 * MAX_LAYERS];
    __half *u[MAX_LAYERS], *p_bar[MAX_LAYERS];
    float *code, *extra;        // [n, pitch(encoded)]
    float *rest, *rest_bar;     // [n, pitch(6 + color_encoded)]
    float *frame, *rgb, *z, *g_bar;             // [n, 8] [n, 3] [n, 4] [n, 3]
};

char *
take(char **at, int64_t bytes)
{
    char *const p = *at;
    *at += (bytes + 255) / 256 * 256;
    return p;
}

__half *
take_halves(char **at, int64_t numbers)
{
    return (__half *)take(at, numbers * (int64_t)sizeof(__half));
}

float *
take_floats(char **at, int64_t numbers)
{
    return (float *)take(at, numbers * (int64_t)sizeof(float));
}

/* Places from base on; the bytes of all. */
size_t
lay_out(struct arrays *a, const struct mlp_cuda *c, char *base, int64_t n)
{
    const struct mlp *const m = host_of(c);
    char *at = base;
    a->n = n;
    for (int i = 0; i < matrices(m); i++) {
        const struct mlp_half *const h = &c->layer[i].half;
        a->x[i] = take_halves(&at, n * h->K);
        a->z_bar[i] = take_halves(&at, n * h->N);
        if (i >= m->sdf_layers)
            continue;
        a->u[i] = take_halves(&at, i + 1 < m->sdf_layers ? n * h->N : 0);
        a->p_bar[i] = take_halves(&at, n * h->K);
    }
    a->code = take_floats(&at, n * pitch(m->encoded));
    a->extra = take_floats(&at, n * pitch(m->encoded));
    a->rest = take_floats(&at, n * pitch(6 + m->color_encoded));
    a->rest_bar = take_floats(&at, n * pitch(6 + m->color_encoded));
    a->frame = take_floats(&at, n * 8);
    a->rgb = take_floats(&at, n * 3);
    a->z = take_floats(&at, n * 4);
    a->g_bar = take_floats(&at, n * 3);
    return (size_t)(at - base);
}

int64_t
rows_for(int64_t points)
{
    const int64_t n = pf_mlp_cuda_rounded(points);
    return n < half_product::BM ? half_product::BM : n;
}

pf_err
reserve(struct mlp_cuda *c, struct arrays *a, int64_t points)
{
    const int64_t n = rows_for(points);
    PF_TRY(pf_cuda_reserve(&c->tape, lay_out(a, c, NULL, n), "activations"));
    lay_out(a, c, pf_cuda_data<char>(&c->tape), n);
    return PF_OK;
}

/* y = x w^T and y = z w, and what comes after. */
template <typename E> pf_err
forward(struct mlp_cuda *c, int i, const __half *x, int64_t n, const E &e)
{
    const struct mlp_half *const h = &c->layer[i].half;
    return half_product::run(c->net.dev, x, h->w, n, h->N, h->K, e);
}

template <typename E> pf_err
backward(struct mlp_cuda *c, int i, const __half *z, int64_t n, const E &e)
{
    const struct mlp_half *const h = &c->layer[i].half;
    return half_product::run(c->net.dev, z, h->wt, n, h->K, h->N, e);
}

float
scale_of(const struct mlp *m, int l)
{
    return l == m->skip ? PF_ROOT_HALF : 1.0f;
}

pf_err
encode(struct mlp_cuda *c, float *code, __half *half, const float *x, int64_t points, int64_t n)
{
    const int64_t row = c->layer[0].half.K;
    encode_both<<<pf_blocks(n * row, 256), 256, 0, stream_of(c)>>>(
        code, half, row, host_of(c)->encoded, x, points, n);
    return pf_launched(c->net.dev, "encoding");
}

/* The input of layer l + 1 from that of layer l. */
pf_err
next_input(struct mlp_cuda *c, int l, __half *next, const __half *x, const __half *code, int64_t n)
{
    const struct mlp *const m = host_of(c);
    const struct mlp_half *const h = &c->layer[l].half;
    return forward(c, l, x, n,
                   to_next{next, h->b, l + 1 == m->skip ? code : NULL, (int)h->N,
                           (int)m->sdf[l].out, (int)c->layer[0].half.K, (int)m->encoded,
                           scale_of(m, l + 1)});
}

// ---- forward ----

pf_err
sdf_gradient(struct mlp_cuda *c, const struct arrays *a, float *grad, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    const int64_t row = c->layer[L].half.K;
    const int code = (int)pitch(m->encoded), width = (int)m->encoded;
    chain_first<<<pf_blocks(a->n * row / RUN, 256), 256, 0, stream_of(c)>>>(
        a->u[L - 1], a->x[L], c->layer[L].w, row, m->sdf[L - 1].out, a->n);
    PF_TRY(pf_launched(c->net.dev, "gradient of the distance"));
    for (int l = L - 1; l > 0; l--) {
        const float scale = scale_of(m, l);
        PF_TRY(backward(c, l, a->u[l], a->n,
                        to_chain{a->u[l - 1], a->x[l], l == m->skip ? a->extra : NULL,
                                 (int)c->layer[l].half.K, (int)m->sdf[l - 1].out, code, width,
                                 scale, 100 / scale}));
    }
    PF_TRY(backward(c, 0, a->u[0], a->n, to_encoding{a->extra, code, width}));
    return pf_mlp_cuda_space_gradient(c, grad, a->extra, a->code, points);
}

pf_err
color_forward(struct mlp_cuda *c, const struct arrays *a, float *rgb, const float *x,
              const float *dir, const float *grad, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int S = m->sdf_layers, C = m->color_layers - 1;
    const int64_t row = c->layer[S].half.K;
    PF_TRY(pf_mlp_cuda_frame(c, a->frame, grad, dir, points, a->n));
    color_rest<<<pf_blocks(a->n * (row - m->feature), 256), 256, 0, stream_of(c)>>>(
        a->x[S], a->rest, x, a->frame, m->color_encoded, m->feature, row, points, a->n);
    PF_TRY(pf_launched(c->net.dev, "input of the colour"));
    for (int i = 0; i < C; i++) {
        const struct mlp_half *const h = &c->layer[S + i].half;
        PF_TRY(forward(c, S + i, a->x[S + i], a->n,
                       to_rectified{a->x[S + i + 1], h->b, (int)h->N, (int)m->color[i].out}));
    }
    PF_TRY(forward(c, S + C, a->x[S + C], a->n, to_color{a->z}));
    return pf_mlp_cuda_logistic(c, a->rgb, rgb, a->z, points, a->n);
}

// ---- backward ----

pf_err
color_backward(struct mlp_cuda *c, const struct arrays *a, const float *d_rgb)
{
    const struct mlp *const m = host_of(c);
    const int S = m->sdf_layers, C = m->color_layers - 1;
    const int64_t row = c->layer[S + C].half.N;
    logistic_bar<<<pf_blocks(a->n * row, 256), 256, 0, stream_of(c)>>>(
        a->z_bar[S + C], row, d_rgb, a->rgb, c->points, a->n);
    PF_TRY(pf_launched(c->net.dev, "colour backward"));
    for (int i = S + C; i > S; i--)
        PF_TRY(backward(c, i, a->z_bar[i], a->n,
                        to_rectified_bar{a->z_bar[i - 1], a->x[i], (int)c->layer[i].half.K}));
    return backward(c, S, a->z_bar[S], a->n,
                    to_input_bar{a->z_bar[S - 1], a->rest_bar, (int)c->layer[S - 1].half.N,
                                 (int)m->feature, (int)pitch(6 + m->color_encoded),
                                 (int)(6 + m->color_encoded)});
}

/* Up the gradient's chain, and down through the distance. */
pf_err
sdf_backward(struct mlp_cuda *c, const struct arrays *a)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    const int64_t K = c->layer[0].half.K;
    encoding_bar<<<pf_blocks(a->n * K, 256), 256, 0, stream_of(c)>>>(a->p_bar[0], K, a->g_bar,
                                                                     a->code, m->encoded, a->n);
    PF_TRY(pf_launched(c->net.dev, "encoding"));
    for (int l = 0; l < L; l++) {
        const float scale = scale_of(m, l + 1);
        PF_TRY(forward(c, l, a->p_bar[l], a->n,
                       to_chain_bar{a->p_bar[l + 1], a->z_bar[l], a->x[l + 1], a->u[l],
                                    l + 1 == m->skip ? a->p_bar[0] : NULL,
                                    (int)c->layer[l].half.N, (int)m->sdf[l].out, (int)K,
                                    (int)m->encoded, scale, 100 / scale}));
    }
    for (int l = L; l > 0; l--) {
        const float scale = scale_of(m, l);
        PF_TRY(backward(c, l, a->z_bar[l], a->n,
                        to_softplus_bar{a->z_bar[l - 1], a->x[l], (int)c->layer[l].half.K,
                                        (int)m->sdf[l - 1].out, scale, 100 / scale}));
    }
    return PF_OK;
}

pf_err
column_sums(struct mlp_cuda *c, float *to, const __half *x, int64_t row, int64_t n)
{
    const int64_t across = row / RUN, at_once = across < 256 ? 256 / across : 1;
    PF_TRY(pf_cuda_reserve(&c->sums, (size_t)(SUM_SLICES * row) * sizeof(float), "sums"));
    float *const part = pf_cuda_data<float>(&c->sums);
    sum_slices<<<SUM_SLICES, dim3((unsigned)across, (unsigned)at_once),
                 (size_t)(at_once * row) * sizeof(float), stream_of(c)>>>(part, x, row, n);
    add_sums<<<pf_blocks(row * PF_WARP, 256), 256, 0, stream_of(c)>>>(to, part, row);
    return pf_launched(c->net.dev, "sums over points");
}

/* Add this tape's share to the gradients of w and b. */
pf_err
layer_gradients(struct mlp_cuda *c, const struct arrays *a, bool color)
{
    const struct mlp *const m = host_of(c);
    const int last = m->sdf_layers - 1;
    pf_dev *const dev = c->net.dev;
    for (int i = 0; i < (color ? matrices(m) : m->sdf_layers); i++) {
        const struct mlp_half *const h = &c->layer[i].half;
        PF_TRY(pf_matmul_halves(dev, h->dw, a->z_bar[i], a->x[i], h->N, h->K, a->n));
        if (i < last)
            PF_TRY(pf_matmul_halves(dev, h->dw, a->u[i], a->p_bar[i], h->N, h->K, a->n));
        if (i == last)                          // u is 1 for the distance, else 0
            PF_TRY(column_sums(c, h->dw + m->feature * h->K, a->p_bar[i], h->K, a->n));
        PF_TRY(column_sums(c, h->d_b, a->z_bar[i], h->N, a->n));
    }
    return PF_OK;
}

}

// ---- for mlp.cu ----

static int64_t
padded(int64_t width)
{
    return (width + 63) / 64 * 64;
}

pf_err
pf_mlp_half_new(struct mlp_cuda *c)
{
    struct mlp *const m = (struct mlp *)c->net.host;
    int64_t weights = 0, rows = 0;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        struct mlp_half *const h = &c->layer[i].half;
        h->K = padded(a->in);
        h->N = i + 1 < m->sdf_layers ? padded(a[1].in) : padded(a->out);
        h->turn_out = i == m->sdf_layers - 1 ? 1 : 0;
        h->turn_in = i == m->sdf_layers ? a->in - m->feature : 0;
        weights += h->K * h->N;
        rows += h->N;
    }
    c->half_gradients = (size_t)(weights + rows) * sizeof(float);
    PF_TRY(pf_cuda_reserve(&c->halves,
                           (size_t)weights * 2 * sizeof(__half) + (size_t)rows * sizeof(float) +
                               c->half_gradients,
                           "a field's weights"));
    float *f = pf_cuda_data<float>(&c->halves);
    __half *h16 = (__half *)(f + weights + 2 * rows);
    for (int i = 0; i < matrices(m); i++) {     // rows of 64 numbers keep all on 128 bytes
        struct mlp_half *const h = &c->layer[i].half;
        h->dw = f;
        f += h->N * h->K;
        h->w = h16;
        h->wt = h16 + h->N * h->K;
        h16 += 2 * h->N * h->K;
    }
    for (int i = 0; i < matrices(m); i++) {
        struct mlp_half *const h = &c->layer[i].half;
        h->d_b = f;
        h->b = f + rows;
        f += h->N;
    }
    return PF_OK;
}

pf_err
pf_mlp_half_changed(struct mlp_cuda *c)
{
    struct mlp *const m = (struct mlp *)c->net.host;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        const struct mlp_layer *const l = &c->layer[i];
        const struct mlp_half *const h = &l->half;
        halve<<<pf_blocks(h->N * h->K, 256), 256, 0, stream_of(c)>>>(
            h->w, h->wt, h->b, l->w, l->b, h->N, h->K, a->out, a->in, h->turn_out, h->turn_in);
        PF_TRY(pf_launched(c->net.dev, "weights in halves"));
    }
    return PF_OK;
}

pf_err
pf_mlp_half_sdf(struct mlp_cuda *c, float *sdf, const float *x, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    const int64_t n = rows_for(points), K = c->layer[0].half.K, widest = c->layer[L].half.K;
    PF_TRY(pf_cuda_reserve(&c->scratch, (size_t)(n * (K + 2 * widest)) * sizeof(__half),
                           "activations"));
    __half *const code = pf_cuda_data<__half>(&c->scratch);
    __half *const turn[2] = {code + n * K, code + n * (K + widest)};
    PF_TRY(encode(c, NULL, code, x, points, n));
    const __half *h = code;
    for (int l = 0; l < L; l++) {
        PF_TRY(next_input(c, l, turn[l % 2], h, code, n));
        h = turn[l % 2];
    }
    dot_halves<<<pf_blocks(points * PF_WARP, 256), 256, 0, stream_of(c)>>>(
        sdf, h, widest, m->sdf[L].in, c->layer[L].w, c->layer[L].b, points);
    return pf_launched(c->net.dev, "distance");
}

pf_err
pf_mlp_half_forward(struct mlp_cuda *c, float *sdf, float *grad, float *rgb, const float *x,
                    const float *dir, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    struct arrays a;
    PF_TRY(reserve(c, &a, points));
    PF_TRY(encode(c, a.code, a.x[0], x, points, a.n));
    for (int l = 0; l < L; l++)
        PF_TRY(next_input(c, l, a.x[l + 1], a.x[l], a.x[0], a.n));
    PF_TRY(forward(c, L, a.x[L], a.n,
                   to_features{a.x[L + 1], sdf, c->layer[L].half.b, (int)c->layer[L + 1].half.K,
                               (int)m->feature, points}));
    PF_TRY(sdf_gradient(c, &a, grad, points));
    return rgb ? color_forward(c, &a, rgb, x, dir, grad, points) : PF_OK;
}

pf_err
pf_mlp_half_backward(struct mlp_cuda *c, const float *d_sdf, const float *d_grad,
                     const float *d_rgb)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    const bool color = d_rgb && c->color;
    const int64_t row = c->layer[L].half.N, from = color ? m->feature : 0;
    struct arrays a;
    PF_TRY(reserve(c, &a, c->points));          // as forward left them
    if (color)
        PF_TRY(color_backward(c, &a, d_rgb));
    PF_TRY(pf_mlp_cuda_frame_backward(c, a.g_bar, d_grad, color ? a.rest_bar : NULL, a.rest,
                                      6 + m->color_encoded, a.frame, PF_HALF_SCALE, a.n));
    distance_bar<<<pf_blocks(a.n * (row - from), 256), 256, 0, stream_of(c)>>>(
        a.z_bar[L], row, d_sdf, m->feature, from, c->points, a.n);
    PF_TRY(pf_launched(c->net.dev, "distance backward"));
    PF_TRY(sdf_backward(c, &a));
    return layer_gradients(c, &a, color);
}
