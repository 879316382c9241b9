// WTAL_INLINE: a function of csrc/core, compiled for the CPU and, by nvcc, for the GPU too.
// `static`: each object file keeps its own copy, so the linker never swaps code compiled for one instruction set into
// another.
#pragma once

#ifdef __CUDACC__
#define WTAL_INLINE static __host__ __device__ __forceinline__
#else
#define WTAL_INLINE [[maybe_unused]] static inline
#endif
