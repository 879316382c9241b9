// The sort of NVIDIA's CUB: the one part of csrc/cuda that needs a GPU to be tested.
#include <cub/device/device_merge_sort.cuh>

#include "cuda/launch.h"

namespace wtal {

namespace {

struct ComesBefore {
  __device__ bool operator()(const RankKey& a, const RankKey& b) const { return comes_before(a, b); }
};

}  // namespace

void Sequence::sort(RankKey* keys, int64_t* order, int64_t count) {
  if (count < 2) return;
  size_t bytes = 0;
  STD_CUDA_CHECK(cub::DeviceMergeSort::StableSortPairs(nullptr, bytes, keys, order, count, ComesBefore{}, stream_));
  void* memory = scratch<char>(int64_t(bytes));
  STD_CUDA_CHECK(cub::DeviceMergeSort::StableSortPairs(memory, bytes, keys, order, count, ComesBefore{}, stream_));
}

}  // namespace wtal
