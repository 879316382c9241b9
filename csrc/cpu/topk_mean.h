// Between topk_mean.cpp (tensors) and isa/topk_mean.cpp (loops).
#pragma once

#include "core/topk_mean.h"
#include "cpu/isa.h"

namespace wtal {

// One job is one video and `width` neighbouring channels, selected one after the other in a scratch buffer.
struct Jobs {
  int64_t width;
  int64_t per_video;  // jobs of a video
};

constexpr int64_t kMaxWidth = 32;
constexpr int64_t kRowBlock = 64;  // keys

// Keys from one row of the scratch buffer to the next.
WTAL_INLINE int64_t row_stride(const TopkMean& op) { return (op.time + kRowBlock - 1) / kRowBlock * kRowBlock; }

}  // namespace wtal

// Jobs [begin, end). Scratch: width * row_stride keys, on a 64-byte boundary.
WTAL_PER_ISA(void topk_mean(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end,
                            void* scratch))
WTAL_PER_ISA(void topk_mean_backward(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end))
