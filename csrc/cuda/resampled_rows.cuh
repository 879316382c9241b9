// Sequences [rows, time] of snippets that are resampled in time; no sample is stored.
#pragma once

#include "core/propose_rules.h"
#include "core/resample_rules.h"
#include "cuda/rank.cuh"

namespace wtal {

// Sequences of float32 or float64.
struct Snippets {
  const void* values;  // [rows, time] or null
  bool single;         // float32

  __device__ bool is_good(int64_t i) const {
    return single ? may_resample(static_cast<const float*>(values)[i]) : may_resample(static_cast<const double*>(values)[i]);
  }
};

struct ResampledRow {
  Snippets own, gate;
  int64_t begin, snippets, length;  // begin: of the row in the arrays
  Resampling rule;
  double scale;  // snippets a sample
  double extra;

  template <typename Real>
  __device__ double at(const Real* values, int64_t j) const {
    if (rule == Resampling::half_pixel)
      return between_pixels(values, int32_t(snippets - 1), half_pixel_position(scale, int32_t(j)));
    if (rule == Resampling::none || snippets == 1) return double(values[snippets == 1 ? 0 : j]);
    const double x = double(j) * scale;
    return on_line(line_from(values, snippet_before(x, snippets)), x);
  }

  __device__ double at(const Snippets& from, int64_t j) const {
    return from.single ? at(static_cast<const float*>(from.values) + begin, j)
                       : at(static_cast<const double*>(from.values) + begin, j);
  }

  __device__ double sample(int64_t j) const { return at(own, j); }
  __device__ double steering(int64_t j) const { return at(gate, j); }
};

struct ResampledRows {
  int64_t count, time, most;  // most: samples that a row may have
  Snippets sequences, gate;
  const int64_t *lengths, *counts;  // [rows]
  Resampling rule;
  const double* class_scores;  // [rows]
  double class_weight;
  int64_t checked;  // count * time, at least count

  __device__ bool fits(int64_t row) const {
    const int64_t length = lengths[row], samples = counts[row];
    if (length < 1 || length > time || samples < 0 || samples > most) return false;
    return rule == Resampling::half_pixel || (rule == Resampling::none ? samples == length : samples % length == 0);
  }

  __device__ ResampledRow row(int64_t i) const {
    const int64_t length = lengths[i], samples = fits(i) ? counts[i] : 0;
    const double scale = samples == 0 ? 0
                         : rule == Resampling::stpn ? 1.0 / double(samples / length) : double(length) / double(samples);
    return {sequences, gate, i * time, length, samples, rule, scale, class_weight * class_scores[i]};
  }

  __device__ bool accepts(double) const { return true; }  // is_good looks at the snippets

  __device__ bool is_good(int64_t i) const {
    if (i < count && !fits(i)) return false;
    const int64_t row = time ? i / time : 0;
    if (row >= count || i - row * time >= lengths[row]) return true;
    return sequences.is_good(i) && (!gate.values || gate.is_good(i));
  }
};

struct ProposedSeconds {
  int64_t capacity;   // of the arrays
  double* segments;   // [capacity, 2]
  double* score;
  int64_t* row;
  bool* gated;
  const int64_t* counts;    // [rows]
  const double* durations;  // [rows]

  __device__ void write(int64_t i, int64_t own_row, const Run& run, double own_score, bool of_gate) const {
    segments[2 * i] = in_seconds(run.start, counts[own_row], durations[own_row]);
    segments[2 * i + 1] = in_seconds(run.end, counts[own_row], durations[own_row]);
    score[i] = own_score;
    row[i] = own_row;
    gated[i] = of_gate;
  }

  __device__ void pad(int64_t i) const {
    segments[2 * i] = segments[2 * i + 1] = 0;
    score[i] = 0;
    row[i] = -1;
    gated[i] = false;
  }
};

// Becomes the largest of the counts, at least 0.
static __global__ void __launch_bounds__(kElementThreads)
    largest_kernel(const int64_t* counts, int64_t count, int64_t* largest) {
  int64_t own = 0;
  for (int64_t i = threadIdx.x; i < count; i += kElementThreads) own = counts[i] > own ? counts[i] : own;
  own = combine_all<kElementThreads / kWarp>(own, [](int64_t a, int64_t b) { return a > b ? a : b; });
  if (threadIdx.x == 0) *largest = own;
}

}  // namespace wtal
