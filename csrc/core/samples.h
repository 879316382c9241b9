// A sequence of snippets resampled in time, and which of its samples are above a threshold. No library templates here:
// csrc/cpu/isa/ compiles this once per instruction set.
#pragma once

#include <cstdint>

#include "core/propose_rules.h"
#include "core/resample_rules.h"
#include "core/running_sums.h"

namespace wtal {

constexpr int64_t kBlock = 64;  // samples of one word of bits

// Float64 samples with their running sums, and the least and largest of each block of kBlock. Arrays have room for whole
// blocks; `sums` for one number more than `values`.
struct Samples {
  double *values, *sums, *least, *most;
  int64_t length;
};

WTAL_INLINE int64_t blocks_of(int64_t samples) { return (samples + kBlock - 1) / kBlock; }

// values [length] at x = j / factor for sample j; past the last snippet the line through the last two goes on.
template <typename Real>
WTAL_INLINE void resample_stpn(const Real* values, int64_t length, int64_t factor, double* __restrict out) {
  const double step = 1.0 / double(factor);
  const int64_t samples = length * factor;
  if (length == 1) {
    for (int64_t j = 0; j < samples; ++j) out[j] = double(values[0]);
    return;
  }
  for (int64_t left = 0, begin = 0, end; left + 1 < length; ++left, begin = end) {
    end = left + 2 < length ? (left + 1) * factor : samples;
    if (left + 2 < length) {  // sample j belongs here while x <= left + 1
      while (double(end - 1) * step > double(left + 1)) --end;
      while (end < samples && double(end) * step <= double(left + 1)) ++end;
    }
    const Line line = line_from(values, left);
    for (int32_t j = int32_t(begin); j < int32_t(end); ++j) out[j] = on_line(line, double(j) * step);
  }
}

template <typename Real>
WTAL_INLINE void resample_half_pixel(const Real* values, int32_t last, double scale, int32_t begin, int32_t end,
                                     double* __restrict out) {
  for (int32_t j = begin; j < end; ++j) out[j] = between_pixels(values, last, half_pixel_position(scale, j));
}

#ifdef __AVX2__
#ifdef __AVX512F__
constexpr int32_t kPermuted = 16;  // float32 of a vector
#else
constexpr int32_t kPermuted = 8;
#endif
typedef float PermutedFloats __attribute__((vector_size(4 * kPermuted)));
typedef int32_t PermutedPlaces __attribute__((vector_size(4 * kPermuted)));

// between_pixels of kPermuted samples in a row, whose snippets are next to each other: two vectors of them are put in
// place, which takes less than fetching each. Returns false, with nothing done, where they are not, or at an edge.
WTAL_INLINE bool resample_permuted(const float* values, int32_t last, double scale, int32_t begin, double* __restrict out) {
  PermutedFloats fraction, here, behind;
  PermutedPlaces left;
  for (int32_t k = 0; k < kPermuted; ++k) {
    const float x = half_pixel_position(scale, begin + k), floor = __builtin_floorf(x);
    left[k] = int32_t(floor);
    fraction[k] = x - floor;
  }
  const int32_t first = left[0];
  if (first < 0 || first + kPermuted > last || left[kPermuted - 1] - first >= kPermuted) return false;
  __builtin_memcpy(&here, values + first, sizeof(here));
  __builtin_memcpy(&behind, values + first + 1, sizeof(behind));
  const PermutedPlaces place = left - first;
  const PermutedFloats result =
      __builtin_shuffle(here, place) * (1.0f - fraction) + __builtin_shuffle(behind, place) * fraction;
  float found[kPermuted];
  __builtin_memcpy(found, &result, sizeof(result));
  for (int32_t k = 0; k < kPermuted; ++k) out[begin + k] = double(found[k]);
  return true;
}
#endif

// values [length] resized to `samples` with pixel centres at half integers, edges repeated (OpenCV's INTER_LINEAR).
template <typename Real>
WTAL_INLINE void resample_half_pixel(const Real* values, int64_t length, int64_t samples, double* __restrict out) {
  const double scale = double(length) / double(samples);
  const int32_t last = int32_t(length - 1), end = int32_t(samples);
  int32_t begin = 0;
#ifdef __AVX2__
  if constexpr (sizeof(Real) == sizeof(float))
    for (; begin + kPermuted <= end; begin += kPermuted)
      if (!resample_permuted(values, last, scale, begin, out))
        resample_half_pixel(values, last, scale, begin, begin + kPermuted, out);
#endif
  resample_half_pixel(values, last, scale, begin, end, out);
}

template <typename Real>
WTAL_INLINE void resample(const Real* values, int64_t length, Resampling rule, int64_t samples, double* out) {
  if (samples == 0) return;
  if (rule == Resampling::stpn) return resample_stpn(values, length, samples / length, out);
  if (rule == Resampling::half_pixel) return resample_half_pixel(values, length, samples, out);
  for (int64_t j = 0; j < samples; ++j) out[j] = double(values[j]);
}

// Fills in the running sums, with the same bits as running_sums: eight blocks side by side, since each addition waits for
// the one before it in its block.
WTAL_INLINE void add_up(const Samples& samples) {
  constexpr int64_t kSide = 8;
  const double* __restrict values = samples.values;
  double* __restrict sums = samples.sums + 1;
  double before = samples.sums[0] = 0;
  int64_t first = 0;
  for (; first + kSide * kSumBlock <= samples.length; first += kSide * kSumBlock) {
    double within[kSide] = {};
    for (int64_t j = first; j < first + kSumBlock; ++j)
      for (int64_t block = 0; block < kSide; ++block)
        sums[j + block * kSumBlock] = within[block] += values[j + block * kSumBlock];
    for (int64_t block = 0; block < kSide; ++block) {
      for (int64_t j = first + block * kSumBlock; j < first + (block + 1) * kSumBlock; ++j) sums[j] = before + sums[j];
      before += within[block];
    }
  }
  for (; first < samples.length; first += kSumBlock) {
    const int64_t end = first + kSumBlock < samples.length ? first + kSumBlock : samples.length;
    double within = 0;
    for (int64_t j = first; j < end; ++j) sums[j] = before + (within += values[j]);
    before += within;
  }
}

// Fills in the bounds of the blocks; the last block is made whole with samples that are never above.
WTAL_INLINE void bound(const Samples& samples) {
  const int64_t blocks = blocks_of(samples.length);
  for (int64_t j = samples.length; j < blocks * kBlock; ++j) samples.values[j] = -1;
  for (int64_t block = 0; block < blocks; ++block) {
    const double* values = samples.values + block * kBlock;
    double least[8], most[8];
    for (int64_t lane = 0; lane < 8; ++lane) least[lane] = most[lane] = values[lane];
    for (int64_t j = 8; j < kBlock; j += 8)
      for (int64_t lane = 0; lane < 8; ++lane) {
        least[lane] = values[j + lane] < least[lane] ? values[j + lane] : least[lane];
        most[lane] = values[j + lane] > most[lane] ? values[j + lane] : most[lane];
      }
    for (int64_t lane = 1; lane < 8; ++lane) {
      least[0] = least[lane] < least[0] ? least[lane] : least[0];
      most[0] = most[lane] > most[0] ? most[lane] : most[0];
    }
    samples.least[block] = least[0];
    samples.most[block] = most[0];
  }
}

// Bit j of words[b]: whether sample b * kBlock + j is above the threshold.
WTAL_INLINE void find_above(const Samples& samples, double threshold, uint64_t* words) {
  for (int64_t block = 0; block < blocks_of(samples.length); ++block) {
    if (!is_above(samples.most[block], threshold)) {
      words[block] = 0;
    } else if (is_above(samples.least[block], threshold)) {
      words[block] = ~uint64_t{0};
    } else {
      const double* values = samples.values + block * kBlock;
      uint64_t word = 0;
      for (int64_t j = 0; j < kBlock; ++j) word |= uint64_t(is_above(values[j], threshold)) << j;
      words[block] = word;
    }
  }
}

}  // namespace wtal
