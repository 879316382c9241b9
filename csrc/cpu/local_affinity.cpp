#include "cpu/local_affinity.h"

#include "cpu/jobs.h"
#include "cpu/scratch.h"
#include "tensors.h"

namespace {

using namespace wtal;

LocalAffinity describe(const Tensor& embedding, int64_t kernel_size) {
  STD_TORCH_CHECK(embedding.dim() == 3 && kernel_size > 0, "local_affinity: embedding must be [B, T, E]");
  return {embedding.size(1), embedding.size(2), kernel_size, embedding.const_data_ptr()};
}

Scratch norms_of(const LocalAffinity& op, NumberType type, int64_t snippets) {
  Scratch norms = scratch(size_t(snippets) * sizeof(double));
  torch::stable::parallel_for(0, snippets, grain(op.channels), [&](int64_t begin, int64_t end) {
    WTAL_FASTEST(local_affinity_norms)(op, type, begin, end, static_cast<double*>(norms.get()));
  });
  return norms;
}

Tensor local_affinity(const Tensor& embedding, int64_t kernel_size) {
  const Tensor dense = torch::stable::contiguous(embedding);
  const LocalAffinity op = describe(dense, kernel_size);
  const NumberType type = number_type(embedding);
  const int64_t videos = dense.size(0), snippets = videos * op.time;
  const Scratch norms = norms_of(op, type, snippets);
  Tensor affinity = torch::stable::new_empty(embedding, {videos, op.time, kernel_size});
  torch::stable::parallel_for(0, snippets, grain(kernel_size * op.channels), [&](int64_t begin, int64_t end) {
    WTAL_FASTEST(local_affinity)(op, type, begin, end, static_cast<const double*>(norms.get()),
                                 affinity.mutable_data_ptr());
  });
  return affinity;
}

Tensor local_affinity_backward(const Tensor& grad, const Tensor& embedding, int64_t kernel_size) {
  const Tensor dense = torch::stable::contiguous(embedding), dense_grad = torch::stable::contiguous(grad);
  const LocalAffinity op = describe(dense, kernel_size);
  const NumberType type = number_type(embedding);
  const int64_t videos = dense.size(0), snippets = videos * op.time;
  STD_TORCH_CHECK(grad.numel() == snippets * kernel_size && grad.scalar_type() == embedding.scalar_type(),
                  "local_affinity_backward: grad must be [B, T, h] of the type of embedding");
  const Scratch norms = norms_of(op, type, snippets);
  Tensor grad_embedding = torch::stable::new_empty(embedding, {videos, op.time, op.channels});
  torch::stable::parallel_for(0, snippets, grain(2 * kernel_size * op.channels), [&](int64_t begin, int64_t end) {
    const Scratch sums = scratch(size_t(op.channels) * sizeof(double));
    WTAL_FASTEST(local_affinity_backward)(op, type, begin, end, static_cast<const double*>(norms.get()),
                                          dense_grad.const_data_ptr(), grad_embedding.mutable_data_ptr(),
                                          static_cast<double*>(sums.get()));
  });
  return grad_embedding;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) {
  library.impl("local_affinity", TORCH_BOX(&local_affinity));
  library.impl("local_affinity_backward", TORCH_BOX(&local_affinity_backward));
}
