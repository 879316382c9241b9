#include "core/average_precision.h"

#include "cpu/segments.h"

namespace {

using namespace wtal;

constexpr int64_t kPredictionsForThreads = 20'000;  // fewer are matched sooner by one thread

bool all_at_least_zero(const Tensor& groups) {
  return std::all_of(integers(groups), integers(groups) + groups.numel(), [](int64_t group) { return group >= 0; });
}

Tensor average_precision_of(const Tensor& pred_segments,  // [N, 2]
                            const Tensor& pred_scores,    // [N]
                            const Tensor& pred_groups,    // [N]
                            const Tensor& gt_segments,    // [M, 2]
                            const Tensor& gt_groups,      // [M]
                            int64_t num_classes,
                            const Tensor& tiou_thresholds) {  // [Q]
  const int64_t preds = pred_segments.size(0), instances = gt_segments.size(0);
  const Tensor pred = as_segments(pred_segments), gt = as_segments(gt_segments), levels = as_double(tiou_thresholds);
  const Tensor scores = as_scores(pred_scores, preds), pred_names = index_vector(pred_groups, preds, pred_scores),
               gt_names = index_vector(gt_groups, instances, pred_scores);
  STD_TORCH_CHECK(num_classes >= 1 && levels.dim() == 1 && all_at_least_zero(pred_names) && all_at_least_zero(gt_names),
                  "average_precision: num_classes must be at least 1, tiou_thresholds [Q], groups at least 0");
  Tensor result = torch::stable::new_empty(levels, {levels.size(0), num_classes});
  const PredictionsAndInstances data{doubles(pred), doubles(scores), integers(pred_names), preds, doubles(gt),
                                     integers(gt_names), instances, num_classes};
  wtal::average_precision(data, doubles(levels), levels.size(0), mutable_doubles(result),
                          [&](int64_t classes, const auto& work) {
                            if (preds < kPredictionsForThreads) return work(0, classes);
                            torch::stable::parallel_for(0, classes, 1, work);
                          });
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("average_precision", TORCH_BOX(&average_precision_of)); }
