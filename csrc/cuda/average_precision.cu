#include "cuda/average_precision.cuh"

#include "average_precision_tensors.h"
#include "cuda/launch.h"

namespace {

using namespace wtal;

Tensor average_precision_of(const Tensor& pred_segments, const Tensor& pred_scores, const Tensor& pred_groups,
                            const Tensor& gt_segments, const Tensor& gt_groups, int64_t num_classes,
                            const Tensor& tiou_thresholds, bool validate) {
  const auto run = [&](const PredictionsAndInstances& data, const double* thresholds, int64_t levels, double* out) {
    Sequence sequence(pred_scores);
    int64_t* refused = sequence.zeros<int64_t>(1);
    average_precision(sequence,
                      {data.pred_segments, data.pred_scores, data.pred_groups, data.preds, 0, 0, refused},
                      {data.gt_segments, nullptr, data.gt_groups, data.instances, 0, 0, refused}, data.classes,
                      thresholds, levels, refused, out);
    if (!validate || sequence.is_recorded()) return;
    STD_TORCH_CHECK(sequence.read(refused) == 0, kPrecisionRefused);
  };
  return average_precision_by(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes,
                              tiou_thresholds, run);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("average_precision", TORCH_BOX(&average_precision_of));
}
