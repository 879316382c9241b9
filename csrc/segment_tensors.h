// Tensors of segments, scores and groups as plain arrays on the device of `like`, for csrc/cpu and csrc/cuda.
#pragma once

#include "tensors.h"

namespace wtal {

// A contiguous float64 copy, or the tensor itself where it is one.
inline Tensor as_double(const Tensor& tensor, const Tensor& like) {
  STD_TORCH_CHECK(tensor.device() == like.device(), "expected every argument on one device");
  return torch::stable::contiguous(torch::stable::to(tensor, ScalarType::Double));
}

inline const double* doubles(const Tensor& tensor) { return static_cast<const double*>(tensor.const_data_ptr()); }
inline const int64_t* integers(const Tensor& tensor) { return static_cast<const int64_t*>(tensor.const_data_ptr()); }
inline double* mutable_doubles(Tensor& tensor) { return static_cast<double*>(tensor.mutable_data_ptr()); }
inline int64_t* mutable_integers(Tensor& tensor) { return static_cast<int64_t*>(tensor.mutable_data_ptr()); }

inline Tensor as_segments(const Tensor& tensor, const Tensor& like) {
  STD_TORCH_CHECK(tensor.dim() == 2 && tensor.size(1) == 2, "segments must be [N, 2]");
  return as_double(tensor, like);
}

inline Tensor as_scores(const Tensor& tensor, int64_t count, const Tensor& like) {
  STD_TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == count, "expected one number a segment, ", count);
  return as_double(tensor, like);
}

}  // namespace wtal
