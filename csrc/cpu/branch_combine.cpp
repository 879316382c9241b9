#include "cpu/branch_combine.h"

#include "cpu/large_tensor.h"
#include "cpu/scratch.h"
#include "cpu/tap_parts.h"

namespace {

using namespace wtal;

// The tensor, copied unless each part along its first axis is contiguous.
Tensor dense_parts(const Tensor& tensor) {
  int64_t expected = 1;
  for (int64_t axis = tensor.dim() - 1; axis > 0; --axis) {
    if (tensor.stride(axis) != expected && tensor.size(axis) != 1) return torch::stable::contiguous(tensor);
    expected *= tensor.size(axis);
  }
  return tensor;
}

BranchCombine describe(const Tensor& products, const std::optional<Tensor>& affinity, const Tensor& foreground,
                       bool official, double slope) {
  STD_TORCH_CHECK(products.dim() == 5, "branch_combine: taps must be [G, B, T, h, H]");
  BranchCombine op{products.size(0), products.size(1), products.size(2), products.size(3), products.size(4), official,
                   slope, products.const_data_ptr(), products.stride(0), affinity ? affinity->const_data_ptr() : nullptr,
                   foreground.const_data_ptr()};
  STD_TORCH_CHECK(foreground.dim() == 2 && foreground.size(0) == op.videos && foreground.size(1) == op.time &&
                      foreground.scalar_type() == products.scalar_type(),
                  "branch_combine: foreground must be [B, T] of the type of taps");
  STD_TORCH_CHECK(!affinity || (affinity->dim() == 3 && affinity->size(0) == op.videos &&
                                affinity->size(1) == op.time && affinity->size(2) == op.taps &&
                                affinity->scalar_type() == products.scalar_type()),
                  "branch_combine: affinity must be [B, T, h] of the type of taps");
  STD_TORCH_CHECK(!official || op.groups == op.taps, "branch_combine: the official layout has h groups");
  return op;
}

void check_branches(const BranchCombine& op, const Tensor& tensor, const Tensor& products) {
  STD_TORCH_CHECK(tensor.dim() == 4 && tensor.size(0) == 2 && tensor.size(1) == op.videos &&
                      tensor.size(2) == op.time && tensor.size(3) == op.channels &&
                      tensor.scalar_type() == products.scalar_type(),
                  "branch_combine_backward: grad and out must be [2, B, T, H] of the type of taps");
}

Tensor branch_combine(const Tensor& taps, const std::optional<Tensor>& affinity, const Tensor& foreground,
                      const std::optional<Tensor>& bias, bool official, double slope) {
  const Tensor products = dense_parts(taps), weights = torch::stable::contiguous(foreground);
  const std::optional<Tensor> dense_affinity = dense(affinity), dense_bias = dense(bias);
  const BranchCombine op = describe(products, dense_affinity, weights, official, slope);
  STD_TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == op.channels &&
                            bias->scalar_type() == taps.scalar_type()),
                  "branch_combine: bias must be [H] of the type of taps");
  Tensor out = large_tensor(taps, {2, op.videos, op.time, op.channels});
  const auto run = [&](int64_t begin, int64_t end) {
    const Scratch sums = scratch(size_t(2 * op.channels) * sizeof(double));
    WTAL_FASTEST(branch_combine)(op, number_type(taps), begin, end,
                                 dense_bias ? dense_bias->const_data_ptr() : nullptr, out.mutable_data_ptr(),
                                 sums.get());
  };
  torch::stable::parallel_for(0, op.videos * op.time, grain(op.groups * op.taps * op.channels), run);
  return out;
}

std::tuple<Tensor, Tensor, Tensor> branch_combine_backward(const Tensor& grad, const Tensor& out, const Tensor& taps,
                                                           const std::optional<Tensor>& affinity,
                                                           const Tensor& foreground, bool official, double slope,
                                                           bool time_last) {
  const Tensor products = dense_parts(taps), weights = torch::stable::contiguous(foreground);
  const Tensor dense_grad = dense_parts(grad), dense_out = dense_parts(out);
  const std::optional<Tensor> dense_affinity = dense(affinity);
  const BranchCombine op = describe(products, dense_affinity, weights, official, slope);
  check_branches(op, dense_grad, products);
  check_branches(op, dense_out, products);
  const int64_t snippets = op.videos * op.time, width = op.taps * op.channels;
  Tensor of_products = large_tensor(
      taps, {op.groups, time_last ? width : snippets, time_last ? snippets : width});
  Tensor of_foreground = torch::stable::new_empty(taps, {op.videos, op.time});
  std::optional<Tensor> parts;
  if (affinity) parts = tap_parts(taps, snippets, op.taps);
  const BranchGradients gradients{dense_grad.const_data_ptr(), dense_out.const_data_ptr(), dense_grad.stride(0),
                                  dense_out.stride(0), time_last,
                                  of_products.mutable_data_ptr(), parts ? parts->mutable_data_ptr() : nullptr,
                                  of_foreground.mutable_data_ptr()};
  const auto run = [&](int64_t begin, int64_t end) {
    const Scratch tiles = scratch(size_t((3 * kSnippetsOfAJob + 2 * op.taps) * (op.channels + kTilePadding)) * sizeof(double));
    WTAL_FASTEST(branch_combine_backward)(op, number_type(taps), begin, end, gradients, tiles.get());
  };
  const int64_t work = kSnippetsOfAJob * op.groups * op.taps * op.channels;
  torch::stable::parallel_for(0, op.videos * jobs_per_video(op), grain(work), run);
  return {of_products, parts ? sum_of_parts(*parts, *dense_affinity) : torch::stable::new_empty(taps, {0}),
          of_foreground};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) {
  library.impl("branch_combine", TORCH_BOX(&branch_combine));
  library.impl("branch_combine_backward", TORCH_BOX(&branch_combine_backward));
}
