// Running sums of integers in three kernels: the sum of each tile, the sums before each tile, the sums within.
#pragma once

#include "cuda/block.cuh"

namespace wtal {

constexpr int kSumWarps = 8;
constexpr int kSumThreads = kSumWarps * kWarp;
constexpr int64_t kSumTile = 8 * kSumThreads;

struct Add {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a + b; }
};

template <int kWarps>
__global__ void __launch_bounds__(kWarps* kWarp) tile_sums_kernel(const int64_t* values, int64_t count, int64_t* of_tile) {
  const int64_t first = blockIdx.x * kSumTile;
  int64_t sum = 0;
  for (int64_t i = threadIdx.x; i < kSumTile && first + i < count; i += kWarps * kWarp) sum += values[first + i];
  sum = combine_all<kWarps>(sum, Add{});
  if (threadIdx.x == 0) of_tile[blockIdx.x] = sum;
}

// values[i] becomes the sum of values[first..i] plus `before`; the block works on [first, end).
template <int kWarps>
__device__ int64_t add_up_range(int64_t* values, int64_t first, int64_t end, int64_t before) {
  for (int64_t base = first; base < end; base += kWarps * kWarp) {
    const int64_t i = base + threadIdx.x;
    int64_t total = 0;
    const int64_t sum = combine_up_to_here<kWarps>(i < end ? values[i] : int64_t{0}, Add{}, total);
    if (i < end) values[i] = before + sum;
    before += total;
  }
  return before;
}

template <int kWarps>
__global__ void __launch_bounds__(kWarps* kWarp) add_up_tiles_kernel(int64_t* of_tile, int64_t tiles) {
  add_up_range<kWarps>(of_tile, 0, tiles, 0);
}

template <int kWarps>
__global__ void __launch_bounds__(kWarps* kWarp)
    add_up_within_kernel(int64_t* values, int64_t count, const int64_t* of_tile) {
  const int64_t first = blockIdx.x * kSumTile, end = first + kSumTile < count ? first + kSumTile : count;
  add_up_range<kWarps>(values, first, end, blockIdx.x > 0 ? of_tile[blockIdx.x - 1] : 0);
}

// values[i] becomes the sum of values[0..i].
template <int kWarps = kSumWarps, typename Sequence>
void add_up(Sequence& sequence, int64_t* values, int64_t count) {
  const int64_t tiles = (count + kSumTile - 1) / kSumTile;
  int64_t* of_tile = sequence.template scratch<int64_t>(tiles);
  constexpr int kThreads = kWarps * kWarp;
  sequence.launch(tile_sums_kernel<kWarps>, tiles, kThreads, static_cast<const int64_t*>(values), count, of_tile);
  sequence.launch(add_up_tiles_kernel<kWarps>, tiles > 0, kThreads, of_tile, tiles);
  sequence.launch(add_up_within_kernel<kWarps>, tiles, kThreads, values, count, static_cast<const int64_t*>(of_tile));
}

}  // namespace wtal
