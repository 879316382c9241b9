// Floating-point numbers as integers of the same order, so that selecting the k largest needs integer compares only.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/host_device.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

namespace wtal {

// Storage of the 16-bit formats; kernels read bits, so no arithmetic type is needed.
struct BFloat16 {};
struct Float16 {};

enum class NumberType { float32, float64, bfloat16, float16 };

// Key: signed integer as wide as the number. Real: what sums are kept in. kInfinity: bits of +infinity.
template <typename Number>
struct Ordering;
template <>
struct Ordering<float> {
  using Key = int32_t;
  using Real = float;
  static constexpr Key kInfinity = 0x7f800000;
};
template <>
struct Ordering<double> {
  using Key = int64_t;
  using Real = double;
  static constexpr Key kInfinity = 0x7ff0000000000000;
};
template <>
struct Ordering<BFloat16> {
  using Key = int16_t;
  using Real = float;
  static constexpr Key kInfinity = 0x7f80;
};
template <>
struct Ordering<Float16> {
  using Key = int16_t;
  using Real = float;
  static constexpr Key kInfinity = 0x7c00;
};

template <typename Key>
struct KeyLimits {
  static constexpr Key kSign = Key(Key(1) << (8 * sizeof(Key) - 1));
  static constexpr Key kMagnitude = Key(~kSign);
  static constexpr Key kNaN = Key(kMagnitude - 1);  // above infinity; one below the maximum, so that ~kNaN - 1 exists
};

// The key of the number with these bits. All NaN are equal and above infinity; -0 equals +0.
// With largest = false the order is turned round, so that the k smallest numbers have the k largest keys.
template <typename Number, typename Key = typename Ordering<Number>::Key>
WTAL_INLINE Key to_key(Key bits, bool largest) {
  using Limits = KeyLimits<Key>;
  const Key magnitude = Key(bits & Limits::kMagnitude);
  Key key = bits < 0 ? Key(bits ^ Limits::kMagnitude) : bits;
  key = magnitude == 0 ? Key(0) : key;
  key = magnitude > Ordering<Number>::kInfinity ? Limits::kNaN : key;
  return largest ? key : Key(~key);
}

// The bits of a number with this key (a quiet NaN for the key of NaN).
template <typename Key>
WTAL_INLINE Key to_bits(Key key, bool largest) {
  const Key upright = largest ? key : Key(~key);
  return upright < 0 ? Key(upright ^ KeyLimits<Key>::kMagnitude) : upright;
}

template <typename To, typename From>
WTAL_INLINE To bit_copy(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

// The number with these bits, exactly.
template <typename Number>
WTAL_INLINE typename Ordering<Number>::Real to_real(typename Ordering<Number>::Key bits) {
  if constexpr (std::is_same_v<Number, BFloat16>) return bit_copy<float>(uint32_t(uint16_t(bits)) << 16);
#ifdef __CUDACC__
  else if constexpr (std::is_same_v<Number, Float16>)
    return __half2float(__ushort_as_half(uint16_t(bits)));
#else
  else if constexpr (std::is_same_v<Number, Float16>)
    return float(bit_copy<_Float16>(bits));
#endif
  else
    return bit_copy<typename Ordering<Number>::Real>(bits);
}

// The bits of the nearest number, ties to even.
template <typename Number>
WTAL_INLINE typename Ordering<Number>::Key from_real(typename Ordering<Number>::Real value) {
  using Key = typename Ordering<Number>::Key;
  if constexpr (std::is_same_v<Number, BFloat16>) {
    const uint32_t bits = bit_copy<uint32_t>(value);
    return Key(value != value ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
#ifdef __CUDACC__
  else if constexpr (std::is_same_v<Number, Float16>)
    return Key(__half_as_ushort(__float2half_rn(value)));
#else
  else if constexpr (std::is_same_v<Number, Float16>)
    return bit_copy<Key>(_Float16(value));
#endif
  else
    return bit_copy<Key>(value);
}

// A key in (low, high] that halves what is between them. The first pivots halve the numbers, since scores lie in a few
// binades and most keys between them belong to numbers near zero; later ones halve the keys, which ends after one step
// a bit whatever the numbers are.
template <typename Number, typename Key>
WTAL_INLINE Key pivot_between(Key low, Key high, int step, bool largest) {
  using Narrow = typename Ordering<Number>::Key;
  using Bits = std::make_unsigned_t<Key>;
  if (step < 4) {
    const auto least = to_real<Number>(to_bits(Narrow(low), largest));
    const auto most = to_real<Number>(to_bits(Narrow(high), largest));
    const Key pivot = to_key<Number>(from_real<Number>(least / 2 + most / 2), largest);
    return pivot <= low ? Key(low + 1) : pivot > high ? high : pivot;  // also where infinities have no middle
  }
  return Key(low + Key(Bits(Bits(high) - Bits(low)) / 2) + 1);
}

}  // namespace wtal
