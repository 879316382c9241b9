// The segments of one group as separate arrays.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace wtal {

struct SegmentGroup {
  int64_t count = 0;
  std::vector<double> start, end, score;

  void resize(int64_t size) {
    count = size;
    for (auto* column : {&start, &end, &score}) column->resize(size);
  }

  void move(int64_t from, int64_t to) {
    start[to] = start[from];
    end[to] = end[from];
    score[to] = score[from];
  }

  // Whether every number is finite and no segment ends before it starts: suppression requires it.
  bool valid() const {
    constexpr double kLargest = std::numeric_limits<double>::max();
    bool good = true;
    for (int64_t i = 0; i < count; ++i)
      good &= (std::abs(start[i]) <= kLargest) & (std::abs(end[i]) <= kLargest) & (std::abs(score[i]) <= kLargest) &
              (end[i] >= start[i]);
    return good;
  }
};

}  // namespace wtal
