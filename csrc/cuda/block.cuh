// What the threads of a block compute together. Every thread of the block takes part in each call, those of one warp
// with one value each, and results are combined in one order: the same bits every time.
#pragma once

#include <cstdint>

namespace wtal {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <typename T>
__device__ T from_lane_across(T value, int distance) {
  return __shfl_xor_sync(kAllLanes, value, distance);
}

// Combines one value of each thread of `kWarps` warps; every thread gets the result. T has at most 16 bytes and
// from_lane_across.
template <int kWarps, typename T, typename Combine>
__device__ T combine_all(T value, Combine combine) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = combine(value, from_lane_across(value, distance));
  if constexpr (kWarps > 1) {
    __shared__ T of_warp[kWarps];
    __syncthreads();  // the values of the call before have been read
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = of_warp[0];
#pragma unroll 4  // all at once, the loads would spill
    for (int warp = 1; warp < kWarps; ++warp) value = combine(value, of_warp[warp]);
  }
  return value;
}

// Combines the values of this thread and all before it; `total` becomes that of the last thread.
template <int kWarps, typename T, typename Combine>
__device__ T combine_up_to_here(T value, Combine combine, T& total) {
  const int lane = threadIdx.x % kWarp;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value = combine(before, value);
  }
  if constexpr (kWarps == 1) {
    total = __shfl_sync(kAllLanes, value, kWarp - 1);
  } else {
    const int own = threadIdx.x / kWarp;
    __shared__ T of_warp[kWarps];
    __syncthreads();  // the values of the call before have been read
    if (lane == kWarp - 1) of_warp[own] = value;
    __syncthreads();
    T all = of_warp[0];
#pragma unroll 4
    for (int warp = 1; warp < kWarps; ++warp) {
      if (warp == own) value = combine(all, value);
      all = combine(all, of_warp[warp]);
    }
    total = all;
  }
  return value;
}

}  // namespace wtal
