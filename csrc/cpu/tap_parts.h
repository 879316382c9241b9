// The gradient of an affinity, gathered from what every tap contributes: two snippets never write to one place, so the
// sum is the same whatever the number of threads.
#pragma once

#include "cpu/jobs.h"
#include "cpu/rows.h"
#include "tensors.h"

namespace wtal {

inline std::optional<Tensor> dense(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional(torch::stable::contiguous(*tensor)) : std::nullopt;
}

// Zeros [snippets, taps, affinity columns] of the type that sums are kept in.
inline Tensor tap_parts(const Tensor& like, int64_t snippets, int64_t taps) {
  const bool wide = like.scalar_type() == ScalarType::Double;
  return torch::stable::new_zeros(like, {snippets, taps, taps}, wide ? ScalarType::Double : ScalarType::Float);
}

// Their sum over taps, in the shape and type of `affinity` [videos, time, taps].
inline Tensor sum_of_parts(const Tensor& parts, const Tensor& affinity) {
  Tensor sums = torch::stable::new_empty(affinity, {affinity.size(0), affinity.size(1), affinity.size(2)});
  const int64_t snippets = parts.size(0), taps = parts.size(1);
  with_number(number_type(affinity), [&](auto number) {
    using Number = decltype(number);
    const auto* from = static_cast<const Wide<Number>*>(parts.const_data_ptr());
    auto* to = static_cast<Stored<Number>*>(sums.mutable_data_ptr());
    for (int64_t snippet = 0; snippet < snippets; ++snippet)
      for (int64_t column = 0; column < taps; ++column) {
        Wide<Number> sum = 0;
        for (int64_t tap = 0; tap < taps; ++tap) sum += from[(snippet * taps + tap) * taps + column];
        to[snippet * taps + column] = from_real<Number>(sum);
      }
  });
  return sums;
}

}  // namespace wtal
