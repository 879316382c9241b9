#include "cpu/propose.h"

#include "core/propose.h"
#include "cpu/propose_checks.h"

namespace {

using namespace wtal;

struct Row {
  int64_t video, label;
  std::vector<Proposal> found;
};

// False where a sample is not finite.
bool copy_row(const Tensor& from, int64_t offset, int64_t stride, const Samples& to) {
  const double* source = doubles(from) + offset;
  for (int64_t j = 0; j < to.length; ++j) to.values[j] = source[j * stride];
  return all_finite(to.values, to.length);
}

std::vector<Row> kept_rows(const Tensor& class_mask) {
  const bool* mask = static_cast<const bool*>(class_mask.const_data_ptr());
  std::vector<Row> rows;
  for (int64_t v = 0; v < class_mask.size(0); ++v)
    for (int64_t c = 0; c < class_mask.size(1); ++c)
      if (mask[v * class_mask.size(1) + c]) rows.push_back({v, c, {}});
  return rows;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> pack(const std::vector<Row>& rows, const Tensor& like) {
  int64_t total = 0;
  for (const Row& row : rows) total += int64_t(row.found.size());
  const auto empty = [&](ScalarType type) { return torch::stable::new_empty(like, {total}, type); };
  Tensor start = empty(ScalarType::Long), end = empty(ScalarType::Long), score = empty(ScalarType::Double),
         label = empty(ScalarType::Long), video = empty(ScalarType::Long);
  int64_t *starts = mutable_integers(start), *ends = mutable_integers(end), *labels = mutable_integers(label),
          *videos = mutable_integers(video);
  double* scores = static_cast<double*>(score.mutable_data_ptr());
  for (const Row& row : rows)
    for (const Proposal& proposal : row.found) {
      *starts++ = proposal.start;
      *ends++ = proposal.end;
      *scores++ = proposal.score;
      *labels++ = row.label;
      *videos++ = row.video;
    }
  return {start, end, score, label, video};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> propose(const Tensor& cas,                  // [V, T, C]
                                                           const Tensor& thresholds,           // [M]
                                                           const Tensor& class_mask,           // [V, C]
                                                           const Tensor& lengths,              // [V]
                                                           const std::optional<Tensor>& gate,  // [V, T]
                                                           double outer_ratio, bool outer_closed, bool outer_raw,
                                                           int64_t min_run, bool skip_run_at_zero,
                                                           const Tensor& class_scores,  // [V, C]
                                                           double class_weight) {
  STD_TORCH_CHECK(cas.dim() == 3, "propose: cas must be [V, T, C]");
  const int64_t videos = cas.size(0), time = cas.size(1), classes = cas.size(2);
  const auto per_class = [&](const Tensor& tensor) {
    return tensor.dim() == 2 && tensor.size(0) == videos && tensor.size(1) == classes;
  };
  STD_TORCH_CHECK(per_class(class_mask) && per_class(class_scores) && class_mask.scalar_type() == ScalarType::Bool,
                  "propose: class_mask (bool) and class_scores must be [V, C]");
  STD_TORCH_CHECK(!gate || (gate->dim() == 2 && gate->size(0) == videos && gate->size(1) == time),
                  "propose: gate must be [V, T]");
  STD_TORCH_CHECK(thresholds.dim() == 1, "propose: thresholds must be [M]");
  STD_TORCH_CHECK(cas.is_cpu() && class_mask.is_cpu(), "propose: expected every argument on the CPU");
  const Tensor values = torch::stable::to(cas, ScalarType::Double), levels = as_double(thresholds, cas);
  const Tensor weights = as_double(class_scores, cas), valid = index_vector(lengths, videos, cas);
  const Tensor mask = torch::stable::contiguous(class_mask);
  const std::optional<Tensor> steering = gate ? std::optional(as_double(*gate, cas)) : std::nullopt;
  const ProposeRule rule{outer_ratio, outer_closed, outer_raw, min_run, skip_run_at_zero};
  for (int64_t v = 0; v < videos; ++v)
    STD_TORCH_CHECK(integers(valid)[v] >= 0 && integers(valid)[v] <= time, "propose: lengths must be in 0..T");
  check_thresholds(levels);

  std::vector<Row> rows = kept_rows(mask);
  std::vector<uint8_t> finite(rows.size(), 1);
  const SampleLoops loops = WTAL_FASTEST(sample_loops)();
  torch::stable::parallel_for(0, int64_t(rows.size()), 1, [&](int64_t begin, int64_t end) {
    SampleStore store, gate_store;
    Proposer proposer(loops);
    for (int64_t r = begin; r < end; ++r) {
      Row& row = rows[r];
      const double weight = doubles(weights)[row.video * classes + row.label];
      const Samples sequence = store.resize(integers(valid)[row.video]);
      finite[r] = std::isfinite(weight) &
                  copy_row(values, row.video * values.stride(0) + row.label * values.stride(2), values.stride(1), sequence);
      loops.add_up(sequence);
      Samples above = sequence;
      if (steering) {
        above = gate_store.resize(sequence.length);
        finite[r] &= uint8_t(copy_row(*steering, row.video * time, 1, above));
      }
      loops.bound(above);
      proposer.propose(sequence, above, doubles(levels), levels.size(0), rule, class_weight * weight, row.found);
    }
  });
  check_all_finite(finite);
  return pack(rows, cas);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("propose", TORCH_BOX(&propose)); }
