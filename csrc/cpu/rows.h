// Rows of numbers of any type, read and written as what sums are kept in. For csrc/cpu/isa: every function is static.
#pragma once

#include "core/ordered_key.h"

#define WTAL_INDEPENDENT _Pragma("GCC ivdep")

namespace wtal {

template <typename Number>
using Stored = typename Ordering<Number>::Key;
template <typename Number>
using Wide = typename Ordering<Number>::Real;

// The sum of product(c) over begin <= c < end, in 32 places that are added in the same order on every instruction set.
// `product` may also write to place c of some row.
template <typename Real, typename Product>
static inline Real sum_over(int64_t begin, int64_t end, const Product& product) {
  constexpr int64_t kLanes = 32;
  Real sums[kLanes] = {};
  const int64_t whole = begin + (end - begin) / kLanes * kLanes;
  for (int64_t c = begin; c < whole; c += kLanes) {
    WTAL_INDEPENDENT
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += product(c + lane);
  }
  for (int64_t c = whole; c < end; ++c) sums[c - whole] += product(c);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  return sums[0];
}

// Calls run(number) with a value of the type that `type` names.
template <typename Run>
static inline void with_number(NumberType type, const Run& run) {
  switch (type) {
    case NumberType::float32: return run(float{});
    case NumberType::float64: return run(double{});
    case NumberType::bfloat16: return run(BFloat16{});
    case NumberType::float16: return run(Float16{});
  }
}

}  // namespace wtal
