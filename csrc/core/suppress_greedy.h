// The loops of hard suppression over one group. No library templates here: csrc/cpu/isa/ compiles this once per
// instruction set.
#pragma once

#include <cstdint>

#include "core/suppress_rules.h"

namespace wtal {

constexpr int64_t kLanes = 16;  // float32 of the widest vector

// The segments of one group in float32 that has the same numbers; see is_rough_enough.
struct Rough {
  const float *start, *end, *length;
};

// The segments of one group. Arrays have room for the next multiple of kLanes, filled with numbers.
struct Arranged {
  const double *start, *end, *length;  // length: with what is added to it
  Rough rough;                         // null where float32 will not do
  int64_t count;
  const uint32_t* place;  // of each segment, best first, in arrays sorted by start; null: the arrays go by score
};

// Which segments are removed, all 0 to begin with: `roughly` where there is a Rough, else `exactly`.
struct Removed {
  int64_t* exactly;
  int32_t* roughly;
};

struct Range {
  int64_t begin, end;
};

// Whether float32 tells apart nearly all overlaps around the threshold: far from underflow, overflow and empty unions,
// where its error is below kRoughMargin of the union. First for all segments, then for each.
WTAL_INLINE bool is_rough_enough(double threshold, double offset) {
  return threshold >= 1e-6 && threshold <= 1e6 && double(float(offset)) == offset && offset <= 1e30;
}
WTAL_INLINE bool is_rough_enough(double start, double end, double length) {
  return (length >= 1e-30) & (start >= -1e30) & (end <= 1e30);
}

namespace suppress_detail {

constexpr double kRoughMargin = 1.0 / (1 << 18);  // of the union; float32 may be wrong by a sixteenth of it

WTAL_INLINE Range whole_vectors(Range range) {
  const int64_t first = range.begin / kLanes * kLanes;
  return {first, first + (range.end - first + kLanes - 1) / kLanes * kLanes};
}

// Marks the segments of the range that the kept one removes, and a few around it that overlap as much.
template <typename Flag>
WTAL_INLINE void mark(const Arranged& group, Range range, int64_t kept, double threshold, double offset,
                      Flag* __restrict removed) {
  const double* __restrict starts = group.start;
  const double* __restrict ends = group.end;
  const double* __restrict lengths = group.length;
  const double start = starts[kept], end = ends[kept], length = lengths[kept];
  const Range vectors = whole_vectors(range);
  for (int64_t i = vectors.begin; i < vectors.end; ++i)
    removed[i] |=
        Flag(removes(temporal_iou_of(starts[i], ends[i], lengths[i], start, end, length, offset), threshold));
}

// The same in float32: marks those that are removed without a doubt, and returns whether there is one about another.
WTAL_INLINE bool mark_roughly(const Arranged& group, Range range, int64_t kept, double threshold, double offset,
                              int32_t* __restrict removed) {
  const float* __restrict starts = group.rough.start;
  const float* __restrict ends = group.rough.end;
  const float* __restrict lengths = group.rough.length;
  const float start = starts[kept], end = ends[kept], length = lengths[kept], added = float(offset);
  const double margin = kRoughMargin * (1 + threshold);
  const float surely = float(threshold + margin), perhaps = float(threshold - margin);
  const Range vectors = whole_vectors(range);
  int32_t doubt = 0;
  for (int64_t i = vectors.begin; i < vectors.end; ++i) {
    const float overlap = (ends[i] < end ? ends[i] : end) - (starts[i] > start ? starts[i] : start) + added;
    const float both = lengths[i] + length - overlap;  // where they share nothing, too large: then it does not matter
    const int32_t sure = overlap >= surely * both, possible = overlap >= perhaps * both;
    removed[i] |= sure;
    doubt |= sure ^ possible;
  }
  return doubt != 0;
}

// Where the segments are that the kept one can remove, a few more included: an overlap of t or more with a segment of
// length L needs a start at most L * (1 / t - 1) before and L * (1 - t) after its own. Rounding is far below the margin.
WTAL_INLINE Range reach(const Arranged& group, int64_t kept, double threshold) {
  constexpr double kMargin = 1e-6;
  if (!(threshold > kMargin)) return {0, group.count};
  const double least = threshold * (1 - kMargin), start = group.start[kept];
  const double length = group.length[kept] * (1 + kMargin);
  const double before = least < 1 ? length * (1 / least - 1) : 0, after = least < 1 ? length * (1 - least) : 0;
  const double first = start - before, last = start + after;
  Range range{kept, kept + 1};
  while (range.begin > 0 && group.start[range.begin] >= first) range.begin = range.begin > kLanes ? range.begin - kLanes : 0;
  while (range.end < group.count && group.start[range.end] <= last) range.end += kLanes;
  return {range.begin, range.end < group.count ? range.end : group.count};
}

// mark(range, segment) marks what the kept segment removes.
template <typename Flag, typename Mark>
WTAL_INLINE int64_t keep_best(const Arranged& group, double threshold, const Flag* removed, uint32_t* kept,
                              const Mark& mark) {
  int64_t total = 0;
  for (int64_t rank = 0; rank < group.count; ++rank) {
    const int64_t segment = group.place ? group.place[rank] : rank;
    if (removed[segment]) continue;
    kept[total++] = uint32_t(rank);
    mark(group.place ? reach(group, segment, threshold) : Range{rank + 1, group.count}, segment);
  }
  return total;
}

}  // namespace suppress_detail

// Writes which segments stay, as ranks (0 is the best), and returns how many.
WTAL_INLINE int64_t suppress_greedily(const Arranged& group, double threshold, double offset, const Removed& removed,
                                      uint32_t* kept) {
  using namespace suppress_detail;
  if (group.rough.start == nullptr)
    return keep_best(group, threshold, removed.exactly, kept, [&](Range range, int64_t segment) {
      mark(group, range, segment, threshold, offset, removed.exactly);
    });
  return keep_best(group, threshold, removed.roughly, kept, [&](Range range, int64_t segment) {
    if (mark_roughly(group, range, segment, threshold, offset, removed.roughly))
      mark(group, range, segment, threshold, offset, removed.roughly);
  });
}

}  // namespace wtal
