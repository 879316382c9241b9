#include "core/propose.h"
#include "cpu/propose.h"
#include "cpu/propose_checks.h"
#include "resize_name.h"

namespace {

using namespace wtal;

constexpr int64_t kRowsPerThread = 4;

// Sequences [R, T] of one floating point type, of which the first lengths [R] numbers count.
class Sequences {
 public:
  Sequences(const Tensor& tensor, const int64_t* lengths, const SampleLoops& loops, Resampling rule)
      : tensor_(torch::stable::contiguous(tensor)), time_(tensor.size(1)), lengths_(lengths), loops_(loops), rule_(rule) {
    const ScalarType type = tensor.scalar_type();
    STD_TORCH_CHECK(tensor.is_cpu() && (type == ScalarType::Float || type == ScalarType::Double),
                    "propose_resampled: sequences must be float32 or float64 on the CPU");
  }

  // Row r as `samples` samples; false where a snippet may not be resampled.
  bool resample(int64_t r, int64_t samples, double* out) const {
    if (tensor_.scalar_type() == ScalarType::Float) return resample_as<float>(r, samples, loops_.resample32, out);
    return resample_as<double>(r, samples, loops_.resample64, out);
  }

 private:
  template <typename Real, typename Loop>
  bool resample_as(int64_t r, int64_t samples, const Loop& loop, double* out) const {
    const Real* row = static_cast<const Real*>(tensor_.const_data_ptr()) + r * time_;
    bool good = true;
    for (int64_t t = 0; t < lengths_[r]; ++t) good &= may_resample(row[t]);
    loop(row, lengths_[r], rule_, samples, out);
    return good;
  }

  Tensor tensor_;
  int64_t time_;
  const int64_t* lengths_;
  SampleLoops loops_;
  Resampling rule_;
};

struct RowProposals {
  std::vector<Proposal> found;  // of the sequence, then of the gate
  size_t gated = 0;             // where those of the gate start
};

std::tuple<Tensor, Tensor, Tensor, Tensor> pack(const std::vector<RowProposals>& rows, const int64_t* counts,
                                                const double* durations) {
  std::vector<int64_t> begins(rows.size() + 1, 0);
  for (size_t r = 0; r < rows.size(); ++r) begins[r + 1] = begins[r] + int64_t(rows[r].found.size());
  const int64_t total = begins.back();
  Tensor bounds = empty_vector(2 * total, aoti_torch_dtype_float64()), score = empty_vector(total, aoti_torch_dtype_float64());
  Tensor index = empty_vector(total, aoti_torch_dtype_int64()), gated = empty_vector(total, aoti_torch_dtype_bool());
  double *to_bounds = mutable_doubles(bounds), *to_score = mutable_doubles(score);
  int64_t* to_index = mutable_integers(index);
  bool* to_gated = static_cast<bool*>(gated.mutable_data_ptr());
  torch::stable::parallel_for(0, int64_t(rows.size()), kRowsPerThread, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r)
      for (size_t i = 0; i < rows[r].found.size(); ++i) {
        const Proposal& proposal = rows[r].found[i];
        const int64_t place = begins[r] + int64_t(i);
        to_bounds[2 * place] = in_seconds(proposal.start, counts[r], durations[r]);
        to_bounds[2 * place + 1] = in_seconds(proposal.end, counts[r], durations[r]);
        to_score[place] = proposal.score;
        to_index[place] = r;
        to_gated[place] = i >= rows[r].gated;
      }
  });
  return {torch::stable::view(bounds, {total, 2}), score, index, gated};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> propose_resampled(const Tensor& sequences,            // [R, T]
                                                             const Tensor& lengths,              // [R]
                                                             const Tensor& counts,               // [R]
                                                             const Tensor& durations,            // [R]
                                                             const Tensor& thresholds,           // [M]
                                                             std::string resize,
                                                             const std::optional<Tensor>& gate,  // [R, T]
                                                             const Tensor& gate_thresholds,      // [G]
                                                             double outer_ratio, bool outer_closed, int64_t min_run,
                                                             bool skip_run_at_zero, const Tensor& class_scores,  // [R]
                                                             double class_weight, std::optional<int64_t> max_count) {
  STD_TORCH_CHECK(sequences.dim() == 2 && thresholds.dim() == 1 && gate_thresholds.dim() == 1,
                  "propose_resampled: sequences must be [R, T], thresholds [M]");
  const int64_t rows = sequences.size(0), time = sequences.size(1);
  STD_TORCH_CHECK(!gate || (gate->dim() == 2 && gate->size(0) == rows && gate->size(1) == time),
                  "propose_resampled: gate must be [R, T]");
  const Tensor valid = index_vector(lengths, rows, sequences), sizes = index_vector(counts, rows, sequences);
  const Tensor seconds = as_scores(durations, rows, sequences), added = as_scores(class_scores, rows, sequences);
  const Tensor levels = as_double(thresholds, sequences), gate_levels = as_double(gate_thresholds, sequences);
  const Resampling resampling = resampling_named(resize);
  const int64_t most = std::min(max_count.value_or(INT32_MAX), int64_t{INT32_MAX});
  check_thresholds(levels);
  if (gate) check_thresholds(gate_levels);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t length = integers(valid)[r], samples = integers(sizes)[r];
    STD_TORCH_CHECK(length >= 1 && length <= time && samples >= 0 && samples <= most &&
                        (resampling != Resampling::none || samples == length) &&
                        (resampling != Resampling::stpn || samples % length == 0),
                    "propose_resampled: lengths must be in 1..T, counts what resize makes of them and at most max_count");
  }

  const SampleLoops loops = WTAL_FASTEST(sample_loops)();
  const Sequences from(sequences, integers(valid), loops, resampling);
  const std::optional<Sequences> gates = gate ? std::optional<Sequences>(std::in_place, *gate, integers(valid), loops, resampling)
                                              : std::nullopt;
  const ProposeRule rule{outer_ratio, outer_closed, false, min_run, skip_run_at_zero};
  const ProposeRule gate_rule{outer_ratio, outer_closed, true, min_run, skip_run_at_zero};
  std::vector<RowProposals> found(rows);
  std::vector<uint8_t> finite(rows, 1);
  torch::stable::parallel_for(0, rows, kRowsPerThread, [&](int64_t begin, int64_t end) {
    SampleStore store, gate_store;
    Proposer proposer(loops);
    for (int64_t r = begin; r < end; ++r) {
      const double extra = class_weight * doubles(added)[r];
      const Samples samples = store.resize(integers(sizes)[r]);
      finite[r] = from.resample(r, samples.length, samples.values);
      loops.add_up(samples);
      loops.bound(samples);
      proposer.propose(samples, samples, doubles(levels), levels.size(0), rule, extra, found[r].found);
      found[r].gated = found[r].found.size();
      if (!gates) continue;
      const Samples steering = gate_store.resize(samples.length);
      finite[r] &= uint8_t(gates->resample(r, steering.length, steering.values));
      loops.bound(steering);
      proposer.propose(samples, steering, doubles(gate_levels), gate_levels.size(0), gate_rule, extra, found[r].found);
    }
  });
  check_all_finite(finite);
  return pack(found, integers(sizes), doubles(seconds));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("propose_resampled", TORCH_BOX(&propose_resampled)); }
