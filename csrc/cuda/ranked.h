// Segments in the order in which they are taken, as kernels of csrc/cuda read them.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace wtal {

// What a sort compares.
struct RankKey {
  int64_t group, score;  // score: an integer that rises as the score falls
};

WTAL_INLINE bool comes_before(const RankKey& a, const RankKey& b) {
  return a.group != b.group ? a.group < b.group : a.score < b.score;
}

// By rising group, falling score, rising index.
struct Ranked {
  int64_t count;
  const int64_t* groups;  // of the i-th
  const int64_t* order;   // index of the i-th
  const double *starts, *ends;
};

}  // namespace wtal
