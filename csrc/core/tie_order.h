// The order in which the official ActivityNet evaluation tries instances of equal tIoU.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace wtal {

// NumPy's quicksort sorts parts of at most this many values by insertion, which keeps equal ones in order.
inline constexpr int64_t kInsertionSize = 16;

// Splits order[low..high] around the median of its first, middle and last value; returns where that ends up.
WTAL_INLINE int64_t quicksort_partition(const double* values, int64_t* order, int64_t low, int64_t high) {
  const auto swap = [&](int64_t i, int64_t j) {
    const int64_t held = order[i];
    order[i] = order[j];
    order[j] = held;
  };
  const auto order_two = [&](int64_t i, int64_t j) {
    if (values[order[j]] < values[order[i]]) swap(i, j);
  };
  const int64_t middle = low + (high - low) / 2;
  order_two(low, middle);
  order_two(middle, high);
  order_two(low, middle);
  const double pivot = values[order[middle]];
  int64_t up = low, down = high - 1;
  swap(middle, down);
  for (;;) {
    while (values[order[++up]] < pivot) {
    }
    while (pivot < values[order[--down]]) {
    }
    if (up >= down) break;
    swap(up, down);
  }
  swap(up, high - 1);
  return up;
}

// Indices 0..count-1 by rising value, equal values as numpy.argsort's default quicksort leaves them (scalar code, no NaN).
// The official evaluation walks through that order backwards.
WTAL_INLINE void quicksort_order(const double* values, int64_t count, int64_t* order) {
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  int64_t lows[64], highs[64];  // the larger part waits, so 64 halvings are enough
  int waiting = 0;
  int64_t low = 0, high = count - 1;
  for (;;) {
    while (high - low >= kInsertionSize) {
      const int64_t split = quicksort_partition(values, order, low, high);
      const bool left_is_small = split - low < high - split;
      lows[waiting] = left_is_small ? split + 1 : low;
      highs[waiting++] = left_is_small ? high : split - 1;
      if (left_is_small) high = split - 1;
      else low = split + 1;
    }
    for (int64_t i = low + 1; i <= high; ++i) {
      const int64_t index = order[i];
      int64_t j = i;
      for (; j > low && values[index] < values[order[j - 1]]; --j) order[j] = order[j - 1];
      order[j] = index;
    }
    if (waiting == 0) break;
    low = lows[--waiting];
    high = highs[waiting];
  }
}

}  // namespace wtal
