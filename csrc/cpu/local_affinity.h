// Between local_affinity.cpp (tensors) and isa/local_affinity.cpp (loops). See wtal_fast/ops/local_affinity.py for what
// is computed; tensors are contiguous.
#pragma once

#include "core/ordered_key.h"
#include "cpu/isa.h"

namespace wtal {

struct LocalAffinity {
  int64_t time, channels, taps;
  const void* embedding;  // [videos, time, channels]
};

constexpr double kSmallestProduct = 1e-8;  // of two norms, PyTorch's cosine similarity

}  // namespace wtal

// Snippets [begin, end) of all videos in a row: norms [videos * time] in float64.
WTAL_PER_ISA(void local_affinity_norms(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end,
                                       double* norms))
// affinity [videos, time, taps].
WTAL_PER_ISA(void local_affinity(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end,
                                 const double* norms, void* affinity))
// grad [videos, time, taps] -> grad_embedding [videos, time, channels]. Scratch: `channels` doubles.
WTAL_PER_ISA(void local_affinity_backward(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end,
                                          const double* norms, const void* grad, void* grad_embedding, double* scratch))
