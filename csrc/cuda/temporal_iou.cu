#include "cuda/temporal_iou.cuh"

#include "cuda/launch.h"
#include "segment_tensors.h"

namespace {

using namespace wtal;

template <typename Number>
void launch_pairs(Sequence& sequence, const Tensor& a, const Tensor& b, Tensor& result) {
  const int64_t b_count = b.size(0), pairs = a.size(0) * b_count;
  sequence.launch(temporal_iou_kernel<Number>, element_blocks(pairs), kElementThreads, doubles(a), doubles(b), b_count,
                  pairs, result.mutable_data_ptr());
}

Tensor all_pairs(const Tensor& a,    // [N, 2]
                 const Tensor& b) {  // [M, 2]
  const Tensor of_a = as_segments(a, a), of_b = as_segments(b, a);
  Tensor result = torch::stable::new_empty(a, {a.size(0), b.size(0)}, promoted(a, b));
  Sequence sequence(a);
  switch (number_type(result)) {
    case NumberType::float32: launch_pairs<float>(sequence, of_a, of_b, result); break;
    case NumberType::float64: launch_pairs<double>(sequence, of_a, of_b, result); break;
    case NumberType::bfloat16: launch_pairs<BFloat16>(sequence, of_a, of_b, result); break;
    case NumberType::float16: launch_pairs<Float16>(sequence, of_a, of_b, result); break;
  }
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) { library.impl("temporal_iou", TORCH_BOX(&all_pairs)); }
