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

// The second at which sample j of `count` begins, which cover `duration` seconds.
WTAL_INLINE double in_seconds(int64_t j, int64_t count, double duration) { return double(j) / double(count) * duration; }

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

struct Run {
  int64_t start, end;  // samples start..end-1
};

constexpr int64_t kRunsWalked = 16;  // on either side of a run; for more of them the window is summed as a whole

// Sum of the samples above the threshold in the window around `run`, from the sums of the first j samples, sum_up_to(j),
// and those of the first j with what is not above as 0, above_up_to(j), both as running_sums.h has them.
// before(run) is the nearest run of the threshold that ends before `run`, after(run) the nearest that starts behind it;
// runs of no sample where there is none.
template <typename SumUpTo, typename AboveUpTo, typename Before, typename After>
WTAL_INLINE double sum_above_around(const Run& run, const OuterWindow& window, const SumUpTo& sum_up_to,
                                    const AboveUpTo& above_up_to, const Before& before, const After& after) {
  double left = 0, right = 0;
  int64_t walked = 0;
  for (Run next = before(run); next.start < next.end && next.end > window.left; next = before(next)) {
    if (walked++ == kRunsWalked) {
      left = above_up_to(run.start) - above_up_to(window.left);
      break;
    }
    left += sum_up_to(next.end) - sum_up_to(next.start > window.left ? next.start : window.left);
  }
  walked = 0;
  for (Run next = after(run); next.start < next.end && next.start < window.right; next = after(next)) {
    if (walked++ == kRunsWalked) {
      right = above_up_to(window.right) - above_up_to(run.end);
      break;
    }
    right += sum_up_to(next.end < window.right ? next.end : window.right) - sum_up_to(next.start);
  }
  return left + right;
}

// Inner minus outer mean of `run`, plus what its class adds.
template <typename SumUpTo, typename AboveUpTo, typename Before, typename After>
WTAL_INLINE double contrast(const Run& run, int64_t length, const ProposeRule& rule, double extra,
                            const SumUpTo& sum_up_to, const AboveUpTo& above_up_to, const Before& before,
                            const After& after) {
  const double at_start = sum_up_to(run.start), at_end = sum_up_to(run.end);
  const double inner = (at_end - at_start) / double(run.end - run.start);
  const OuterWindow window = outer_window(run.start, run.end, length, rule);
  if (window.count <= 0) return inner + extra;
  const double around = rule.outer_raw ? (at_start - sum_up_to(window.left)) + (sum_up_to(window.right) - at_end)
                                       : sum_above_around(run, window, sum_up_to, above_up_to, before, after);
  return inner - around / double(window.count) + extra;
}

}  // namespace wtal
