// One thread a pair of segments, computed in float64.
#pragma once

#include "core/ordered_key.h"
#include "core/tiou.h"
#include "cuda/rank.cuh"

namespace wtal {

template <typename Number>
__global__ void __launch_bounds__(kElementThreads)
    temporal_iou_kernel(const double* a, const double* b, int64_t b_count, int64_t pairs, void* out) {
  using Real = typename Ordering<Number>::Real;
  const int64_t pair = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (pair >= pairs) return;
  const double *of_a = a + 2 * (pair / b_count), *of_b = b + 2 * (pair % b_count);
  const double iou = temporal_iou(of_a[0], of_a[1], of_b[0], of_b[1]);
  static_cast<typename Ordering<Number>::Key*>(out)[pair] = from_real<Number>(Real(iou));
}

}  // namespace wtal
