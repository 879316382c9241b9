#include "cpu/affinity_columns.h"

#include "cpu/large_tensor.h"
#include "cpu/scratch.h"
#include "cpu/tap_parts.h"

namespace {

using namespace wtal;

AffinityColumns describe(const Tensor& x, const std::optional<Tensor>& affinity, int64_t taps, bool official) {
  STD_TORCH_CHECK(x.dim() == 3 && taps > 0, "affinity_columns: x must be [B, T, C]");
  STD_TORCH_CHECK(!affinity || (affinity->dim() == 3 && affinity->size(0) == x.size(0) &&
                                affinity->size(1) == x.size(1) && affinity->size(2) == taps &&
                                affinity->scalar_type() == x.scalar_type()),
                  "affinity_columns: affinity must be [B, T, h] of the type of x");
  return {x.size(0), x.size(1), x.size(2), taps, official, x.const_data_ptr(),
          affinity ? affinity->const_data_ptr() : nullptr};
}

Tensor affinity_columns(const Tensor& x, const std::optional<Tensor>& affinity, int64_t taps, bool official,
                        bool time_last) {
  const Tensor dense_x = torch::stable::contiguous(x);
  const std::optional<Tensor> dense_affinity = dense(affinity);
  const AffinityColumns op = describe(dense_x, dense_affinity, taps, official);
  const NumberType type = number_type(x);
  const int64_t snippets = op.videos * op.time, width = taps * op.channels;
  if (!time_last) {
    Tensor columns = large_tensor(x, {op.videos, op.time, width});
    torch::stable::parallel_for(0, snippets, grain(width), [&](int64_t begin, int64_t end) {
      WTAL_FASTEST(affinity_columns)(op, type, begin, end, columns.mutable_data_ptr());
    });
    return columns;
  }
  Tensor columns = large_tensor(x, {width, snippets});
  const int64_t pieces = op.videos * ((op.time + kSnippetsAtOnce - 1) / kSnippetsAtOnce);
  torch::stable::parallel_for(0, pieces, grain(width * kSnippetsAtOnce), [&](int64_t begin, int64_t end) {
    const Scratch tile = scratch(size_t((kSnippetsAtOnce + taps) * (kChannelsAtOnce + taps)) * sizeof(double));
    WTAL_FASTEST(affinity_columns_time_last)(op, type, begin, end, columns.mutable_data_ptr(), tile.get());
  });
  return columns;
}

std::tuple<Tensor, Tensor> affinity_columns_backward(const Tensor& grad, const Tensor& x,
                                                     const std::optional<Tensor>& affinity, int64_t taps,
                                                     bool official) {
  const Tensor dense_x = torch::stable::contiguous(x), dense_grad = torch::stable::contiguous(grad);
  const std::optional<Tensor> dense_affinity = dense(affinity);
  const AffinityColumns op = describe(dense_x, dense_affinity, taps, official);
  const NumberType type = number_type(x);
  const int64_t snippets = op.videos * op.time;
  STD_TORCH_CHECK(grad.numel() == snippets * taps * op.channels && grad.scalar_type() == x.scalar_type(),
                  "affinity_columns_backward: grad must be [B, T, h * C] of the type of x");
  Tensor grad_x = large_tensor(x, {op.videos, op.time, op.channels});
  std::optional<Tensor> parts;
  if (affinity) parts = tap_parts(x, snippets, taps);
  torch::stable::parallel_for(0, snippets, grain(taps * op.channels), [&](int64_t begin, int64_t end) {
    const Scratch sums = scratch(size_t(op.channels) * sizeof(double));
    WTAL_FASTEST(affinity_columns_backward)(op, type, begin, end, dense_grad.const_data_ptr(),
                                            grad_x.mutable_data_ptr(), parts ? parts->mutable_data_ptr() : nullptr,
                                            sums.get());
  });
  return {grad_x, parts ? sum_of_parts(*parts, *dense_affinity) : torch::stable::new_empty(x, {0})};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) {
  library.impl("affinity_columns", TORCH_BOX(&affinity_columns));
  library.impl("affinity_columns_backward", TORCH_BOX(&affinity_columns_backward));
}
