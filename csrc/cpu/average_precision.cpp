#include "cpu/average_precision.h"

#include "average_precision_tensors.h"
#include "core/average_precision.h"

namespace {

using namespace wtal;

constexpr int64_t kPredictionsForThreads = 20'000;  // fewer are matched sooner by one thread

bool all_at_least_zero(const int64_t* groups, int64_t count) {
  return std::all_of(groups, groups + count, [](int64_t group) { return group >= 0; });
}

Tensor average_precision_of(const Tensor& pred_segments, const Tensor& pred_scores, const Tensor& pred_groups,
                            const Tensor& gt_segments, const Tensor& gt_groups, int64_t num_classes,
                            const Tensor& tiou_thresholds) {
  const auto run = [](const PredictionsAndInstances& data, const double* thresholds, int64_t levels, double* out) {
    STD_TORCH_CHECK(all_at_least_zero(data.pred_groups, data.preds) && all_at_least_zero(data.gt_groups, data.instances),
                    "average_precision: groups must be at least 0");
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
