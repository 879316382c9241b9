// Proposals of one class activation sequence: runs above each threshold, scored by inner minus outer mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/propose_rules.h"

namespace wtal {

// sums[j]: the sum of the first j values, for means over any window.
struct WindowMeans {
  const double* sums;
  int64_t length;

  double inner(int64_t start, int64_t end) const { return (sums[end] - sums[start]) / double(end - start); }

  // Mean over both sides of [start, end); 0 where they hold no sample.
  double outer(int64_t start, int64_t end, const ProposeRule& rule) const {
    const auto [left, right, count] = outer_window(start, end, length, rule);
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
    const auto above = [&](int64_t j) { return is_above(steering[j], threshold); };
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
    if (found.size() > first && is_lone_first_sample(found[first].start, samples, rule)) found.resize(first);
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
