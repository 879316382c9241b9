// Which samples of a sequence are above a threshold, one bit each, and the runs of them.
#pragma once

#include "core/propose_rules.h"
#include "cuda/block.cuh"

namespace wtal {

// The runs of one row and threshold. Bits behind the last sample are 0.
struct Above {
  const unsigned* bits;
  int64_t words;

  __device__ bool at(int64_t j) const { return bits[j / kWarp] >> j % kWarp & 1; }

  // The first sample from `from` on whose bit is `set`; that behind the last word where there is none.
  __device__ int64_t next(int64_t from, bool set) const {
    int64_t word = from / kWarp;
    if (word >= words) return words * kWarp;
    unsigned found = (set ? bits[word] : ~bits[word]) & kAllLanes << from % kWarp;
    while (!found) {
      if (++word == words) return words * kWarp;
      found = set ? bits[word] : ~bits[word];
    }
    return word * kWarp + __ffs(int(found)) - 1;
  }

  // The last sample before `from` whose bit is `set`; -1 where there is none.
  __device__ int64_t last(int64_t from, bool set) const {
    if (from == 0) return -1;
    int64_t word = (from - 1) / kWarp;
    unsigned found = (set ? bits[word] : ~bits[word]) & kAllLanes >> (kWarp - 1 - (from - 1) % kWarp);
    while (!found) {
      if (--word < 0) return -1;
      found = set ? bits[word] : ~bits[word];
    }
    return word * kWarp + kWarp - 1 - __clz(int(found));
  }

  __device__ Run before(const Run& run) const {
    const int64_t end = last(run.start, true) + 1;
    return {end == 0 ? 0 : last(end, false) + 1, end};
  }

  __device__ Run after(const Run& run) const {
    const int64_t start = next(run.end, true);
    return {start, start == words * kWarp ? start : next(start, false)};
  }
};

// Calls visit(run, how many are visited before it) for each run that is proposed, on the lane of the word that it
// starts in. Returns how many there are.
template <typename Visit>
__device__ int64_t each_run(const Above& above, const ProposeRule& rule, Visit visit) {
  const int lane = threadIdx.x % kWarp;
  if (above.words && rule.skip_run_at_zero && above.bits[0] & 1 && above.next(1, true) == above.words * kWarp) return 0;
  int64_t found = 0;
  for (int64_t base = 0; base < above.words; base += kWarp) {
    const int64_t own = base + lane;
    unsigned starts = 0;
    if (own < above.words)
      starts = above.bits[own] & ~(above.bits[own] << 1 | (own ? above.bits[own - 1] >> (kWarp - 1) : 0));
    const auto each = [&](const auto& with) {
      for (unsigned left = starts; left; left &= left - 1) {
        const int64_t start = own * kWarp + __ffs(int(left)) - 1, end = above.next(start, false);
        if (end - start >= rule.min_run) with(Run{start, end});
      }
    };
    int own_runs = 0, total = 0;
    each([&](const Run&) { ++own_runs; });
    const auto add = [](int a, int b) { return a + b; };
    int64_t place = found + combine_up_to_here<1>(own_runs, add, total) - own_runs;
    each([&](const Run& run) { visit(run, place++); });
    found += total;
  }
  return found;
}

}  // namespace wtal
