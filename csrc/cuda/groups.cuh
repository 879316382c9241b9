// Where each group of ranked segments begins.
#pragma once

#include "cuda/rank.cuh"
#include "cuda/sums.cuh"

namespace wtal {

struct Groups {
  const int64_t* begins;  // [count + 1] the first of each group, then where the last one ends
  const int64_t* number;  // how many groups
};

__device__ inline bool is_first_of_group(const int64_t* groups, int64_t i) { return i == 0 || groups[i] != groups[i - 1]; }

static __global__ void __launch_bounds__(kElementThreads) mark_firsts_kernel(const Ranked ranked, int64_t* places) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i < ranked.count) places[i] = is_first_of_group(ranked.groups, i);
}

static __global__ void __launch_bounds__(kElementThreads)
    group_begins_kernel(const Ranked ranked, const int64_t* places, int64_t* begins, int64_t* number) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i >= ranked.count) return;
  if (is_first_of_group(ranked.groups, i)) begins[places[i] - 1] = i;
  if (i == ranked.count - 1) {
    begins[places[i]] = ranked.count;
    *number = places[i];
  }
}

template <typename Sequence>
Groups find_groups(Sequence& sequence, const Ranked& ranked) {
  int64_t *places = sequence.template scratch<int64_t>(ranked.count),
          *begins = sequence.template scratch<int64_t>(ranked.count + 1),
          *number = sequence.template scratch<int64_t>(1);
  const int64_t blocks = element_blocks(ranked.count);
  sequence.launch(mark_firsts_kernel, blocks, kElementThreads, ranked, places);
  add_up(sequence, places, ranked.count);
  sequence.launch(group_begins_kernel, blocks, kElementThreads, ranked, static_cast<const int64_t*>(places), begins, number);
  return {begins, number};
}

}  // namespace wtal
