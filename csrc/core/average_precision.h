// Average precision of temporal detections by the ActivityNet protocol: every class and tIoU threshold in one pass.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "core/match.h"
#include "core/suppress_rules.h"

namespace wtal {

namespace average_precision_detail {

// Indices 0..n-1 by rising key, falling score, rising index.
inline std::vector<int64_t> rank(const double* scores, const std::vector<int64_t>& keys) {
  std::vector<int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    if (keys[a] != keys[b]) return keys[a] < keys[b];
    return taken_before(scores[a], a, scores[b], b);
  });
  return order;
}

// Area under the interpolated precision-recall curve. hit(i) tells whether the i-th best of `count` detections is right.
template <typename Hit>
double interpolated_area(int64_t count, int64_t instances, Hit hit, std::vector<double>& precision) {
  precision.clear();  // of the hits only: recall rises nowhere else
  for (int64_t i = 0; i < count; ++i)
    if (hit(i)) precision.push_back(double(precision.size() + 1) / double(i + 1));
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double area = 0;
  for (size_t i = 0; i < precision.size(); ++i)
    area += (double(i + 1) / double(instances) - double(i) / double(instances)) * precision[i];
  return area;
}

}  // namespace average_precision_detail

// out[q * classes + c]: average precision of class c at threshold q; 0 without predictions, NaN without ground truth.
// Segments are [*, 2] start and end; group = video * classes + class.
inline void average_precision(const double* pred_segments, const double* pred_scores, const int64_t* pred_groups,
                              int64_t preds, const double* gt_segments, const int64_t* gt_groups, int64_t instances,
                              int64_t classes, const double* thresholds, int64_t levels, double* out) {
  namespace detail = average_precision_detail;
  std::vector<int64_t> pred_class(preds), instances_of(classes, 0);
  for (int64_t i = 0; i < preds; ++i) pred_class[i] = pred_groups[i] % classes;
  for (int64_t j = 0; j < instances; ++j) ++instances_of[gt_groups[j] % classes];
  const std::vector<int64_t> by_class = detail::rank(pred_scores, pred_class);

  std::vector<int64_t> ascending(levels);  // the masks of a block need rising thresholds
  std::iota(ascending.begin(), ascending.end(), int64_t{0});
  std::stable_sort(ascending.begin(), ascending.end(), [&](int64_t a, int64_t b) { return thresholds[a] < thresholds[b]; });

  const Matcher matcher(pred_segments, pred_groups, by_class, gt_segments, gt_groups, instances);
  std::vector<uint64_t> hits(preds, 0);
  std::vector<double> precision;
  for (int64_t first = 0; first < levels; first += kThresholdsPerMask) {
    const int64_t width = std::min(kThresholdsPerMask, levels - first);
    std::vector<double> block(width);
    for (int64_t q = 0; q < width; ++q) block[q] = thresholds[ascending[first + q]];
    matcher.match(block, hits.data());
    for (int64_t c = 0, begin = 0; c < classes; ++c) {
      int64_t end = begin;
      while (end < preds && pred_class[by_class[end]] == c) ++end;
      for (int64_t q = 0; q < width; ++q) {
        const auto hit = [&](int64_t i) { return bool(hits[by_class[begin + i]] >> q & 1); };
        out[ascending[first + q] * classes + c] =
            instances_of[c] ? detail::interpolated_area(end - begin, instances_of[c], hit, precision)
                            : std::numeric_limits<double>::quiet_NaN();
      }
      begin = end;
    }
  }
}

}  // namespace wtal
