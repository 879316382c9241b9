// Reading tensors, for csrc/cpu and csrc/cuda. torch is reached through its stable ABI only: one binary serves
// torch 2.11 and later. Checks here keep memory safe; the messages a user sees come from wtal_fast/ops/<op>.py, which
// checks first.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <tuple>

#include "core/ordered_key.h"

namespace wtal {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline NumberType number_type(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return NumberType::float32;
    case ScalarType::Double: return NumberType::float64;
    case ScalarType::BFloat16: return NumberType::bfloat16;
    case ScalarType::Half: return NumberType::float16;
    default: STD_TORCH_CHECK(false, "expected float32, float64, bfloat16 or float16"); return NumberType::float32;
  }
}

// As torch.promote_types does for floating-point numbers.
inline ScalarType promoted(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() == b.scalar_type()) return a.scalar_type();
  const bool wide = a.scalar_type() == ScalarType::Double || b.scalar_type() == ScalarType::Double;
  return wide ? ScalarType::Double : ScalarType::Float;
}

// A contiguous int64 vector of `size` entries on the device of `like`.
inline Tensor index_vector(const Tensor& tensor, int64_t size, const Tensor& like) {
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Long && tensor.dim() == 1 && tensor.size(0) == size &&
                      tensor.device() == like.device(),
                  "expected an int64 vector of ", size, " entries on the device of the other arguments");
  return torch::stable::contiguous(tensor);
}

inline std::optional<Tensor> index_vector(const std::optional<Tensor>& tensor, int64_t size, const Tensor& like) {
  return tensor ? std::optional(index_vector(*tensor, size, like)) : std::nullopt;
}

inline const int64_t* pointer(const std::optional<Tensor>& tensor) {
  return tensor ? static_cast<const int64_t*>(tensor->const_data_ptr()) : nullptr;
}

}  // namespace wtal
