/* frustum_sample.cu - pf_frustum_sample on a GPU.
 *
 * Eight lanes make a sample: each finds one of the eight corners and its weight, which the
 * others get by shuffles, and adds up a vector of channels; 64 channels of 16 bits are one for
 * each.  A block makes a tile of 8 columns, 4 rows and 8 depths of one view, depth by depth:
 * neighbours share most of their corners, so that the volume is read from the L1 for the most
 * part.  Coordinates are in double where the result is f32, else f32.  Floors for 16 views of 48
 * x 32 x 32 x 64, S 32, 16 bits: 101 MB written, 4 MB read, 22 us at 4.8 TB/s; from the L1 805
 * MB, 28 us; 50 million numbers of 8 corners, 0.8 GFLOP, with conversions, corners and shuffles
 * about 1.7 G instructions of a lane, 60 us - less what lies outside the volume. */
#include "kernels/vector.cuh"

enum { TEAM = 8, TILE_W = 8, TILE_H = 4, TILE_D = 8, THREADS = TEAM * TILE_W * TILE_H };
enum { MAX_SIDE = 1290 };      /* its cube is an int */

template <typename T> struct exact { using real = float; };
template <> struct exact<float> { using real = double; };

struct frustum {
    const float *unproj;        // [V, 3, 4]
    int64_t D, H, W, C, S;
    int64_t deep, high, wide;   // tiles along D, H, W
    float length, near, far;
};

namespace {

struct corner {
    int voxel;                  // -1: outside
    float weight;
};

}

/* The which-th corner of the cell that p, in voxels x, y, z, lies in. */
template <typename R> static __device__ __forceinline__ corner
corner_of(const R (&p)[3], int which, int S)
{
    R weight = 1;
    int at[3];
    bool here = true;
#pragma unroll
    for (int a = 0; a < 3; a++) {
        const R index = floor(p[a]) + (which >> a & 1);
        // no if p is not a number
        here = here && p[a] > -1 && p[a] < (R)S && index >= 0 && index < (R)S;
        weight *= 1 - fabs(p[a] - index);
        at[a] = (int)index;
    }
    return {here ? (at[2] * S + at[1]) * S + at[0] : -1, (float)weight};
}

/* out = the N channels from c on of volume [S, S, S, C], blended from the corners that the
 * team's lanes hold. */
template <typename T, int N> static __device__ __forceinline__ void
blend(float (&out)[N], const T *volume, int64_t C, int64_t c, const corner &mine)
{
    float voxel[N];
#pragma unroll
    for (int k = 0; k < N; k++)
        out[k] = 0.0f;
#pragma unroll
    for (int i = 0; i < TEAM; i++) {
        const int at = __shfl_sync(PF_WHOLE_WARP, mine.voxel, i, TEAM);
        const float weight = __shfl_sync(PF_WHOLE_WARP, mine.weight, i, TEAM);
        if (at < 0 || c >= C)
            continue;
        pf_read(voxel, volume + at * C + c);
#pragma unroll
        for (int k = 0; k < N; k++)
            out[k] += weight * voxel[k];
    }
}

template <typename T, int N> static __global__ void __launch_bounds__(THREADS, 4)
frustum_sample(T *y, const T *x, struct frustum f)
{
    using R = typename exact<T>::real;
    const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
    int64_t tile = blockIdx.x;
    const int64_t j = tile % f.wide * TILE_W + team % TILE_W,
                  i = (tile /= f.wide) % f.high * TILE_H + team / TILE_W,
                  k0 = (tile /= f.high) % f.deep * TILE_D, v = tile / f.deep;
    const float *const M = f.unproj + v * 12;
    R ray[3], p[3];
#pragma unroll
    for (int a = 0; a < 3; a++)
        ray[a] = M[4 * a] * (R)j + M[4 * a + 1] * (R)i + M[4 * a + 2];
    for (int64_t k = k0; k < k0 + TILE_D && k < f.D; k++) {
        const R z = f.near + ((R)f.far - f.near) * (f.D > 1 ? (R)k / (R)(f.D - 1) : 0);
#pragma unroll
        for (int a = 0; a < 3; a++)
            p[a] = ((ray[a] * z + M[4 * a + 3]) / f.length + 1) * (R)(f.S - 1) / 2;
        const corner mine = corner_of(p, lane, (int)f.S);
        T *const to = y + (((v * f.D + k) * f.H + i) * f.W + j) * f.C;
        // all lanes stay, for the shuffles
        for (int64_t first = 0; first < f.C; first += TEAM * N) {
            const int64_t c = first + lane * N;
            float out[N];
            blend(out, x, f.C, c, mine);
            if (j < f.W && i < f.H && c < f.C)
                pf_write_whole(to + c, out);
        }
    }
}

pf_err
pf_frustum_sample_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *unproj,
                       float length, float near, float far)
{
    const int64_t V = y->dim[0], D = y->dim[1], H = y->dim[2], W = y->dim[3], C = y->dim[4];
    const struct frustum f = {
        (const float *)unproj->data, D, H, W, C, x->dim[1], (D + TILE_D - 1) / TILE_D,
        (H + TILE_H - 1) / TILE_H, (W + TILE_W - 1) / TILE_W, length, near, far};
    const bool wide =
        pf_is_aligned(y->data) && pf_is_aligned(x->data) && C % pf_wide(y->dtype) == 0;
    const unsigned tiles = (unsigned)(V * f.deep * f.high * f.wide);
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (f.S > MAX_SIDE)
        return pf_fail(PF_ESHAPE, "frustum_sample: volumes with more than %d points a side are "
                       "not done on a GPU", MAX_SIDE);
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        frustum_sample<T, N><<<tiles, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, f)));
    return pf_launched(dev, "pf_frustum_sample");
}
