#include "core/ordered_key.h"

#include <algorithm>
#include <cmath>

#include "fuzz.h"

namespace {

// The numbers of one type, drawn from raw bits: every NaN, infinity and denormal occurs.
template <typename Number>
void one_type(fuzz::Bytes& bytes) {
  using Key = typename wtal::Ordering<Number>::Key;
  const bool largest = bytes.flag();
  const int64_t count = 1 + bytes.below(20), k = 1 + bytes.below(count);
  std::vector<Key> bits, keys;
  for (int64_t i = 0; i < count; ++i) {
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xf0, 0x7c, 0x3f};
    Key value = bytes.raw<Key>();
    if (bytes.flag()) value = Key(typename std::make_unsigned_t<Key>(edges[bytes.byte() % 8]) << (8 * sizeof(Key) - 8));
    bits.push_back(value);
    keys.push_back(wtal::to_key<Number>(value, largest));
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto a = wtal::to_real<Number>(bits[i]);
    const auto back = wtal::to_real<Number>(wtal::to_bits(keys[i], largest));
    fuzz::check(std::isnan(a) ? std::isnan(back) : a == back, "to_bits undoes to_key");
    for (int64_t j = 0; j < count; ++j) {
      const auto b = wtal::to_real<Number>(bits[j]);
      const bool before = std::isnan(a) ? !std::isnan(b) : !std::isnan(b) && a > b;  // NaN is above every number
      fuzz::check((keys[i] > keys[j]) == (largest ? before : (std::isnan(b) ? !std::isnan(a) : !std::isnan(a) && a < b)),
                  "keys have the order of the numbers");
    }
  }
  // The k-th largest key by halving what is between the bounds, as the top-k kernels do.
  std::vector<Key> sorted = keys;
  std::sort(sorted.begin(), sorted.end(), [](Key a, Key b) { return a > b; });
  Key low = sorted.back(), high = sorted.front();  // at least k keys are >= low
  int steps = 0;
  for (; low < high; ++steps) {
    const Key pivot = wtal::pivot_between<Number>(low, high, steps, largest);
    fuzz::check(pivot > low && pivot <= high, "a pivot lies above low and not above high");
    if (std::count_if(keys.begin(), keys.end(), [&](Key key) { return key >= pivot; }) >= k)
      low = pivot;
    else
      high = Key(pivot - 1);
  }
  fuzz::check(low == sorted[k - 1], "bisection finds the k-th largest");
  fuzz::check(steps <= 4 + 8 * int(sizeof(Key)), "one step a bit after the first four");
}

}  // namespace

FUZZ_TARGET("ordered_key") {
  fuzz::Bytes bytes(data, size);
  switch (bytes.byte() % 4) {
    case 0: return one_type<float>(bytes);
    case 1: return one_type<double>(bytes);
    case 2: return one_type<wtal::BFloat16>(bytes);
    default: return one_type<wtal::Float16>(bytes);
  }
}
