// What harnesses share: arguments decoded from bytes, and checks that end the program.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace fuzz {

// Reads arguments from bytes; zeros once they are used up.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}

  uint8_t byte() { return data_ < end_ ? *data_++ : 0; }
  bool flag() { return byte() & 1; }
  int64_t below(int64_t limit) { return limit <= 0 ? 0 : (int64_t(byte()) << 8 | byte()) % limit; }
  template <typename T>
  T raw() {
    uint8_t bytes[sizeof(T)];
    for (uint8_t& one : bytes) one = byte();
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
  }
  // Mostly one of few numbers, so that they tie; sometimes any in -1000..1000.
  double number() {
    const uint8_t kind = byte();
    if (kind < 200) return double(int(kind % 50) - 10) / 4;
    const double value = double(raw<uint32_t>()) / 4294967295.0;
    return kind < 250 ? value : (value - 0.5) * 2000;
  }

 private:
  const uint8_t *data_, *end_;
};

struct Segments {
  std::vector<double> bounds;  // start, end
  std::vector<double> scores;
  std::vector<int64_t> groups;
  int64_t size() const { return int64_t(scores.size()); }
};

inline Segments segments(Bytes& bytes, int64_t count, int64_t groups) {
  Segments result;
  for (int64_t i = 0; i < count; ++i) {
    const double start = bytes.number(), other = bytes.number();
    result.bounds.push_back(start < other ? start : other);
    result.bounds.push_back(start < other ? other : start);
    result.scores.push_back(bytes.number());
    result.groups.push_back(bytes.below(groups));
  }
  return result;
}

inline void check(bool good, const char* rule) {
  if (good) return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

// tIoU once more, independent of core/tiou.h.
inline double overlap(const double* a, const double* b, double offset = 0) {
  double shared = (a[1] < b[1] ? a[1] : b[1]) - (a[0] > b[0] ? a[0] : b[0]) + offset;
  if (!(shared > 0)) shared = 0;
  const double both = (a[1] - a[0] + offset) + (b[1] - b[0] + offset) - shared;
  return both > 0 ? shared / both : 0;
}

// What a harness defines: runs the core on one input and checks what comes back.
using Target = void (*)(const uint8_t* data, size_t size);

struct Harness {
  const char* name;
  Target target;
  Harness* next;
  Harness(const char* name, Target target) : name(name), target(target), next(first()) { first() = this; }
  static Harness*& first() {
    static Harness* harness = nullptr;
    return harness;
  }
};

}  // namespace fuzz

#define FUZZ_TARGET(name)                                     \
  static void target(const uint8_t* data, size_t size);       \
  static fuzz::Harness harness(name, &target);                \
  static void target(const uint8_t* data, size_t size)
