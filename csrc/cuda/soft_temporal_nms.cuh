// Soft suppression: a block takes a group, finds the best that waits, decays the others, and so on. What a thread
// decays is its own from first to last, in memory: groups of any size.
#pragma once

#include "core/suppress_rules.h"
#include "cuda/block.cuh"
#include "cuda/groups.cuh"
#include "cuda/keep.cuh"

namespace wtal {

constexpr int kSoftWarps = 8;
constexpr int64_t kSoftBlocks = 1 << 16;  // at most; each takes one group after the other

struct SoftSuppression {
  Ranked ranked;
  Groups groups;
  const double* given;  // scores by index
  Decay decay;
  double* waiting;      // [count] score of the i-th ranked, kGone once it is kept or dropped
  int64_t* left;        // [count] index of what each group keeps, in order, then -1
  double* left_scores;  // [count]
};

constexpr double kGone = -1;  // scores that wait are >= min_score >= 0

struct Best {
  double score;
  int64_t index;
};

constexpr Best kNoBest{kGone, INT64_MAX};

__device__ inline Best from_lane_across(Best best, int distance) {
  return {__shfl_xor_sync(kAllLanes, best.score, distance), __shfl_xor_sync(kAllLanes, best.index, distance)};
}

struct BetterOf {
  __device__ Best operator()(Best a, Best b) const { return taken_before(a.score, a.index, b.score, b.index) ? a : b; }
};

// The best of this thread's segments in [first, end) once `kept` is gone and the others have decayed.
template <int kThreads>
__device__ Best decay_own(const SoftSuppression& op, int64_t first, int64_t end, int64_t kept, double kept_start,
                          double kept_end) {
  Best best = kNoBest;
  for (int64_t i = first + threadIdx.x; i < end; i += kThreads) {
    const double score = op.waiting[i];
    if (score == kGone) continue;
    const int64_t index = op.ranked.order[i];
    double now = kGone;
    if (index != kept) {
      const double iou = temporal_iou(op.ranked.starts[i], op.ranked.ends[i], kept_start, kept_end, op.decay.offset);
      now = decayed(score, iou, op.decay);
      if (now < op.decay.min_score) now = kGone;
    }
    if (now != score) op.waiting[i] = now;
    best = BetterOf{}({now, index}, best);
  }
  return best;
}

template <int kWarps>
__global__ void __launch_bounds__(kWarps* kWarp)
    suppress_softly_kernel(const SoftSuppression op, const double* segments) {
  constexpr int kThreads = kWarps * kWarp;
  for (int64_t group = blockIdx.x; group < *op.groups.number; group += gridDim.x) {
    const int64_t first = op.groups.begins[group], end = op.groups.begins[group + 1];
    Best own = kNoBest;
    for (int64_t i = first + threadIdx.x; i < end; i += kThreads) {
      const int64_t index = op.ranked.order[i];
      const double score = op.given[index] < op.decay.min_score ? kGone : op.given[index];
      op.waiting[i] = score;
      own = BetterOf{}({score, index}, own);
    }
    int64_t place = first;
    for (;; ++place) {
      const Best best = combine_all<kWarps>(own, BetterOf{});
      if (!(best.score >= 0)) break;
      if (threadIdx.x == 0) {
        op.left[place] = best.index;
        op.left_scores[place] = best.score;
      }
      own = decay_own<kThreads>(op, first, end, best.index, segments[2 * best.index], segments[2 * best.index + 1]);
    }
    for (place += threadIdx.x; place < end; place += kThreads) op.left[place] = -1;
  }
}

template <int kWarps = kSoftWarps, typename Sequence>
void soft_temporal_nms(Sequence& sequence, const Unranked& op, const Decay& decay, const Kept& kept) {
  SoftSuppression suppression{rank(sequence, op), {}, op.scores, decay};
  suppression.groups = find_groups(sequence, suppression.ranked);
  suppression.waiting = sequence.template scratch<double>(op.count);
  suppression.left = sequence.template scratch<int64_t>(op.count);
  suppression.left_scores = sequence.template scratch<double>(op.count);
  const int64_t blocks = op.count < kSoftBlocks ? op.count : kSoftBlocks;
  sequence.launch(suppress_softly_kernel<kWarps>, blocks, kWarps * kWarp, suppression, op.segments);
  move_to_front(sequence, {op.count, suppression.left, suppression.left_scores}, op.refused, kept);
}

}  // namespace wtal
