// Soft suppression of the segments of one group: scores decay instead of vanishing.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "core/segment_group.h"
#include "core/suppress_rules.h"

namespace wtal {

// Calls keep(position, new score) for each segment that stays, best first; equal scores: the lower position. The group
// is used up; waiting is room to work.
template <typename Keep>
void suppress_softly(SegmentGroup& group, const Decay& decay, std::vector<int64_t>& waiting, const Keep& keep) {
  waiting.resize(group.count);
  std::iota(waiting.begin(), waiting.end(), int64_t{0});
  const auto move = [&](int64_t from, int64_t to) {
    group.move(from, to);
    waiting[to] = waiting[from];
  };
  int64_t size = 0;
  for (int64_t i = 0; i < group.count; ++i)
    if (group.score[i] >= decay.min_score) move(i, size++);
  while (size > 0) {
    int64_t best = 0;
    for (int64_t i = 1; i < size; ++i)
      if (taken_before(group.score[i], waiting[i], group.score[best], waiting[best])) best = i;
    keep(waiting[best], group.score[best]);
    const double start = group.start[best], end = group.end[best];
    int64_t left = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (i == best) continue;
      const double iou = temporal_iou(group.start[i], group.end[i], start, end, decay.offset);
      group.score[i] = decayed(group.score[i], iou, decay);
      if (group.score[i] >= decay.min_score) move(i, left++);
    }
    size = left;
  }
}

}  // namespace wtal
