// The exponential function of a double, the same bits on every device: a library's differs in the last place from one to
// another.
#pragma once

#include <cstdint>

#include "core/ordered_key.h"

namespace wtal {

// e^x for x <= 0, to within one unit in the last place of a normal result. No branch, so that loops become vectors.
// e^x = 2^k e^r with |r| <= ln(2) / 2; e^r by its Taylor polynomial, whose next term is below 5e-18.
WTAL_INLINE double exp_of_negative(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;  // k * high is exact
  constexpr double kToInteger = 0x1.8p52;  // adding it leaves the integer part in the low bits
  const double bounded = x > -746.0 ? x : -746.0;  // e^-746 is 0
  const double shifted = bounded * kLog2E + kToInteger;
  const double k = shifted - kToInteger;
  const double r = (bounded - k * kLn2High) - k * kLn2Low;
  constexpr double kFactors[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                 1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                                 1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2};
  double tail = kFactors[0];
  for (int i = 1; i < 12; ++i) tail = tail * r + kFactors[i];
  const double power = 1 + (r + r * r * tail);
  const int64_t exponent = bit_copy<int64_t>(shifted) - bit_copy<int64_t>(kToInteger);
  const int64_t half = exponent / 2;  // in two steps, since 2^exponent may be below every normal number
  const auto two_to = [](int64_t n) { return bit_copy<double>((n + 1023) << 52); };
  return power * two_to(half) * two_to(exponent - half);
}

}  // namespace wtal
