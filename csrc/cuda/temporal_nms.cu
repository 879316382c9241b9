#include "cuda/temporal_nms.cuh"

#include "cuda/launch.h"
#include "segment_tensors.h"

namespace {

using namespace wtal;

struct Result {
  Tensor index, number;  // [N] and []
};

Result run(Sequence& sequence, const Tensor& segments, const Tensor& scores, const Tensor& groups, double tiou_threshold,
           double offset) {
  const int64_t count = segments.size(0);
  const Tensor bounds = as_segments(segments, scores), values = as_scores(scores, count, scores),
               names = index_vector(groups, count, scores);
  Result result{torch::stable::new_empty(scores, {count}, ScalarType::Long),
                torch::stable::new_zeros(scores, {}, ScalarType::Long)};
  temporal_nms(sequence,
               {doubles(bounds), doubles(values), integers(names), count, 0, INT64_MIN, sequence.zeros<int64_t>(1)},
               tiou_threshold, offset, {mutable_integers(result.index), nullptr, mutable_integers(result.number)});
  return result;
}

std::tuple<Tensor, Tensor> temporal_nms_padded(const Tensor& segments,  // [N, 2]
                                               const Tensor& scores,    // [N]
                                               const Tensor& groups,    // [N]
                                               double tiou_threshold, double offset) {
  Sequence sequence(scores);
  const Result result = run(sequence, segments, scores, groups, tiou_threshold, offset);
  return {result.index, result.number};
}

Tensor temporal_nms_of(const Tensor& segments, const Tensor& scores, const Tensor& groups, double tiou_threshold,
                       double offset) {
  Sequence sequence(scores);
  Result result = run(sequence, segments, scores, groups, tiou_threshold, offset);
  const int64_t number = sequence.read(integers(result.number));
  STD_TORCH_CHECK(number >= 0, "temporal_nms: segments and scores must be finite with end >= start");
  return torch::stable::narrow(result.index, 0, 0, number);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("temporal_nms", TORCH_BOX(&temporal_nms_of));
  library.impl("temporal_nms_padded", TORCH_BOX(&temporal_nms_padded));
}
