#include "cuda/average_precision.cuh"

#include "cuda/launch.h"
#include "cuda/segments.h"

namespace {

using namespace wtal;

Tensor average_precision_of(const Tensor& pred_segments,  // [N, 2]
                            const Tensor& pred_scores,    // [N]
                            const Tensor& pred_groups,    // [N]
                            const Tensor& gt_segments,    // [M, 2]
                            const Tensor& gt_groups,      // [M]
                            int64_t num_classes,
                            const Tensor& tiou_thresholds) {  // [Q]
  const int64_t preds = pred_segments.size(0), instances = gt_segments.size(0);
  const Tensor pred = as_segments(pred_segments, pred_scores), gt = as_segments(gt_segments, pred_scores);
  const Tensor scores = as_scores(pred_scores, preds, pred_scores), levels = as_double(tiou_thresholds, pred_scores);
  const Tensor pred_names = index_vector(pred_groups, preds, pred_scores),
               gt_names = index_vector(gt_groups, instances, pred_scores);
  STD_TORCH_CHECK(num_classes >= 1 && levels.dim() == 1,
                  "average_precision: num_classes must be at least 1, tiou_thresholds [Q]");
  Tensor result = torch::stable::new_empty(levels, {levels.size(0), num_classes});
  Sequence sequence(pred_scores);
  int64_t* refused = sequence.zeros<int64_t>(1);
  average_precision(sequence, {doubles(pred), doubles(scores), integers(pred_names), preds, 0, 0, refused},
                    {doubles(gt), nullptr, integers(gt_names), instances, 0, 0, refused}, num_classes, doubles(levels),
                    levels.size(0), mutable_doubles(result));
  if (!sequence.is_recorded())
    STD_TORCH_CHECK(sequence.read(refused) == 0, "average_precision: segments and scores must be finite with end >= start, groups at least 0");
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("average_precision", TORCH_BOX(&average_precision_of));
}
