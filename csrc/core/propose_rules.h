// Rules of proposals that a CPU and a GPU share: what is above a threshold, which samples surround a run.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace wtal {

struct ProposeRule {
  double outer_ratio;
  bool outer_closed;      // the right outer part includes its last sample
  bool outer_raw;         // samples not above the threshold count as they are, not as 0
  int64_t min_run;        // samples
  bool skip_run_at_zero;  // drop a run that is sample 0 alone and the only one of its threshold
};

struct Proposal {
  int64_t start, end;  // samples start..end-1
  double score;
};

WTAL_INLINE bool is_above(double value, double threshold) { return value >= threshold && value > 0; }

// Whether the run [start, end) is dropped for being sample 0 alone; `samples` are above its threshold in all.
WTAL_INLINE bool is_lone_first_sample(int64_t start, int64_t samples, const ProposeRule& rule) {
  return rule.skip_run_at_zero && samples == 1 && start == 0;
}

// The samples [left, start) and [end, right) around the run [start, end).
struct OuterWindow {
  int64_t left, right, count;
};

WTAL_INLINE OuterWindow outer_window(int64_t start, int64_t end, int64_t length, const ProposeRule& rule) {
  const double reach = rule.outer_ratio * double(end - start);
  const double first = double(start) - reach, last = double(end - 1) + reach;
  const int64_t left = first > 0 ? int64_t(first) : 0;  // cut toward zero, as the released codes do
  const int64_t cut = last < double(length) ? int64_t(last) : length;
  const int64_t closed = cut + 1 < length ? cut + 1 : length;
  const int64_t right = rule.outer_closed ? closed : cut > end ? cut : end;
  return {left, right, (start - left) + (right - end)};
}

}  // namespace wtal
