// The loops of hard suppression over one group. No library templates here: csrc/cpu/isa/ compiles this once per
// instruction set.
#pragma once

#include <cstdint>

#include "core/suppress_rules.h"

namespace wtal {

constexpr int64_t kLanes = 8;  // float64 of the widest vector

// The segments of one group. Arrays have room for the next multiple of kLanes, filled with numbers.
struct Arranged {
  const double *start, *end;
  int64_t count;
  const uint32_t* place;  // of each segment, best first, in arrays sorted by start; null: the arrays go by score
};

struct Range {
  int64_t begin, end;
};

namespace suppress_detail {

// Marks the segments of the range that the kept one removes, and a few around it that overlap as much.
WTAL_INLINE void mark(const Arranged& group, Range range, int64_t kept, double threshold, double offset,
                      int64_t* __restrict removed) {
  const double* __restrict starts = group.start;
  const double* __restrict ends = group.end;
  const double start = starts[kept], end = ends[kept];
  const int64_t first = range.begin / kLanes * kLanes, vectors = (range.end - first + kLanes - 1) / kLanes;
  for (int64_t i = first; i < first + vectors * kLanes; ++i)
    removed[i] |= int64_t(removes(temporal_iou(starts[i], ends[i], start, end, offset), threshold));
}

// Where the segments are that the kept one can remove, a few more included: an overlap of t or more with a segment of
// length L needs a start at most L * (1 / t - 1) before and L * (1 - t) after its own. Rounding is far below the margin.
WTAL_INLINE Range reach(const Arranged& group, int64_t kept, double threshold, double offset) {
  constexpr double kMargin = 1e-6;
  if (!(threshold > kMargin)) return {0, group.count};
  const double least = threshold * (1 - kMargin), start = group.start[kept];
  const double length = (group.end[kept] - start + offset) * (1 + kMargin);
  const double before = least < 1 ? length * (1 / least - 1) : 0, after = least < 1 ? length * (1 - least) : 0;
  const double first = start - before, last = start + after;
  Range range{kept, kept + 1};
  while (range.begin > 0 && group.start[range.begin] >= first) range.begin = range.begin > kLanes ? range.begin - kLanes : 0;
  while (range.end < group.count && group.start[range.end] <= last) range.end += kLanes;
  return {range.begin, range.end < group.count ? range.end : group.count};
}

}  // namespace suppress_detail

// Writes which segments stay, as ranks (0 is the best), and returns how many. removed: zeros, as many as the arrays hold.
WTAL_INLINE int64_t suppress_greedily(const Arranged& group, double threshold, double offset, int64_t* removed,
                                      uint32_t* kept) {
  int64_t total = 0;
  for (int64_t rank = 0; rank < group.count; ++rank) {
    const int64_t segment = group.place ? group.place[rank] : rank;
    if (removed[segment]) continue;
    kept[total++] = uint32_t(rank);
    const Range range =
        group.place ? suppress_detail::reach(group, segment, threshold, offset) : Range{rank + 1, group.count};
    suppress_detail::mark(group, range, segment, threshold, offset, removed);
  }
  return total;
}

}  // namespace wtal
