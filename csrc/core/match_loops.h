// The loops of average precision, and how average_precision.h reaches them whichever instruction set they were compiled
// for. No library templates here: csrc/cpu/isa/ compiles this once per instruction set.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "core/tiou.h"

namespace wtal {

constexpr int64_t kInstancesAtOnce = 64;  // bits of a word
constexpr int64_t kInstancesSpare = 8;    // readable numbers behind the last instance: vectors are read whole

struct Candidate {
  double iou;
  int64_t instance;
};

// Writes which of `count` instances overlap [start, end] by `lowest` or more, and returns how many.
WTAL_INLINE int64_t find_candidates(const double* __restrict starts, const double* __restrict ends, int64_t count,
                                    double start, double end, double lowest, Candidate* out) {
  Candidate* const begin = out;
  for (int64_t first = 0; first < count; first += kInstancesAtOnce) {
    const int64_t size = count - first < kInstancesAtOnce ? count - first : kInstancesAtOnce;
    uint64_t touching = 0;  // only they can reach a threshold above 0
    for (int64_t i = 0; i < size; i += kInstancesSpare) {
      uint64_t part = 0;
      for (int64_t lane = 0; lane < kInstancesSpare; ++lane) {
        const bool shares = (starts[first + i + lane] < end) & (ends[first + i + lane] > start);
        part |= uint64_t(shares) << lane;
      }
      touching |= part << i;
    }
    if (lowest <= 0) touching = ~uint64_t{0};
    if (size < kInstancesAtOnce) touching &= (uint64_t{1} << size) - 1;
    for (; touching != 0; touching &= touching - 1) {
      const int64_t i = first + __builtin_ctzll(touching);
      const double iou = temporal_iou(starts[i], ends[i], start, end);
      if (iou >= lowest) *out++ = {iou, i};
    }
  }
  return out - begin;
}

// Area under the interpolated precision-recall curve of `hits` detections, ranks[i] of which are better than hit i.
// precision: room for as many numbers.
WTAL_INLINE double interpolated_area(const int64_t* __restrict ranks, int64_t hits, int64_t instances,
                                     double* __restrict precision) {
  for (int64_t i = 0; i < hits; ++i)  // of the hits only: recall rises nowhere else
    precision[i] = double(i + 1) / double(ranks[i] + 1);
  for (int64_t i = hits; i-- > 1;) precision[i - 1] = precision[i] > precision[i - 1] ? precision[i] : precision[i - 1];
  for (int64_t i = 0; i < hits; ++i)
    precision[i] = (double(i + 1) / double(instances) - double(i) / double(instances)) * precision[i];
  double area = 0;
  for (int64_t i = 0; i < hits; ++i) area += precision[i];
  return area;
}

struct MatchLoops {
  int64_t (*find_candidates)(const double* starts, const double* ends, int64_t count, double start, double end,
                             double lowest, Candidate* out);
  double (*interpolated_area)(const int64_t* ranks, int64_t hits, int64_t instances, double* precision);
};

// Those compiled for this file.
WTAL_INLINE MatchLoops match_loops_of_this_file() { return {&find_candidates, &interpolated_area}; }

}  // namespace wtal
