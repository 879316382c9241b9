// Average precision of every class and threshold. Matching: a warp takes a group, its lanes are the thresholds, since
// what is claimed at one threshold does not depend on the others. Areas: a block takes a class and threshold.
#pragma once

#include <cmath>

#include "core/match_rules.h"
#include "core/tiou.h"
#include "cuda/block.cuh"
#include "cuda/groups.cuh"

namespace wtal {

constexpr int kMatchWarps = 4;
constexpr int kAreaWarps = 16;

// The first in [first, end) for which `below` no longer holds; it holds up to there and nowhere after.
template <typename Below>
__device__ int64_t first_not(int64_t first, int64_t end, Below below) {
  while (first < end) {
    const int64_t middle = first + (end - first) / 2;
    if (below(middle))
      first = middle + 1;
    else
      end = middle;
  }
  return first;
}

// The first of the ranked segments whose group is not below `group`, the first whose group is above it.
struct Span {
  int64_t first, end;
};

__device__ inline Span span_of_group(const Ranked& ranked, int64_t group) {
  const int64_t first = first_not(0, ranked.count, [&](int64_t i) { return ranked.groups[i] < group; });
  return {first, first_not(first, ranked.count, [&](int64_t i) { return ranked.groups[i] == group; })};
}

struct Matching {
  Ranked preds, instances;  // by group
  const double* thresholds;
  int64_t levels, words;  // words: of 32 thresholds each
  uint8_t* claimed;       // [instances, levels] 0 at first
  unsigned* hits;         // [preds, words] by index, 0 at first; bit: the prediction claims an instance there
};

struct Segment {
  double start, end;
};

// The instance that `pred` claims at `threshold`, the lane's own, or -1. Each lane computes every 32nd overlap.
__device__ inline int64_t claim(const Matching& op, const Segment& pred, const Span& instances, int64_t level,
                                double threshold, double least) {
  const int lane = threadIdx.x % kWarp;
  int64_t best = -1;
  double best_iou = 0;
  for (int64_t base = instances.first; base < instances.end; base += kWarp) {
    const bool present = base + lane < instances.end;
    const int64_t own = present ? base + lane : base;
    const double own_iou = temporal_iou(op.instances.starts[own], op.instances.ends[own], pred.start, pred.end);
    unsigned reached = __ballot_sync(kAllLanes, present && own_iou >= least);
    for (; reached; reached &= reached - 1) {
      const int from = __ffs(int(reached)) - 1;
      const double iou = __shfl_sync(kAllLanes, own_iou, from);
      const int64_t instance = base + from;
      if (iou >= threshold && (best < 0 || offered_before(iou, instance, best_iou, best)) &&
          !op.claimed[instance * op.levels + level]) {
        best = instance;
        best_iou = iou;
      }
    }
  }
  return best;
}

static __global__ void __launch_bounds__(kMatchWarps* kWarp) match_kernel(const Matching op) {
  const int64_t task = int64_t(blockIdx.x) * kMatchWarps + threadIdx.x / kWarp;
  const int64_t first = task / op.words, word = task % op.words, lane = threadIdx.x % kWarp;
  if (first >= op.instances.count || !is_first_of_group(op.instances.groups, first)) return;
  const int64_t group = op.instances.groups[first];
  const Span instances = span_of_group(op.instances, group), preds = span_of_group(op.preds, group);
  const int64_t level = word * kWarp + lane;
  const double threshold = level < op.levels ? op.thresholds[level] : INFINITY;
  const double least = combine_all<1>(threshold, [](double a, double b) { return a < b ? a : b; });
  for (int64_t i = preds.first; i < preds.end; ++i) {
    const int64_t instance = claim(op, {op.preds.starts[i], op.preds.ends[i]}, instances, level, threshold, least);
    if (instance >= 0) op.claimed[instance * op.levels + level] = 1;
    const unsigned hits = __ballot_sync(kAllLanes, instance >= 0);
    if (lane == 0) op.hits[op.preds.order[i] * op.words + word] = hits;
  }
}

static __global__ void __launch_bounds__(kElementThreads)
    count_instances_kernel(const int64_t* groups, int64_t count, int64_t classes, int64_t* of_class) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i < count) atomicAdd(reinterpret_cast<unsigned long long*>(of_class + class_of(groups[i], classes)), 1ull);
}

