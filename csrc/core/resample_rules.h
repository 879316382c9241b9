// Rules of resampling in time that a CPU and a GPU share: which snippets a sample lies between, and what it is there.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace wtal {

enum class Resampling { none, stpn, half_pixel };

// Whether a snippet may be resampled: not where the line through it and the next, which goes on past the last snippet for
// less than two, could leave the range of its type.
template <typename Real>
WTAL_INLINE bool may_resample(Real value) {
  constexpr Real kLargest = (sizeof(Real) == sizeof(float) ? Real(FLT_MAX) : Real(DBL_MAX)) / 8;
  return value >= -kLargest && value <= kLargest;
}

// Through two neighbouring snippets. Their difference is taken in the type of the values, the rest in float64, as SciPy's
// interp1d does.
struct Line {
  double slope, origin, level;
};

template <typename Real>
WTAL_INLINE Line line_from(const Real* values, int64_t left) {
  return {double(Real(values[left + 1] - values[left])), double(left), double(values[left])};
}

WTAL_INLINE double on_line(const Line& line, double x) { return line.slope * (x - line.origin) + line.level; }

// The snippet whose line x is on, of at least two: the last line goes on past the last snippet.
WTAL_INLINE int64_t snippet_before(double x, int64_t length) {
  const int64_t left = int64_t(ceil(x)) - 1, last = length - 2;
  return left < 0 ? 0 : left < last ? left : last;
}

// Where sample j of a snippet lies, `scale` snippets a sample apart, with pixel centres at half integers: rounded to
// float32, as in OpenCV's INTER_LINEAR.
WTAL_INLINE float half_pixel_position(double scale, int32_t j) { return float((double(j) + 0.5) * scale - 0.5); }

// values [last + 1] at x, edges repeated, in the type of the values. Inlined at once: later, gcc no longer sees that the
// loop around it can be a vector.
template <typename Real>
[[gnu::always_inline]] WTAL_INLINE double between_pixels(const Real* values, int32_t last, float x) {
  const float floor = __builtin_floorf(x);
  int32_t left = int32_t(floor);
  const Real fraction = (left < 0) | (left >= last) ? Real(0) : Real(x - floor);
  left = left < 0 ? 0 : left;
  left = left > last ? last : left;
  const int32_t right = left + 1 > last ? last : left + 1;
  return double(Real(Real(values[left] * Real(Real(1) - fraction)) + Real(values[right] * fraction)));
}

}  // namespace wtal
