#include "core/average_precision.h"

#include "cpu/average_precision.h"
#include "numpy/bindings.h"
#include "numpy/threads.h"

namespace {

using wtal::Array;

void require(bool good, const char* rule) {
  if (!good) throw pybind11::value_error(std::string("average_precision: ") + rule);
}

bool is_segments(const Array<double>& array) { return array.ndim() == 2 && array.shape(1) == 2; }

template <typename T>
bool is_vector(const Array<T>& array, pybind11::ssize_t size) {
  return array.ndim() == 1 && array.shape(0) == size;
}

bool has_negative(const Array<int64_t>& groups) {
  return std::any_of(groups.data(), groups.data() + groups.size(), [](int64_t group) { return group < 0; });
}

Array<double> average_precision(const Array<double>& pred_segments,  // [N, 2] start, end
                                const Array<double>& pred_scores,    // [N]
                                const Array<int64_t>& pred_groups,   // [N] video * num_classes + class
                                const Array<double>& gt_segments,    // [M, 2]
                                const Array<int64_t>& gt_groups,     // [M]
                                int64_t num_classes,
                                const Array<double>& tiou_thresholds) {  // [Q]
  require(is_segments(pred_segments) && is_segments(gt_segments), "segments must be [N, 2] (start, end)");
  require(is_vector(pred_scores, pred_segments.shape(0)), "pred_scores must be [N], one a segment");
  require(is_vector(pred_groups, pred_segments.shape(0)), "pred_groups must be [N], one a segment");
  require(is_vector(gt_groups, gt_segments.shape(0)), "gt_groups must be [M], one a segment");
  require(tiou_thresholds.ndim() == 1, "tiou_thresholds must be [Q]");
  require(num_classes >= 1, "num_classes must be at least 1");
  require(!has_negative(pred_groups) && !has_negative(gt_groups), "groups must be >= 0");
  const double* scores = pred_scores.data();
  require(std::none_of(scores, scores + pred_scores.size(), [](double score) { return std::isnan(score); }),
          "pred_scores must not be NaN");

  Array<double> out({tiou_thresholds.shape(0), pybind11::ssize_t(num_classes)});  // [Q, C]
  double* result = out.mutable_data();
  constexpr int64_t kPredictionsPerThread = 10'000;  // starting a thread takes as long as matching some hundreds
  const pybind11::gil_scoped_release unlocked;
  const wtal::PredictionsAndInstances data{pred_segments.data(), scores, pred_groups.data(), pred_segments.shape(0),
                                           gt_segments.data(), gt_groups.data(), gt_segments.shape(0), num_classes};
  wtal::average_precision(data, tiou_thresholds.data(), tiou_thresholds.shape(0), result, WTAL_FASTEST(match_loops)(),
                          [&](int64_t classes, const auto& work) {
                            wtal::share_out(classes, 1 + data.preds / kPredictionsPerThread, work);
                          });
  return out;
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("average_precision", &average_precision, pybind11::arg("pred_segments"), pybind11::arg("pred_scores"),
             pybind11::arg("pred_groups"), pybind11::arg("gt_segments"), pybind11::arg("gt_groups"),
             pybind11::arg("num_classes"), pybind11::arg("tiou_thresholds"),
             "Average precision [Q, num_classes] by the ActivityNet protocol; group = video * num_classes + class. "
             "0 for a class nobody predicted, NaN for one without ground truth.");
}
