// average_precision as a tensor function, for any device: check, unpack, run.
#pragma once

#include "core/predictions.h"
#include "segment_tensors.h"

namespace wtal {

constexpr const char* kPrecisionRefused =
    "average_precision: segments and scores must be finite with end >= start, groups at least 0, thresholds in (0, 1]";

// run(data, thresholds, their number, out) fills the result [Q, num_classes], with NaN where a value is refused.
template <typename Run>
Tensor average_precision_by(const Tensor& pred_segments,  // [N, 2]
                            const Tensor& pred_scores,    // [N]
                            const Tensor& pred_groups,    // [N]
                            const Tensor& gt_segments,    // [M, 2]
                            const Tensor& gt_groups,      // [M]
                            int64_t num_classes,
                            const Tensor& tiou_thresholds,  // [Q]
                            const Run& run) {
  const Tensor pred = as_segments(pred_segments, pred_scores), gt = as_segments(gt_segments, pred_scores);
  const int64_t preds = pred.size(0), instances = gt.size(0);
  const Tensor scores = as_scores(pred_scores, preds, pred_scores), levels = as_double(tiou_thresholds, pred_scores);
  const Tensor pred_names = index_vector(pred_groups, preds, pred_scores),
               gt_names = index_vector(gt_groups, instances, pred_scores);
  STD_TORCH_CHECK(num_classes >= 1 && levels.dim() == 1,
                  "average_precision: num_classes must be at least 1, tiou_thresholds [Q]");
  Tensor result = torch::stable::new_empty(levels, {levels.size(0), num_classes});
  run(PredictionsAndInstances{doubles(pred), doubles(scores), integers(pred_names), preds, doubles(gt),
                              integers(gt_names), instances, num_classes},
      doubles(levels), levels.size(0), mutable_doubles(result));
  return result;
}

}  // namespace wtal
