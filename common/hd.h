/* hd.h - how a function says where it runs, so that one text serves a CPU and a GPU: the common
 * subset of C and CUDA C++.
 *
 *     static inline PF_HD int f(void)          for both: the host's code and a kernel's
 *     PF_HD_FN int f(void)                     as well, and always inline in a kernel
 *     PF_FN int f(void)                        for a kernel alone; in a C file for the host */
#ifndef PF_HD_H
#define PF_HD_H

#ifdef __CUDACC__
#define PF_HD __host__ __device__
#define PF_HD_FN static __host__ __device__ __forceinline__
#define PF_FN static __device__ __forceinline__
#define PF_UNROLL _Pragma("unroll")
#else
#define PF_HD
#define PF_HD_FN static inline __attribute__((unused))
#define PF_FN static inline __attribute__((unused))
#define PF_UNROLL
#endif

#endif
