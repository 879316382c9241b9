// Sums of the first j values of a sequence, the same bits on every device: the sum up to a block of values, plus the sum
// of those of the block. Blocks need not wait for each other, and errors grow with their number, not with that of values.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace wtal {

constexpr int64_t kSumBlock = 64;

// sums[j], 0 <= j <= length: the sum of the first j values.
inline void running_sums(const double* values, int64_t length, double* sums) {
  double before = sums[0] = 0;
  for (int64_t first = 0; first < length; first += kSumBlock) {
    const int64_t end = first + kSumBlock < length ? first + kSumBlock : length;
    double within = 0;
    for (int64_t j = first; j < end; ++j) {
      within += values[j];
      sums[j + 1] = before + within;
    }
    before += within;
  }
}

}  // namespace wtal