struct Areas {
  Ranked preds;  // by class
  const unsigned* hits;
  int64_t levels, words, classes, instances;
  const int64_t* up_to_class;  // [classes] instances of the classes up to this one
  double* precisions;          // [levels, instances]
  const int64_t* refused;      // not 0: all areas are NaN
  double* areas;               // [levels, classes]
};

// Precision at each hit of the predictions of a class, in their order. Returns how many hits there are.
template <int kWarps>
__device__ int64_t precision_at_hits(const Areas& op, const Span& preds, int64_t level, double* precisions) {
  int64_t found = 0;
  for (int64_t base = preds.first; base < preds.end; base += kWarps * kWarp) {
    const int64_t i = base + threadIdx.x;
    const unsigned word = i < preds.end ? op.hits[op.preds.order[i] * op.words + level / kWarp] : 0;
    const int hit = int(word >> level % kWarp & 1);
    int total = 0;
    const int up_to_here = combine_up_to_here<kWarps>(hit, [](int a, int b) { return a + b; }, total);
    if (hit) precisions[found + up_to_here - 1] = double(found + up_to_here) / double(i - preds.first + 1);
    found += total;
  }
  return found;
}

// Each precision becomes the largest from there on, times the step of recall.
template <int kWarps>
__device__ void interpolate(double* precisions, int64_t found, int64_t instances) {
  double largest = 0;
  for (int64_t base = found - 1; base >= 0; base -= kWarps * kWarp) {
    const int64_t i = base - threadIdx.x;
    double total = 0;
    const auto greater = [](double a, double b) { return a > b ? a : b; };
    const double from_here = combine_up_to_here<kWarps>(i >= 0 ? precisions[i] : 0.0, greater, total);
    if (i >= 0) {
      const double step = double(i + 1) / double(instances) - double(i) / double(instances);
      precisions[i] = step * greater(largest, from_here);
    }
    largest = greater(largest, total);
  }
}

template <int kWarps>
__global__ void __launch_bounds__(kWarps* kWarp) areas_kernel(const Areas op) {
  const int64_t label = blockIdx.x % op.classes, level = blockIdx.x / op.classes;
  const int64_t before = label ? op.up_to_class[label - 1] : 0, instances = op.up_to_class[label] - before;
  double* precisions = op.precisions + level * op.instances + before;
  int64_t found = 0;
  if (instances) {
    found = precision_at_hits<kWarps>(op, span_of_group(op.preds, label), level, precisions);
    __syncthreads();
    interpolate<kWarps>(precisions, found, instances);
    __syncthreads();
  }
  if (threadIdx.x > 0) return;
  double area = instances && !*op.refused ? 0 : NAN;
  for (int64_t i = 0; i < found; ++i) area += precisions[i];  // one after the other, as on the CPU
  op.areas[blockIdx.x] = area;
}

static __global__ void __launch_bounds__(kElementThreads)
    check_thresholds_kernel(const double* thresholds, int64_t levels, int64_t* refused) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i < levels && !may_be_reached(thresholds[i])) *refused = 1;
}

// refused: becomes 1 where a segment, score, group or threshold is; what preds and instances have too.
template <int kWarps = kAreaWarps, typename Sequence>
void average_precision(Sequence& sequence, const Unranked& preds, const Unranked& instances, int64_t classes,
                       const double* thresholds, int64_t levels, int64_t* refused, double* areas) {
  sequence.launch(check_thresholds_kernel, element_blocks(levels), kElementThreads, thresholds, levels, refused);
  const int64_t words = (levels + kWarp - 1) / kWarp;
  unsigned* hits = sequence.template zeros<unsigned>(preds.count * words);
  const Matching matching{rank(sequence, preds), rank(sequence, instances), thresholds, levels, words,
                          sequence.template zeros<uint8_t>(instances.count * levels), hits};
  sequence.launch(match_kernel, (instances.count * words + kMatchWarps - 1) / kMatchWarps, kMatchWarps * kWarp, matching);

  int64_t* up_to_class = sequence.template zeros<int64_t>(classes);
  sequence.launch(count_instances_kernel, element_blocks(instances.count), kElementThreads, instances.groups,
                  instances.count, classes, up_to_class);
  add_up(sequence, up_to_class, classes);
  Unranked by_class = preds;
  by_class.classes = classes;
  const Areas op{rank(sequence, by_class), hits, levels, words, classes, instances.count, up_to_class,
                 sequence.template scratch<double>(levels * instances.count), refused, areas};
  sequence.launch(areas_kernel<kWarps>, levels * classes, kWarps * kWarp, op);
}

}  // namespace wtal
