// Moves what a suppression keeps to the front of its outputs.
#pragma once

#include "cuda/rank.cuh"
#include "cuda/sums.cuh"

namespace wtal {

// What is left of the ranked segments: the index of the i-th, -1 where it is dropped, and where scores change, its score.
struct Left {
  int64_t count;
  const int64_t* index;
  const double* scores;  // or null
};

struct Kept {
  int64_t* index;   // [count] those kept, in the same order, then -1
  double* scores;   // [count] then 0; or null
  int64_t* number;  // how many are kept, -1 where a segment is refused
};

static __global__ void __launch_bounds__(kElementThreads) mark_left_kernel(const Left left, int64_t* places) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i < left.count) places[i] = left.index[i] >= 0;
}

static __global__ void __launch_bounds__(kElementThreads)
    move_to_front_kernel(const Left left, const int64_t* places, const int64_t* refused, const Kept kept) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i >= left.count) return;
  const int64_t number = *refused ? 0 : places[left.count - 1];
  if (number && left.index[i] >= 0) {
    kept.index[places[i] - 1] = left.index[i];
    if (kept.scores) kept.scores[places[i] - 1] = left.scores[i];
  }
  if (i >= number) {
    kept.index[i] = -1;
    if (kept.scores) kept.scores[i] = 0;
  }
  if (i == 0) *kept.number = *refused ? -1 : number;
}

// kept.number is left as it is where there is nothing to keep.
template <typename Sequence>
void move_to_front(Sequence& sequence, const Left& left, const int64_t* refused, const Kept& kept) {
  int64_t* places = sequence.template scratch<int64_t>(left.count);
  const int64_t blocks = element_blocks(left.count);
  sequence.launch(mark_left_kernel, blocks, kElementThreads, left, places);
  add_up(sequence, places, left.count);
  sequence.launch(move_to_front_kernel, blocks, kElementThreads, left, static_cast<const int64_t*>(places), refused,
                  kept);
}

}  // namespace wtal
