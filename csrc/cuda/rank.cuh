// Brings segments into the order in which they are taken, on the device.
#pragma once

#include "core/ordered_key.h"
#include "cuda/ranked.h"

namespace wtal {

constexpr int kElementThreads = 256;  // of kernels with a thread an element

inline int64_t element_blocks(int64_t count) { return (count + kElementThreads - 1) / kElementThreads; }

// The class of group = video * classes + class, in 0..classes-1 whatever the group is.
WTAL_INLINE int64_t class_of(int64_t group, int64_t classes) {
  const int64_t rest = group % classes;
  return rest < 0 ? rest + classes : rest;
}

struct Unranked {
  const double* segments;  // [count, 2] start and end
  const double* scores;    // [count], or null: they keep their order
  const int64_t* groups;   // [count]
  int64_t count;
  int64_t classes;      // ranked by class_of(group, classes), or by group where this is 0
  int64_t least_group;  // lower ones are refused
  int64_t* refused;     // becomes 1 where numbers are not finite, a segment ends before it starts, or a group is too low
};

__device__ inline bool is_number(double value) { return value - value == 0; }

static __global__ void __launch_bounds__(kElementThreads) rank_keys_kernel(const Unranked op, RankKey* keys, int64_t* order) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i >= op.count) return;
  const double start = op.segments[2 * i], end = op.segments[2 * i + 1], score = op.scores ? op.scores[i] : 0;
  if (!(is_number(start) && is_number(end) && is_number(score) && end >= start && op.groups[i] >= op.least_group))
    *op.refused = 1;
  keys[i].group = op.classes ? class_of(op.groups[i], op.classes) : op.groups[i];
  keys[i].score = to_key<double>(bit_copy<int64_t>(score), false);
  order[i] = i;
}

static __global__ void __launch_bounds__(kElementThreads)
    gather_ranked_kernel(const Unranked op, const RankKey* keys, const int64_t* order, int64_t* groups, double* starts,
                         double* ends) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i >= op.count) return;
  groups[i] = keys[i].group;
  starts[i] = op.segments[2 * order[i]];
  ends[i] = op.segments[2 * order[i] + 1];
}

template <typename Sequence>
Ranked rank(Sequence& sequence, const Unranked& op) {
  RankKey* keys = sequence.template scratch<RankKey>(op.count);
  int64_t *order = sequence.template scratch<int64_t>(op.count), *groups = sequence.template scratch<int64_t>(op.count);
  double *starts = sequence.template scratch<double>(op.count), *ends = sequence.template scratch<double>(op.count);
  const int64_t blocks = element_blocks(op.count);
  sequence.launch(rank_keys_kernel, blocks, kElementThreads, op, keys, order);
  sequence.sort(keys, order, op.count);
  sequence.launch(gather_ranked_kernel, blocks, kElementThreads, op, static_cast<const RankKey*>(keys),
                  static_cast<const int64_t*>(order), groups, starts, ends);
  return {op.count, groups, order, starts, ends};
}

}  // namespace wtal
