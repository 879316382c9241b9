// Between branch_combine.cpp (tensors) and isa/branch_combine.cpp (loops). See wtal_fast/ops/branch_combine.py for what
// is computed; tensors are contiguous, those with groups or branches within each of these.
#pragma once

#include "core/ordered_key.h"
#include "cpu/isa.h"

namespace wtal {

struct BranchCombine {
  int64_t groups, videos, time, taps, channels;
  bool official;
  double slope;
  const void* products;    // [groups, videos, time, taps, channels]
  int64_t group_stride;    // numbers from one group of products to the next
  const void* affinity;    // [videos, time, taps] or null for ones
  const void* foreground;  // [videos, time]
};

constexpr int64_t kSnippetsOfAJob = 32;
constexpr int64_t kTilePadding = 16;  // numbers between rows of a tile, or they all fall on the same places of a cache

// Jobs of kSnippetsOfAJob snippets, each video's a whole number.
WTAL_INLINE int64_t jobs_per_video(const BranchCombine& op) {
  return (op.time + kSnippetsOfAJob - 1) / kSnippetsOfAJob;
}

}  // namespace wtal

// Snippets [begin, end) of all videos in a row: out [2, videos, time, channels]; bias [channels] or null.
// Scratch: 2 * channels numbers of the type sums are kept in.
WTAL_PER_ISA(void branch_combine(const BranchCombine& op, NumberType type, int64_t begin, int64_t end, const void* bias,
                                 void* out, void* scratch))

namespace wtal {

struct BranchGradients {
  const void *grad, *out;  // [2, videos, time, channels]
  int64_t grad_stride, out_stride;  // numbers from the first branch to the second
  bool time_last;
  void* products;    // [groups, videos * time, taps * channels], time_last [groups, taps * channels, videos * time]
  void* parts;       // [videos, time, taps, taps] of the type sums are kept in: of each tap to each affinity column
  void* foreground;  // [videos, time]
};

}  // namespace wtal

// Jobs [begin, end); parts, null without affinity, are left as they are for neighbours outside the video.
// Scratch: (3 * kSnippetsOfAJob + 2 * taps) * (channels + kTilePadding) numbers of the type sums are kept in.
WTAL_PER_ISA(void branch_combine_backward(const BranchCombine& op, NumberType type, int64_t begin, int64_t end,
                                          const BranchGradients& gradients, void* scratch))
