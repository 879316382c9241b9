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

}  // namespace wtal

// Jobs [begin, end). Scratch: width * time keys.
WTAL_PER_ISA(void topk_mean(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end, void* scratch))
WTAL_PER_ISA(void topk_mean_backward(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end))
