// Which detections claim a ground-truth instance, for up to 64 tIoU thresholds at once: one bit per threshold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/match_rules.h"
#include "core/tiou.h"

namespace wtal {

// Holds the predictions sorted into the groups that have instances, ready to be matched at any thresholds.
class Matcher {
 public:
  // pred_order: the predictions, those of one group by falling score. Pointers are kept, not copied.
  Matcher(const double* pred_segments, const int64_t* pred_groups, const std::vector<int64_t>& pred_order,
          const double* gt_segments, const int64_t* gt_groups, int64_t instances)
      : pred_segments_(pred_segments), gt_segments_(gt_segments), gt_order_(instances) {
    std::iota(gt_order_.begin(), gt_order_.end(), int64_t{0});
    std::stable_sort(gt_order_.begin(), gt_order_.end(), [&](int64_t a, int64_t b) { return gt_groups[a] < gt_groups[b]; });
    std::vector<int64_t> names;
    for (int64_t j = 0; j < instances; ++j) {
      const int64_t group = gt_groups[gt_order_[j]];
      if (names.empty() || names.back() != group) {
        names.push_back(group);
        gt_begin_.push_back(j);
      }
    }
    gt_begin_.push_back(instances);
    preds_.resize(names.size());
    for (const int64_t pred : pred_order) {
      const auto found = std::lower_bound(names.begin(), names.end(), pred_groups[pred]);
      if (found != names.end() && *found == pred_groups[pred]) preds_[found - names.begin()].push_back(pred);
    }
  }

  // Bit q of hits[i] is set where prediction i claims an instance at thresholds[q]; thresholds rise, at most 64.
  void match(const std::vector<double>& thresholds, uint64_t* hits) const {
    std::vector<Candidate> candidates;
    std::vector<uint64_t> locked;
    for (size_t group = 0; group < preds_.size(); ++group) {
      locked.assign(gt_begin_[group + 1] - gt_begin_[group], 0);
      for (const int64_t pred : preds_[group]) hits[pred] = claim(pred, group, thresholds, locked, candidates);
    }
  }

 private:
  struct Candidate {
    double iou;
    int64_t instance;
  };

  // The best unclaimed instance at each threshold, found in one walk down the overlaps.
  uint64_t claim(int64_t pred, size_t group, const std::vector<double>& thresholds, std::vector<uint64_t>& locked,
                 std::vector<Candidate>& candidates) const {
    candidates.clear();
    const double* p = pred_segments_ + 2 * pred;
    for (int64_t j = gt_begin_[group]; j < gt_begin_[group + 1]; ++j) {
      const double* g = gt_segments_ + 2 * gt_order_[j];
      const double iou = temporal_iou(g[0], g[1], p[0], p[1]);
      if (iou >= thresholds.front()) candidates.push_back({iou, j - gt_begin_[group]});
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return offered_before(a.iou, a.instance, b.iou, b.instance);
    });
    uint64_t claimed = 0;
    for (const Candidate& candidate : candidates) {
      const uint64_t reached = levels_reached(candidate.iou, thresholds.data(), int64_t(thresholds.size()));
      const uint64_t taken = levels_taken(reached, locked[candidate.instance], claimed);
      locked[candidate.instance] |= taken;
      claimed |= taken;
    }
    return claimed;
  }

  const double* pred_segments_;
  const double* gt_segments_;
  std::vector<int64_t> gt_order_;             // instances by group, then index
  std::vector<int64_t> gt_begin_;             // where each group starts in gt_order_
  std::vector<std::vector<int64_t>> preds_;  // predictions of each group
};

}  // namespace wtal
