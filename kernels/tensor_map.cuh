/* tensor_map.cuh - descriptions of tensors by which the copy engine (TMA) brings boxes of 16-bit
 * and E4M3 numbers: for conv_hopper.cu and linear_geglu.cu.
 *
 *     if (pf_tensor_maps_encoder())                   // this driver has them
 *         PF_TRY(pf_tensor_map(&map, PF_BF16, x, n, dim, stride, box, step));
 *     pf_bring_box(address, &map, &barrier, ...);     // ptx.cuh; maps are arguments of kernels */
#ifndef PF_TENSOR_MAP_CUH
#define PF_TENSOR_MAP_CUH
#include <cuda.h>

#include "kernels/cuda.cuh"

typedef CUresult pf_encode_tiled(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                 const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                 const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                 CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's function that makes maps, asked for at run time so that nothing links with the
 * driver; NULL: it has none. */
static inline pf_encode_tiled *
pf_tensor_maps_encoder(void)
{
    static void *found;
    cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    if (!found && (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                    cudaEnableDefault, &result) != cudaSuccess ||
                   result != cudaDriverEntryPointSuccess))
        found = NULL;
#else
    if (!found && (cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault,
                                           &result) != cudaSuccess ||
                   result != cudaDriverEntryPointSuccess))
        found = NULL;
#endif
    return (pf_encode_tiled *)found;
}

/* A map of a tensor of n axes, fastest first; stride: n - 1 numbers, bytes from one index of axis
 * 1, 2, ... to the next; a box of it is copied, every step-th number.  Lines of 128 bytes arrive as
 * pf_group_operand() wants them, zeros where the box reaches over an edge. */
static inline pf_err
pf_tensor_map(CUtensorMap *map, pf_dtype type, const void *data, int n, const cuuint64_t *dim,
              const cuuint64_t *stride, const cuuint32_t *box, const cuuint32_t *step)
{
    const CUtensorMapDataType number = type == PF_F8    ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                       : type == PF_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                        : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const CUresult e = pf_tensor_maps_encoder()(
        map, number, (cuuint32_t)n, (void *)data, dim, stride, box, step,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (e != CUDA_SUCCESS)
        return pf_fail(PF_EDEV, "the driver refuses a tensor map, error %d", (int)e);
    return PF_OK;
}

#endif
