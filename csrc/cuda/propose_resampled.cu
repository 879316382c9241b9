#include "cuda/launch.h"
#include "cuda/propose.cuh"
#include "cuda/resampled_rows.cuh"
#include "resize_name.h"
#include "segment_tensors.h"

namespace {

using namespace wtal;

// Sequences [R, T] as they are read; keeps a contiguous copy alive.
struct Contiguous {
  Tensor tensor;
  Snippets snippets;

  Contiguous(const Tensor& given, int64_t rows, int64_t time, const Tensor& like)
      : tensor(torch::stable::contiguous(given)),
        snippets{tensor.const_data_ptr(), tensor.scalar_type() == ScalarType::Float} {
    STD_TORCH_CHECK(tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == time &&
                        tensor.device() == like.device() &&
                        (snippets.single || tensor.scalar_type() == ScalarType::Double),
                    "propose_resampled: sequences and gate must be [R, T], float32 or float64, on one device");
  }
};

// The arguments as arrays on the device, which live as long as this.
struct Arguments {
  Contiguous sequences;
  std::optional<Contiguous> gate;
  Tensor lengths, counts, durations, thresholds, gate_thresholds, class_scores;
  ResampledRows rows;
  Levels levels;

  Arguments(const Tensor& given, const Tensor& given_lengths, const Tensor& given_counts, const Tensor& seconds,
            const Tensor& own_levels, const std::string& resize, const std::optional<Tensor>& given_gate,
            const Tensor& gate_levels, const ProposeRule& rule, const Tensor& scores, double class_weight)
      : sequences(given, given.size(0), given.size(1), given),
        lengths(index_vector(given_lengths, given.size(0), given)),
        counts(index_vector(given_counts, given.size(0), given)),
        durations(as_scores(seconds, given.size(0), given)),
        thresholds(as_double(own_levels, given)),
        gate_thresholds(as_double(gate_levels, given)),
        class_scores(as_scores(scores, given.size(0), given)) {
    STD_TORCH_CHECK(thresholds.dim() == 1 && gate_thresholds.dim() == 1, "propose_resampled: thresholds must be [M]");
    const int64_t count = given.size(0), time = given.size(1);
    if (given_gate) gate.emplace(*given_gate, count, time, given);
    rows = {count, time, time, sequences.snippets, gate ? gate->snippets : Snippets{}, integers(lengths), integers(counts),
            resampling_named(resize), doubles(class_scores), class_weight, time > 1 ? count * time : count};
    levels = {doubles(thresholds), doubles(gate_thresholds), thresholds.size(0), gate ? gate_thresholds.size(0) : 0, rule,
              true};
  }

  // Makes room for `largest` samples a row, for as many as the largest count asks for where that is not given.
  void fit(Sequence& sequence, const std::optional<int64_t>& largest) {
    if (rows.rule == Resampling::none) return;
    if (largest) {
      rows.most = *largest;
    } else {
      int64_t* found = sequence.zeros<int64_t>(1);
      sequence.launch(largest_kernel, rows.count > 0, kElementThreads, rows.counts, rows.count, found);
      rows.most = sequence.read(found);
    }
    STD_TORCH_CHECK(rows.most >= 0 && rows.most <= INT32_MAX, "propose_resampled: counts must be in 0..2**31 - 1");
  }
};

struct Result {
  Tensor segments, score, row, gated;

  Result(int64_t size, const Tensor& like)
      : segments(torch::stable::new_empty(like, {size, 2}, ScalarType::Double)),
        score(torch::stable::new_empty(like, {size}, ScalarType::Double)),
        row(torch::stable::new_empty(like, {size}, ScalarType::Long)),
        gated(torch::stable::new_empty(like, {size}, ScalarType::Bool)) {}

  ProposedSeconds arrays(const Arguments& given) {
    return {score.size(0), mutable_doubles(segments), mutable_doubles(score), mutable_integers(row),
            static_cast<bool*>(gated.mutable_data_ptr()), integers(given.counts), doubles(given.durations)};
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> propose_resampled_padded(
    const Tensor& sequences,            // [R, T]
    const Tensor& lengths,              // [R]
    const Tensor& counts,               // [R]
    const Tensor& durations,            // [R]
    const Tensor& thresholds,           // [M]
    std::string resize,
    const std::optional<Tensor>& gate,  // [R, T]
    const Tensor& gate_thresholds,      // [G]
    double outer_ratio, bool outer_closed, int64_t min_run, bool skip_run_at_zero,
    const Tensor& class_scores,  // [R]
    double class_weight, int64_t max_count, int64_t capacity) {
  STD_TORCH_CHECK(capacity >= 0, "propose_resampled_padded: capacity must be at least 0");
  Arguments given(sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds,
                  {outer_ratio, outer_closed, false, min_run, skip_run_at_zero}, class_scores, class_weight);
  Sequence sequence(sequences);
  given.fit(sequence, max_count);
  Result result(capacity, sequences);
  Tensor number = torch::stable::new_empty(sequences, {}, ScalarType::Long);
  const ProposedSeconds out = result.arrays(given);
  const ProposeWork work = count_proposals(sequence, given.rows, given.levels);
  write_proposals(sequence, given.rows, given.levels, work, out);
  pad_proposals(sequence, given.rows.count, work, out, mutable_integers(number));
  return {result.segments, result.score, result.row, result.gated, number};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> propose_resampled(
    const Tensor& sequences, const Tensor& lengths, const Tensor& counts, const Tensor& durations,
    const Tensor& thresholds, std::string resize, const std::optional<Tensor>& gate, const Tensor& gate_thresholds,
    double outer_ratio, bool outer_closed, int64_t min_run, bool skip_run_at_zero, const Tensor& class_scores,
    double class_weight, std::optional<int64_t> max_count) {
  Arguments given(sequences, lengths, counts, durations, thresholds, resize, gate, gate_thresholds,
                  {outer_ratio, outer_closed, false, min_run, skip_run_at_zero}, class_scores, class_weight);
  Sequence sequence(sequences);
  given.fit(sequence, max_count);
  const ProposeWork work = count_proposals(sequence, given.rows, given.levels);
  const int64_t found = number_of_proposals(sequence, given.rows.count, work);
  STD_TORCH_CHECK(found >= 0,
                  "propose_resampled: sequences and gate must be finite, thresholds at least 0, lengths in 1..T, counts what "
                  "resize makes of them and at most max_count");
  Result result(found, sequences);
  write_proposals(sequence, given.rows, given.levels, work, result.arrays(given));
  return {result.segments, result.score, result.row, result.gated};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("propose_resampled", TORCH_BOX(&propose_resampled));
  library.impl("propose_resampled_padded", TORCH_BOX(&propose_resampled_padded));
}
