// Between topk_select_mean.cpp (tensors) and isa/topk_select_mean.cpp (loops). See wtal_fast/ops/topk_select_mean.py for
// what is computed; tensors are contiguous.
#pragma once

#include "core/ordered_key.h"
#include "cpu/isa.h"

namespace wtal {

struct SelectMean {
  int64_t videos, time, channels;
  const void* features;  // [videos, time, channels]
  const bool* chosen;    // [videos, time]
};

constexpr int64_t kChannelsOfAJob = 256;

WTAL_INLINE int64_t jobs_per_video(const SelectMean& op) {
  return (op.channels + kChannelsOfAJob - 1) / kChannelsOfAJob;
}

}  // namespace wtal

// weights [videos, time]: 1 / the number of chosen snippets of the video at these, 0 elsewhere.
WTAL_PER_ISA(void select_weights(const SelectMean& op, NumberType type, void* weights))
// Jobs [begin, end) of kChannelsOfAJob channels of a video: mean [videos, channels].
WTAL_PER_ISA(void select_mean(const SelectMean& op, NumberType type, int64_t begin, int64_t end, void* mean))
// Snippets [begin, end) of all videos in a row: grad [videos, channels] times weights [videos, time] -> grad_features
// [videos, time, channels].
WTAL_PER_ISA(void select_mean_backward(const SelectMean& op, NumberType type, int64_t begin, int64_t end,
                                       const void* grad, const void* weights, void* grad_features))
