// Values that no proposal can be made of. wtal_fast/ops says which one it is where a check fails.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/segments.h"

namespace wtal {

inline bool all_finite(const double* values, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= std::abs(values[i]) <= std::numeric_limits<double>::max();
  return finite;
}

// levels: float64, contiguous
inline void check_thresholds(const Tensor& levels) {
  const double* values = doubles(levels);
  STD_TORCH_CHECK(all_finite(values, levels.numel()) &&
                      std::all_of(values, values + levels.numel(), [](double level) { return level >= 0; }),
                  "thresholds must be finite and at least 0");
}

// finite: one flag a row
inline void check_all_finite(const std::vector<uint8_t>& finite) {
  STD_TORCH_CHECK(std::all_of(finite.begin(), finite.end(), [](uint8_t good) { return good; }),
                  "sequences, gate and class scores must be finite");
}

}  // namespace wtal
