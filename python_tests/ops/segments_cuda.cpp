// The CUDA kernels of the segment ops on CPU memory, for fibers.py. Blocks have fewer warps than on a GPU
// where their number is a template argument.
#include "cuda_on_cpu.h"

#include "cuda/average_precision.cuh"
#include "cuda/cas_rows.cuh"
#include "cuda/propose.cuh"
#include "cuda/resampled_rows.cuh"
#include "cuda/soft_temporal_nms.cuh"
#include "cuda/temporal_iou.cuh"
#include "cuda/temporal_nms.cuh"

using namespace wtal;

namespace {

constexpr int kWarps = 2;

template <typename Rows, typename Out>
void run_proposals(const Rows& rows, const Levels& levels, const Out& out, int64_t* number) {
  cuda_on_cpu::Sequence sequence;
  const ProposeWork work = count_proposals(sequence, rows, levels);
  write_proposals(sequence, rows, levels, work, out);
  pad_proposals(sequence, rows.count, work, out, number);
}

}  // namespace

extern "C" {

void add_up(int64_t* values, int64_t count) {
  cuda_on_cpu::Sequence sequence;
  wtal::add_up<kWarps>(sequence, values, count);
}

void temporal_nms(const double* segments, const double* scores, const int64_t* groups, int64_t count, double threshold,
                  double offset, int64_t* index, int64_t* number) {
  cuda_on_cpu::Sequence sequence;
  wtal::temporal_nms(sequence, {segments, scores, groups, count, 0, INT64_MIN, sequence.zeros<int64_t>(1)}, threshold, offset, {index, nullptr, number});
}

void soft_temporal_nms(const double* segments, const double* scores, const int64_t* groups, int64_t count,
                       double threshold, double offset, int gaussian, double sigma, double min_score, int64_t* index,
                       double* new_scores, int64_t* number) {
  cuda_on_cpu::Sequence sequence;
  wtal::soft_temporal_nms<kWarps>(sequence, {segments, scores, groups, count, 0, INT64_MIN, sequence.zeros<int64_t>(1)},
                                  {threshold, offset, gaussian != 0, sigma, min_score}, {index, new_scores, number});
}

void temporal_iou(const double* a, const double* b, int64_t a_count, int64_t b_count, int type, void* out) {
  cuda_on_cpu::Sequence sequence;
  const auto run = [&](auto kernel) {
    sequence.launch(kernel, element_blocks(a_count * b_count), kElementThreads, a, b, b_count, a_count * b_count, out);
  };
  switch (NumberType(type)) {
    case NumberType::float32: return run(temporal_iou_kernel<float>);
    case NumberType::float64: return run(temporal_iou_kernel<double>);
    case NumberType::bfloat16: return run(temporal_iou_kernel<BFloat16>);
    case NumberType::float16: return run(temporal_iou_kernel<Float16>);
  }
}

void average_precision(const double* pred_segments, const double* pred_scores, const int64_t* pred_groups, int64_t preds,
                       const double* gt_segments, const int64_t* gt_groups, int64_t instances, int64_t classes,
                       const double* thresholds, int64_t levels, double* areas, int64_t* refused) {
  cuda_on_cpu::Sequence sequence;
  wtal::average_precision<kWarps>(sequence, {pred_segments, pred_scores, pred_groups, preds, 0, 0, refused},
                                  {gt_segments, nullptr, gt_groups, instances, 0, 0, refused}, classes, thresholds,
                                  levels, refused, areas);
}

// shape: videos, samples, classes, thresholds; strides of cas; out: start, end, label, video [capacity].
void propose(const int64_t* shape, const double* cas, const int64_t* strides, const double* gate, const int64_t* lengths,
             const bool* mask, const double* class_scores, double class_weight, const double* thresholds,
             double outer_ratio, int outer_closed, int outer_raw, int64_t min_run, int skip_run_at_zero,
             int64_t capacity, int64_t* const* out, double* score, int64_t* number) {
  const int64_t videos = shape[0], classes = shape[2], count = videos * classes, levels = shape[3];
  const CasRows rows{videos, classes, count, shape[1], cas, strides[0], strides[1], strides[2], gate, lengths, mask,
                     class_scores, class_weight, videos + count};
  const ProposeRule rule{outer_ratio, outer_closed != 0, outer_raw != 0, min_run, skip_run_at_zero != 0};
  run_proposals(rows, {thresholds, thresholds, gate ? 0 : levels, gate ? levels : 0, rule, rule.outer_raw},
                Proposed{capacity, out[0], out[1], score, out[2], out[3], classes}, number);
}

// shape: rows, snippets, thresholds, thresholds of the gate, largest count; single: float32, of sequences and of the gate.
void propose_resampled(const int64_t* shape, const void* sequences, const void* gate, const int* single,
                       const int64_t* lengths, const int64_t* counts, const double* durations, int resampling,
                       const double* thresholds, const double* gate_thresholds, double outer_ratio, int outer_closed,
                       int64_t min_run, int skip_run_at_zero, const double* class_scores, double class_weight,
                       int64_t capacity, double* segments, double* score, int64_t* row, bool* gated, int64_t* number) {
  const int64_t count = shape[0], time = shape[1];
  const ResampledRows rows{count, time, shape[4], {sequences, single[0] != 0}, {gate, single[1] != 0}, lengths, counts,
                           Resampling(resampling), class_scores, class_weight, time > 1 ? count * time : count};
  const ProposeRule rule{outer_ratio, outer_closed != 0, false, min_run, skip_run_at_zero != 0};
  run_proposals(rows, {thresholds, gate_thresholds, shape[2], gate ? shape[3] : 0, rule, true},
                ProposedSeconds{capacity, segments, score, row, gated, counts, durations}, number);
}

int64_t largest(const int64_t* counts, int64_t count) {
  cuda_on_cpu::Sequence sequence;
  int64_t* found = sequence.zeros<int64_t>(1);
  sequence.launch(largest_kernel, count > 0, kElementThreads, counts, count, found);
  return *found;
}

}  // extern "C"
