#include "cpu/topk_select_mean.h"

#include "cpu/jobs.h"
#include "cpu/large_tensor.h"
#include "tensors.h"

namespace {

using namespace wtal;

std::tuple<Tensor, Tensor> topk_select_mean(const Tensor& features, const Tensor& chosen) {
  const Tensor rows = torch::stable::contiguous(features), members = torch::stable::contiguous(chosen);
  STD_TORCH_CHECK(rows.dim() == 3 && members.dim() == 2 && members.size(0) == rows.size(0) &&
                      members.size(1) == rows.size(1) && members.scalar_type() == ScalarType::Bool,
                  "topk_select_mean: features must be [B, T, D] and chosen bool [B, T]");
  const SelectMean op{rows.size(0), rows.size(1), rows.size(2), rows.const_data_ptr(),
                      static_cast<const bool*>(members.const_data_ptr())};
  const NumberType type = number_type(rows);
  Tensor mean = torch::stable::new_empty(rows, {op.videos, op.channels});
  Tensor weights = torch::stable::new_empty(rows, {op.videos, op.time});
  WTAL_FASTEST(select_weights)(op, type, weights.mutable_data_ptr());
  const int64_t work = op.time * kChannelsOfAJob;
  torch::stable::parallel_for(0, op.videos * jobs_per_video(op), grain(work), [&](int64_t begin, int64_t end) {
    WTAL_FASTEST(select_mean)(op, type, begin, end, mean.mutable_data_ptr());
  });
  return {mean, weights};
}

Tensor topk_select_mean_backward(const Tensor& grad, const Tensor& weights) {
  const Tensor dense_grad = torch::stable::contiguous(grad), dense_weights = torch::stable::contiguous(weights);
  STD_TORCH_CHECK(grad.dim() == 2 && weights.dim() == 2 && grad.size(0) == weights.size(0) &&
                      grad.scalar_type() == weights.scalar_type(),
                  "topk_select_mean_backward: grad must be [B, D] and weights [B, T] of one type");
  const SelectMean op{grad.size(0), weights.size(1), grad.size(1), nullptr, nullptr};
  const NumberType type = number_type(grad);
  Tensor grad_features = large_tensor(grad, {op.videos, op.time, op.channels});
  torch::stable::parallel_for(0, op.videos * op.time, grain(op.channels), [&](int64_t begin, int64_t end) {
    WTAL_FASTEST(select_mean_backward)(op, type, begin, end, dense_grad.const_data_ptr(),
                                       dense_weights.const_data_ptr(), grad_features.mutable_data_ptr());
  });
  return grad_features;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) {
  library.impl("topk_select_mean", TORCH_BOX(&topk_select_mean));
  library.impl("topk_select_mean_backward", TORCH_BOX(&topk_select_mean_backward));
}
