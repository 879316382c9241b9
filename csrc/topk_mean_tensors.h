// topk_mean and its backward as tensor functions, for any device: allocate, unpack, run.
#pragma once

#include "core/topk_mean.h"
#include "tensors.h"

namespace wtal {

inline Strides strides_of(const Tensor& tensor) { return {tensor.stride(0), tensor.stride(1), tensor.stride(2)}; }

inline TopkMean describe(const Tensor& scores, int64_t k, const std::optional<Tensor>& counts,
                         const std::optional<Tensor>& lengths, bool largest) {
  TopkMean op{};
  op.videos = scores.size(0);
  op.time = scores.size(1);
  op.channels = scores.size(2);
  op.scores = scores.const_data_ptr();
  op.scores_strides = strides_of(scores);
  op.k = k;
  op.k_per_video = pointer(counts);
  op.lengths = pointer(lengths);
  op.largest = largest;
  return op;
}

// run(op, type) fills the mean [B, C] and the index of the last selected snippet [B, C].
template <typename Run>
std::tuple<Tensor, Tensor> topk_mean_forward(const Tensor& scores,                                 // [B, T, C]
                                             int64_t k, const std::optional<Tensor>& k_per_video,  // [B]
                                             const std::optional<Tensor>& lengths,                 // [B]
                                             bool largest, const Run& run) {
  STD_TORCH_CHECK(scores.dim() == 3, "topk_mean: scores must be [B, T, C]");
  const int64_t videos = scores.size(0), channels = scores.size(2);
  const auto counts = index_vector(k_per_video, videos, scores), valid = index_vector(lengths, videos, scores);
  Tensor mean = torch::stable::new_empty(scores, {videos, channels});
  Tensor last = torch::stable::new_empty(scores, {videos, channels}, ScalarType::Long);
  TopkMean op = describe(scores, k, counts, valid, largest);
  op.mean = mean.mutable_data_ptr();
  op.last = static_cast<int64_t*>(last.mutable_data_ptr());
  if (videos && channels) run(op, number_type(scores));
  return {mean, last};
}

// run(op, type) fills the gradient of the scores [B, T, C].
template <typename Run>
Tensor topk_mean_gradient(const Tensor& grad_mean,  // [B, C]
                          const Tensor& scores,     // [B, T, C]
                          const Tensor& last,       // [B, C]
                          int64_t k, const std::optional<Tensor>& k_per_video, const std::optional<Tensor>& lengths,
                          bool largest, const Run& run) {
  const int64_t videos = scores.size(0), channels = scores.size(2);
  STD_TORCH_CHECK(scores.dim() == 3 && grad_mean.dim() == 2 && grad_mean.size(0) == videos &&
                      grad_mean.size(1) == channels && grad_mean.scalar_type() == scores.scalar_type() &&
                      grad_mean.device() == scores.device(),
                  "topk_mean_backward: grad_mean must be [B, C] of scores [B, T, C]");
  const auto counts = index_vector(k_per_video, videos, scores), valid = index_vector(lengths, videos, scores);
  const Tensor dense_grad = torch::stable::contiguous(grad_mean);
  const Tensor dense_last = index_vector(torch::stable::flatten(last, 0, 1), videos * channels, scores);
  Tensor grad_scores = torch::stable::empty_like(scores);
  TopkMean op = describe(scores, k, counts, valid, largest);
  op.last = static_cast<int64_t*>(dense_last.data_ptr());
  op.grad_mean = dense_grad.const_data_ptr();
  op.grad_scores = grad_scores.mutable_data_ptr();
  op.grad_strides = strides_of(grad_scores);
  if (videos && channels && op.time) run(op, number_type(scores));
  return grad_scores;
}

}  // namespace wtal
