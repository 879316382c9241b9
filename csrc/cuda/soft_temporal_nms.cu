#include "cuda/soft_temporal_nms.cuh"

#include <string>

#include "cuda/launch.h"
#include "segment_tensors.h"

namespace {

using namespace wtal;

struct Result {
  Tensor index, scores, number;  // [N], [N] float64 and []
};

Result run(Sequence& sequence, const Tensor& segments, const Tensor& scores, const Tensor& groups, const Decay& decay) {
  const int64_t count = segments.size(0);
  const Tensor bounds = as_segments(segments, scores), values = as_scores(scores, count, scores),
               names = index_vector(groups, count, scores);
  Result result{torch::stable::new_empty(scores, {count}, ScalarType::Long),
                torch::stable::new_empty(scores, {count}, ScalarType::Double),
                torch::stable::new_zeros(scores, {}, ScalarType::Long)};
  soft_temporal_nms(sequence,
                    {doubles(bounds), doubles(values), integers(names), count, 0, INT64_MIN, sequence.zeros<int64_t>(1)},
                    decay,
                    {mutable_integers(result.index), mutable_doubles(result.scores), mutable_integers(result.number)});
  return result;
}

std::tuple<Tensor, Tensor, Tensor> soft_temporal_nms_padded(const Tensor& segments,  // [N, 2]
                                                            const Tensor& scores,    // [N]
                                                            const Tensor& groups,    // [N]
                                                            double tiou_threshold, double offset, std::string method,
                                                            double sigma, double min_score) {
  Sequence sequence(scores);
  const Result result = run(sequence, segments, scores, groups,
                            {tiou_threshold, offset, method == "gaussian", sigma, min_score});
  return {result.index, torch::stable::to(result.scores, scores.scalar_type()), result.number};
}

std::tuple<Tensor, Tensor> soft_temporal_nms_of(const Tensor& segments, const Tensor& scores, const Tensor& groups,
                                                double tiou_threshold, double offset, std::string method, double sigma,
                                                double min_score) {
  Sequence sequence(scores);
  Result result = run(sequence, segments, scores, groups,
                      {tiou_threshold, offset, method == "gaussian", sigma, min_score});
  const int64_t number = sequence.read(integers(result.number));
  STD_TORCH_CHECK(number >= 0, "soft_temporal_nms: segments and scores must be finite with end >= start");
  return {torch::stable::narrow(result.index, 0, 0, number),
          torch::stable::to(torch::stable::narrow(result.scores, 0, 0, number), scores.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("soft_temporal_nms", TORCH_BOX(&soft_temporal_nms_of));
  library.impl("soft_temporal_nms_padded", TORCH_BOX(&soft_temporal_nms_padded));
}
