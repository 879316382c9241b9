// Proposals of one class activation sequence: runs above each threshold, scored by inner minus outer mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

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

// sums[j]: the sum of the first j values, for means over any window.
struct WindowMeans {
  const double* sums;
  int64_t length;

  double inner(int64_t start, int64_t end) const { return (sums[end] - sums[start]) / double(end - start); }

  // Mean over both sides of [start, end); 0 where they hold no sample.
  double outer(int64_t start, int64_t end, const ProposeRule& rule) const {
    const double reach = rule.outer_ratio * double(end - start);
    const int64_t left = int64_t(std::max(double(start) - reach, 0.0));  // cut toward zero, as the released codes do
    const int64_t cut = int64_t(std::min(double(end - 1) + reach, double(length)));
    const int64_t right = rule.outer_closed ? std::min(cut + 1, length) : std::max(cut, end);
    const int64_t count = (start - left) + (right - end);
    if (count <= 0) return 0;
    return ((sums[start] - sums[left]) + (sums[right] - sums[end])) / double(count);
  }
};

struct ProposeScratch {
  std::vector<double> raw, thresholded;
};

// Appends the proposals of values [length] to `found`, by threshold, then start. steering [length] is compared with the
// thresholds; extra is added to each score.
inline void propose_row(const double* values, const double* steering, int64_t length, const double* thresholds, int64_t levels,
                        const ProposeRule& rule, double extra, ProposeScratch& scratch, std::vector<Proposal>& found) {
  scratch.raw.assign(length + 1, 0.0);
  for (int64_t j = 0; j < length; ++j) scratch.raw[j + 1] = scratch.raw[j] + values[j];
  const WindowMeans raw{scratch.raw.data(), length};
  for (int64_t level = 0; level < levels; ++level) {
    const double threshold = thresholds[level];
    const auto above = [&](int64_t j) { return steering[j] >= threshold && steering[j] > 0; };
    const size_t first = found.size();
    int64_t samples = 0;
    for (int64_t j = 0; j < length;) {
      if (!above(j)) {
        ++j;
        continue;
      }
      const int64_t start = j;
      while (j < length && above(j)) ++j;
      samples += j - start;
      if (j - start >= rule.min_run) found.push_back({start, j, 0.0});
    }
    if (rule.skip_run_at_zero && samples == 1 && found.size() > first && found[first].start == 0) found.resize(first);
    if (found.size() == first) continue;
    WindowMeans around = raw;
    if (!rule.outer_raw) {
      scratch.thresholded.assign(length + 1, 0.0);
      for (int64_t j = 0; j < length; ++j) scratch.thresholded[j + 1] = scratch.thresholded[j] + (above(j) ? values[j] : 0.0);
      around.sums = scratch.thresholded.data();
    }
    for (size_t i = first; i < found.size(); ++i) {
      Proposal& proposal = found[i];
      proposal.score = raw.inner(proposal.start, proposal.end) - around.outer(proposal.start, proposal.end, rule) + extra;
    }
  }
}

}  // namespace wtal
