// Average precision of temporal detections by the ActivityNet protocol: every class and tIoU threshold in one pass.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "core/groups.h"
#include "core/match.h"
#include "core/order.h"
#include "core/predictions.h"

namespace wtal {

namespace average_precision_detail {

// Rows by class, in their order inside a class, and where each class starts.
struct ByClass {
  std::vector<int64_t> rows, begins;

  template <typename ClassOf>
  ByClass(int64_t count, int64_t classes, const ClassOf& class_of) : rows(count), begins(classes + 1, 0) {
    for (int64_t i = 0; i < count; ++i) ++begins[class_of(i) + 1];
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    std::vector<int64_t> next(begins.begin(), begins.end() - 1);
    for (int64_t i = 0; i < count; ++i) rows[next[class_of(i)]++] = i;
  }
};

inline constexpr int64_t kAhead = 8;  // detections: about the time of one access to memory

// A detection that claims an instance at some thresholds; `rank` detections of its class are better.
struct Hit {
  int64_t rank;
  uint64_t levels;
};

}  // namespace average_precision_detail

// out[q * classes + c]: average precision of class c at threshold q; 0 without predictions, NaN without ground truth.
// for_classes(classes, work) calls work(begin, end) for ranges that make up all classes, on as many threads as it likes.
template <typename ForClasses>
void average_precision(const PredictionsAndInstances& data, const double* thresholds, int64_t levels, double* out,
                       const MatchLoops& loops, const ForClasses& for_classes) {
  namespace detail = average_precision_detail;
  const int64_t classes = data.classes;
  const detail::ByClass preds(data.preds, classes, [&](int64_t i) { return data.pred_groups[i] % classes; });
  const Groups by_group = gather_groups(data.gt_groups, data.instances);
  detail::ByClass gt(data.instances, classes, [&](int64_t i) { return data.gt_groups[by_group.row(i)] % classes; });
  for (int64_t& row : gt.rows) row = by_group.row(row);  // by class, video, row

  std::vector<int64_t> ascending(levels);  // the masks of a block need rising thresholds
  std::iota(ascending.begin(), ascending.end(), int64_t{0});
  std::stable_sort(ascending.begin(), ascending.end(),
                   [&](int64_t a, int64_t b) { return thresholds[a] < thresholds[b]; });

  for_classes(classes, [&](int64_t first_class, int64_t end_class) {
    ClassInstances instances(loops);
    std::vector<double> scores, precision, block;
    std::vector<int64_t> ranks;
    std::vector<uint64_t> words, spare;
    std::vector<detail::Hit> hits;
    for (int64_t c = first_class; c < end_class; ++c) {
      const int64_t* rows = preds.rows.data() + preds.begins[c];
      const int64_t count = preds.begins[c + 1] - preds.begins[c], truths = gt.begins[c + 1] - gt.begins[c];
      for (int64_t q = 0; q < levels && truths == 0; ++q) out[q * classes + c] = std::numeric_limits<double>::quiet_NaN();
      if (truths == 0) continue;
      scores.resize(count);
      words.resize(count);
      spare.resize(count);
      for (int64_t i = 0; i < count; ++i) scores[i] = data.pred_scores[rows[i]];
      const uint64_t* order = order_by(scores.data(), count, true, words.data(), spare.data());
      instances.assign(data.gt_segments, gt.rows.data() + gt.begins[c], truths,
                       [&](int64_t row) { return data.gt_groups[row] / classes; });
      for (int64_t first = 0; first < levels; first += kThresholdsPerMask) {
        block.resize(std::min(kThresholdsPerMask, levels - first));
        for (size_t q = 0; q < block.size(); ++q) block[q] = thresholds[ascending[first + q]];
        instances.release(block);
        hits.clear();
        const auto row_of = [&](int64_t rank) { return rows[order[std::min(rank, count - 1)] & kPosition]; };
        for (int64_t rank = 0; rank < count; ++rank) {
          // Score order jumps through large arrays: what comes next is fetched while this detection is matched.
          __builtin_prefetch(rows + (order[std::min(rank + 4 * detail::kAhead, count - 1)] & kPosition));
          const int64_t later = row_of(rank + 2 * detail::kAhead);
          __builtin_prefetch(data.pred_segments + 2 * later);
          __builtin_prefetch(data.pred_groups + later);
          instances.prefetch(data.pred_groups[row_of(rank + detail::kAhead)] / classes);
          const int64_t row = row_of(rank);
          const double* segment = data.pred_segments + 2 * row;
          const uint64_t claimed = instances.claim(data.pred_groups[row] / classes, segment[0], segment[1]);
          if (claimed) hits.push_back({rank, claimed});
        }
        ranks.resize(hits.size());
        precision.resize(hits.size());
        for (size_t q = 0; q < block.size(); ++q) {
          int64_t at_level = 0;
          for (const detail::Hit& hit : hits) {
            ranks[at_level] = hit.rank;
            at_level += int64_t(hit.levels >> q & 1);
          }
          out[ascending[first + q] * classes + c] =
              loops.interpolated_area(ranks.data(), at_level, truths, precision.data());
        }
      }
    }
  });
}

}  // namespace wtal
