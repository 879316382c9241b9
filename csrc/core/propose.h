// Proposals of one sequence: runs of samples above each threshold, scored by inner minus outer mean.
#pragma once

#include <cstdint>
#include <vector>

#include "core/propose_rules.h"
#include "core/sample_loops.h"

namespace wtal {

// Memory of one sequence, used again for the next.
class SampleStore {
 public:
  Samples resize(int64_t length) {
    const int64_t blocks = blocks_of(length);
    values_.resize(blocks * kBlock);
    sums_.resize(length + 1);
    least_.resize(blocks);
    most_.resize(blocks);
    return {values_.data(), sums_.data(), least_.data(), most_.data(), length};
  }

 private:
  std::vector<double> values_, sums_, least_, most_;
};

class Proposer {
 public:
  explicit Proposer(const SampleLoops& loops) : loops_(loops) {}

  // Appends the proposals of `values`, whose sums are filled in, to `found`: by threshold, then start. `steering`, as long
  // and with bounds filled in, is compared with the thresholds; extra is added to each score.
  void propose(const Samples& values, const Samples& steering, const double* thresholds, int64_t levels,
               const ProposeRule& rule, double extra, std::vector<Proposal>& found) {
    words_.resize(blocks_of(values.length));
    const auto sum_up_to = [&](int64_t j) { return values.sums[j]; };
    const auto above_up_to = [&](int64_t j) { return sum_above_up_to(values, j); };
    for (int64_t level = 0; level < levels; ++level) {
      above_before_.clear();
      loops_.find_above(steering, thresholds[level], words_.data());
      const int64_t samples = find_runs(values.length);
      if (runs_.size() == 3 && is_lone_first_sample(runs_[1].start, samples, rule)) continue;
      for (size_t i = 1; i + 1 < runs_.size(); ++i) {
        if (runs_[i].end - runs_[i].start < rule.min_run) continue;
        size_t left = i, right = i;
        const double score = contrast(
            runs_[i], values.length, rule, extra, sum_up_to, above_up_to, [&](const Run&) { return runs_[--left]; },
            [&](const Run&) { return runs_[++right]; });
        found.push_back({runs_[i].start, runs_[i].end, score});
      }
    }
  }

 private:
  // The runs of set bits, with one of no sample on either side; returns how many bits are set.
  int64_t find_runs(int64_t length) {
    runs_.assign(1, {0, 0});
    int64_t samples = 0, start = -1;  // of the run that is open
    for (size_t block = 0; block < words_.size(); ++block) {
      uint64_t left = words_[block];
      if (left == (start < 0 ? 0 : ~uint64_t{0})) continue;
      const int64_t first = int64_t(block) * kBlock;
      for (int64_t bit = 0; bit < kBlock;) {
        const uint64_t turns = (start < 0 ? left : ~left) >> bit;
        if (turns == 0) break;
        bit += __builtin_ctzll(turns);
        if (start < 0) {
          start = first + bit;
        } else {
          samples += first + bit - start;
          runs_.push_back({start, first + bit});
          start = -1;
        }
      }
    }
    if (start >= 0) {
      samples += length - start;
      runs_.push_back({start, length});
    }
    runs_.push_back({length, length});
    return samples;
  }

  // The first j samples of a block that are above, added up.
  double sum_above_within(const Samples& values, int64_t block, int64_t j) const {
    double sum = 0;
    for (uint64_t left = words_[block] & ~uint64_t{0} >> (kBlock - j); left != 0; left &= left - 1)
      sum += values.values[block * kBlock + __builtin_ctzll(left)];
    return sum;
  }

  // What is above among the first j samples, added up. The sums before blocks are made when the first is asked for.
  double sum_above_up_to(const Samples& values, int64_t j) {
    static_assert(kBlock == kSumBlock);
    if (above_before_.empty()) {
      double before = 0;
      for (int64_t block = 0; block < int64_t(words_.size()); ++block) {
        above_before_.push_back(before);
        before += sum_above_within(values, block, kBlock);
      }
    }
    if (j == 0) return 0;
    const int64_t block = (j - 1) / kBlock;
    return above_before_[block] + sum_above_within(values, block, j - block * kBlock);
  }

  SampleLoops loops_;
  std::vector<double> above_before_;  // of this threshold
  std::vector<uint64_t> words_;
  std::vector<Run> runs_;
};

}  // namespace wtal
