#include "cuda/propose.cuh"

#include "cuda/cas_rows.cuh"
#include "cuda/launch.h"
#include "segment_tensors.h"

namespace {

using namespace wtal;

// The arguments as arrays on the device, which live as long as this.
struct Arguments {
  Tensor values, levels, mask, valid, weights;
  std::optional<Tensor> steering;
  CasRows rows;
  Levels thresholds;

  Arguments(const Tensor& cas, const Tensor& given_levels, const Tensor& class_mask, const Tensor& lengths,
            const std::optional<Tensor>& gate, const ProposeRule& rule, const Tensor& class_scores, double class_weight)
      : values(torch::stable::to(cas, ScalarType::Double)),
        levels(as_double(given_levels, cas)),
        mask(torch::stable::contiguous(class_mask)),
        valid(index_vector(lengths, cas.size(0), cas)),
        weights(as_double(class_scores, cas)) {
    STD_TORCH_CHECK(cas.dim() == 3, "propose: cas must be [V, T, C]");
    const int64_t videos = cas.size(0), time = cas.size(1), classes = cas.size(2), count = videos * classes;
    const auto per_class = [&](const Tensor& tensor) {
      return tensor.dim() == 2 && tensor.size(0) == videos && tensor.size(1) == classes;
    };
    STD_TORCH_CHECK(per_class(mask) && per_class(weights) && mask.scalar_type() == ScalarType::Bool &&
                        mask.device() == cas.device(),
                    "propose: class_mask (bool) and class_scores must be [V, C]");
    STD_TORCH_CHECK(!gate || (gate->dim() == 2 && gate->size(0) == videos && gate->size(1) == time),
                    "propose: gate must be [V, T]");
    STD_TORCH_CHECK(levels.dim() == 1, "propose: thresholds must be [M]");
    if (gate) steering = as_double(*gate, cas);
    rows = {videos, classes, count, time, doubles(values), values.stride(0), values.stride(1), values.stride(2),
            steering ? doubles(*steering) : nullptr, integers(valid), static_cast<const bool*>(mask.const_data_ptr()),
            doubles(weights), class_weight, videos + count};
    const int64_t own = gate ? 0 : levels.size(0), gated = gate ? levels.size(0) : 0;
    thresholds = {doubles(levels), doubles(levels), own, gated, rule, rule.outer_raw};
  }
};

struct Result {
  Tensor start, end, score, label, video;

  Result(int64_t size, const Tensor& like)
      : start(torch::stable::new_empty(like, {size}, ScalarType::Long)),
        end(torch::stable::new_empty(like, {size}, ScalarType::Long)),
        score(torch::stable::new_empty(like, {size}, ScalarType::Double)),
        label(torch::stable::new_empty(like, {size}, ScalarType::Long)),
        video(torch::stable::new_empty(like, {size}, ScalarType::Long)) {}

  Proposed arrays(int64_t classes) {
    return {start.size(0),           mutable_integers(start), mutable_integers(end), mutable_doubles(score),
            mutable_integers(label), mutable_integers(video), classes};
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> propose_padded(
    const Tensor& cas,                  // [V, T, C]
    const Tensor& thresholds,           // [M]
    const Tensor& class_mask,           // [V, C]
    const Tensor& lengths,              // [V]
    const std::optional<Tensor>& gate,  // [V, T]
    double outer_ratio, bool outer_closed, bool outer_raw, int64_t min_run, bool skip_run_at_zero,
    const Tensor& class_scores,  // [V, C]
    double class_weight, int64_t capacity) {
  STD_TORCH_CHECK(capacity >= 0, "propose_padded: capacity must be at least 0");
  const Arguments given(cas, thresholds, class_mask, lengths, gate,
                        {outer_ratio, outer_closed, outer_raw, min_run, skip_run_at_zero}, class_scores, class_weight);
  Result result(capacity, cas);
  Tensor number = torch::stable::new_empty(cas, {}, ScalarType::Long);
  Sequence sequence(cas);
  const Proposed out = result.arrays(given.rows.classes);
  const ProposeWork work = count_proposals(sequence, given.rows, given.thresholds);
  write_proposals(sequence, given.rows, given.thresholds, work, out);
  pad_proposals(sequence, given.rows.count, work, out, mutable_integers(number));
  return {result.start, result.end, result.score, result.label, result.video, number};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> propose(const Tensor& cas, const Tensor& thresholds,
                                                           const Tensor& class_mask, const Tensor& lengths,
                                                           const std::optional<Tensor>& gate, double outer_ratio,
                                                           bool outer_closed, bool outer_raw, int64_t min_run,
                                                           bool skip_run_at_zero, const Tensor& class_scores,
                                                           double class_weight) {
  const Arguments given(cas, thresholds, class_mask, lengths, gate,
                        {outer_ratio, outer_closed, outer_raw, min_run, skip_run_at_zero}, class_scores, class_weight);
  Sequence sequence(cas);
  const ProposeWork work = count_proposals(sequence, given.rows, given.thresholds);
  const int64_t found = number_of_proposals(sequence, given.rows.count, work);
  STD_TORCH_CHECK(found >= 0, "propose: numbers must be finite, thresholds at least 0, lengths in 0..T");
  Result result(found, cas);
  write_proposals(sequence, given.rows, given.thresholds, work, result.arrays(given.rows.classes));
  return {result.start, result.end, result.score, result.label, result.video};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("propose", TORCH_BOX(&propose));
  library.impl("propose_padded", TORCH_BOX(&propose_padded));
}
