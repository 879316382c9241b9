// Sorting positions by floating-point numbers, in linear time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "core/ordered_key.h"

namespace wtal {

// An unsigned integer of the same order as the number; -0 equals 0. NaN has no place in the order.
inline uint64_t unsigned_key(double value) {
  const int64_t bits = bit_copy<int64_t>(value + 0.0);  // turns -0 into 0
  return uint64_t(bits) ^ (bits < 0 ? ~uint64_t{0} : uint64_t{1} << 63);
}

inline constexpr uint64_t kPosition = 0xffffffff;

namespace order_detail {

// Sorts words by `digits` bytes of their upper half, equal ones as they come. The result is in the array that is returned.
inline uint64_t* radix_sort_upper(uint64_t* words, uint64_t* spare, int64_t count, int digits) {
  std::array<std::array<uint32_t, 256>, 4> counts;
  std::fill_n(counts.begin(), digits, std::array<uint32_t, 256>{});
  for (int64_t i = 0; i < count; ++i)
    for (int digit = 0; digit < digits; ++digit) ++counts[digit][words[i] >> (32 + 8 * digit) & 255];
  for (int digit = 0; digit < digits; ++digit) {
    const int shift = 32 + 8 * digit;
    auto& place = counts[digit];
    if (place[words[0] >> shift & 255] == count) continue;  // one digit for all
    uint32_t before = 0;
    for (uint32_t& bucket : place) {
      const uint32_t size = bucket;
      bucket = before;
      before += size;
    }
    for (int64_t i = 0; i < count; ++i) spare[place[words[i] >> shift & 255]++] = words[i];
    std::swap(words, spare);
  }
  return words;
}

// Bytes that tell nearly all of so many numbers apart; each is one pass over them.
inline int digits_for(int64_t count) { return count <= 512 ? 2 : count <= 65'536 ? 3 : 4; }

}  // namespace order_detail

// Positions 0..count-1 by rising (falling) values, equal ones by rising position, each in the lower half of a word
// (kPosition). words and spare: room for `count` words, at most 2^32; the result is in the one that is returned.
inline const uint64_t* order_by(const double* values, int64_t count, bool falling, uint64_t* words, uint64_t* spare) {
  if (count == 0) return words;
  const uint64_t turn = falling ? ~uint64_t{0} : 0;
  uint64_t least = ~uint64_t{0}, most = 0;
  for (int64_t i = 0; i < count; ++i) {
    words[i] = unsigned_key(values[i]) ^ turn;
    least = std::min(least, words[i]);
    most = std::max(most, words[i]);
  }
  const int digits = order_detail::digits_for(count);
  const int shift = std::max(0, int(std::bit_width(most - least)) - 8 * digits);  // the bits that differ first
  for (int64_t i = 0; i < count; ++i) words[i] = (words[i] - least) >> shift << 32 | uint64_t(i);
  words = order_detail::radix_sort_upper(words, spare, count, digits);
  const auto before = [&](uint64_t a, uint64_t b) {
    const double x = values[a & kPosition], y = values[b & kPosition];
    return x != y ? (x < y) != falling : a < b;
  };
  for (int64_t begin = 0, end; begin < count; begin = end) {  // numbers that differ in their last bits only
    end = begin + 1;
    while (end < count && words[end] >> 32 == words[begin] >> 32) ++end;
    if (end - begin > 1 && !std::is_sorted(words + begin, words + end, before)) std::sort(words + begin, words + end, before);
  }
  return words;
}

}  // namespace wtal
