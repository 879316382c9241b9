// Proposals of one class activation sequence: runs above each threshold, scored by inner minus outer mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/propose_rules.h"
#include "core/running_sums.h"

namespace wtal {

struct ProposeScratch {
  std::vector<double> sums;
  std::vector<Run> runs;  // of one threshold, with one of no sample on either side
};

// Appends the proposals of values [length] to `found`, by threshold, then start. steering [length] is compared with the
// thresholds; extra is added to each score.
inline void propose_row(const double* values, const double* steering, int64_t length, const double* thresholds, int64_t levels,
                        const ProposeRule& rule, double extra, ProposeScratch& scratch, std::vector<Proposal>& found) {
  scratch.sums.resize(length + 1);
  running_sums(values, length, scratch.sums.data());
  const auto sum_up_to = [&](int64_t j) { return scratch.sums[j]; };
  std::vector<Run>& runs = scratch.runs;
  for (int64_t level = 0; level < levels; ++level) {
    const double threshold = thresholds[level];
    const auto above = [&](int64_t j) { return is_above(steering[j], threshold); };
    int64_t samples = 0;
    runs.assign(1, {0, 0});
    for (int64_t j = 0; j < length;) {
      if (!above(j)) {
        ++j;
        continue;
      }
      const int64_t start = j;
      while (j < length && above(j)) ++j;
      samples += j - start;
      runs.push_back({start, j});
    }
    if (runs.size() == 2 && is_lone_first_sample(runs[1].start, samples, rule)) continue;
    runs.push_back({length, length});
    for (size_t i = 1; i + 1 < runs.size(); ++i) {
      if (runs[i].end - runs[i].start < rule.min_run) continue;
      size_t left = i, right = i;
      const double score = contrast(
          runs[i], length, rule, extra, sum_up_to, [&](const Run&) { return runs[--left]; },
          [&](const Run&) { return runs[++right]; });
      found.push_back({runs[i].start, runs[i].end, score});
    }
  }
}

}  // namespace wtal
