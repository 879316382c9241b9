#include "cpu/average_precision.h"

#include "average_precision_tensors.h"
#include "core/average_precision.h"

namespace {

using namespace wtal;

constexpr int64_t kPredictionsForThreads = 20'000;  // fewer are matched sooner by one thread

bool may_be_matched(const double* segments, const int64_t* groups, int64_t count) {
  bool good = true;
  for (int64_t i = 0; i < count; ++i)
    good &= std::isfinite(segments[2 * i]) & std::isfinite(segments[2 * i + 1]) & (segments[2 * i + 1] >= segments[2 * i]) &
            (groups[i] >= 0);
  return good;
}

bool is_good(const PredictionsAndInstances& data, const double* thresholds, int64_t levels) {
  return may_be_matched(data.pred_segments, data.pred_groups, data.preds) &&
         may_be_matched(data.gt_segments, data.gt_groups, data.instances) &&
         std::all_of(data.pred_scores, data.pred_scores + data.preds, [](double score) { return std::isfinite(score); }) &&
         std::all_of(thresholds, thresholds + levels, may_be_reached);
}

Tensor average_precision_of(const Tensor& pred_segments, const Tensor& pred_scores, const Tensor& pred_groups,
                            const Tensor& gt_segments, const Tensor& gt_groups, int64_t num_classes,
                            const Tensor& tiou_thresholds, bool validate) {
  const auto run = [&](const PredictionsAndInstances& data, const double* thresholds, int64_t levels, double* out) {
    if (!is_good(data, thresholds, levels)) {
      STD_TORCH_CHECK(!validate, kPrecisionRefused);
      std::fill_n(out, levels * data.classes, NAN);
      return;
    }
    const auto for_classes = [&](int64_t classes, const auto& work) {
      if (data.preds < kPredictionsForThreads) return work(0, classes);
      torch::stable::parallel_for(0, classes, 1, work);
    };
    average_precision(data, thresholds, levels, out, WTAL_FASTEST(match_loops)(), for_classes);
  };
  return average_precision_by(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes,
                              tiou_thresholds, run);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("average_precision", TORCH_BOX(&average_precision_of)); }
