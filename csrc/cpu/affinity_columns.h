// Between affinity_columns.cpp (tensors) and isa/affinity_columns.cpp (loops). See wtal_fast/ops/affinity_columns.py for
// what is computed; tensors are contiguous.
#pragma once

#include "core/ordered_key.h"
#include "cpu/isa.h"

namespace wtal {

struct AffinityColumns {
  int64_t videos, time, channels, taps;
  bool official;
  const void* x;         // [videos, time, channels]
  const void* affinity;  // [videos, time, taps] or null for ones
};

constexpr int64_t kSnippetsAtOnce = 256, kChannelsAtOnce = 16;  // a tile of the transposed columns, in L1

// First channel of `column` at `tap` in the official layout, where column = (channel * taps + tap) / channels.
WTAL_INLINE int64_t first_channel(const AffinityColumns& op, int64_t tap, int64_t column) {
  if (column == op.taps) return op.channels;
  const int64_t numerator = column * op.channels - tap;
  return numerator <= 0 ? 0 : (numerator + op.taps - 1) / op.taps;
}

struct Columns {
  int64_t begin, end;  // affinity columns of a tap
};

WTAL_INLINE Columns columns_of(const AffinityColumns& op, int64_t tap) {
  return op.official ? Columns{0, op.taps} : Columns{tap, tap + 1};
}

WTAL_INLINE Columns channels_of(const AffinityColumns& op, int64_t tap, int64_t column) {
  if (!op.official) return {0, op.channels};
  return {first_channel(op, tap, column), first_channel(op, tap, column + 1)};
}

}  // namespace wtal

// Snippets [begin, end) of all videos in a row: columns [videos * time, taps * channels].
WTAL_PER_ISA(void affinity_columns(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end,
                                   void* columns))
// Pieces [begin, end) of kSnippetsAtOnce snippets, each video's a whole number: columns [taps * channels, videos * time].
// Scratch: (kSnippetsAtOnce + taps) * (kChannelsAtOnce + taps) numbers of the type sums are kept in.
WTAL_PER_ISA(void affinity_columns_time_last(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end,
                                             void* columns, void* scratch))
// Snippets [begin, end): grad [videos * time, taps * channels] -> grad_x [videos, time, channels] or null, and
// parts [videos, time, taps, taps], the contribution of each tap to each affinity column, or null; entries of neighbours
// outside the video stay as they are. Scratch: `channels` numbers of the type sums are kept in, which parts are too.
WTAL_PER_ISA(void affinity_columns_backward(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end,
                                            const void* grad, void* grad_x, void* parts, void* scratch))
