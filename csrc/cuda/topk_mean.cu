#include "cuda/topk_mean.cuh"

#include "cuda/launch.h"
#include "topk_mean_tensors.h"

namespace {

using namespace wtal;

template <typename Number, int kPerThread, int kWarps>
void launch_rows(const TopkMean& op, cudaStream_t stream) {
  constexpr int kRows = kWarps == 1 ? kRowsPerBlock : 1;
  const int64_t blocks = (op.videos * op.channels + kRows - 1) / kRows;
  topk_mean_kernel<Number, kPerThread, kWarps><<<blocks, kWarp * kWarps * kRows, 0, stream>>>(op);
}

template <typename Number>
void launch_forward(const TopkMean& op, cudaStream_t stream) {
  if (op.time <= 24 * kWarp) return launch_rows<Number, 24, 1>(op, stream);
  if (op.time <= 64 * kWarp) return launch_rows<Number, 64, 1>(op, stream);
  if (op.time <= 8 * 16 * kWarp) return launch_rows<Number, 8, 16>(op, stream);
  if (op.time <= 24 * 16 * kWarp) return launch_rows<Number, 24, 16>(op, stream);
  launch_rows<Number, 0, 16>(op, stream);
}

template <typename Number>
void launch_backward(const TopkMean& op, cudaStream_t stream) {
  const int64_t blocks_per_video = (op.time * op.channels + 255) / 256;
  topk_mean_backward_kernel<Number>
      <<<op.videos * blocks_per_video, 256, 0, stream>>>(op, op.grad_strides.time == 1, blocks_per_video);
}

// run<Number>(op, stream) for the number type of the scores, on their device.
template <typename Run>
auto on_device_of(const Tensor& scores, const Run& run) {
  return [&scores, run](const TopkMean& op, NumberType type) {
    const torch::stable::accelerator::DeviceGuard guard(scores.get_device_index());
    const cudaStream_t stream = current_stream(scores);
    switch (type) {
      case NumberType::float32: run(float{}, op, stream); break;
      case NumberType::float64: run(double{}, op, stream); break;
      case NumberType::bfloat16: run(BFloat16{}, op, stream); break;
      case NumberType::float16: run(Float16{}, op, stream); break;
    }
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  };
}

std::tuple<Tensor, Tensor> topk_mean(const Tensor& scores, int64_t k, const std::optional<Tensor>& k_per_video,
                                     const std::optional<Tensor>& lengths, bool largest) {
  const auto run = [](auto number, const TopkMean& op, cudaStream_t stream) {
    launch_forward<decltype(number)>(op, stream);
  };
  return topk_mean_forward(scores, k, k_per_video, lengths, largest, on_device_of(scores, run));
}

Tensor topk_mean_backward(const Tensor& grad_mean, const Tensor& scores, const Tensor& last, int64_t k,
                          const std::optional<Tensor>& k_per_video, const std::optional<Tensor>& lengths,
                          bool largest) {
  const auto run = [](auto number, const TopkMean& op, cudaStream_t stream) {
    launch_backward<decltype(number)>(op, stream);
  };
  return topk_mean_gradient(grad_mean, scores, last, k, k_per_video, lengths, largest, on_device_of(scores, run));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CUDA, library) {
  library.impl("topk_mean", TORCH_BOX(&topk_mean));
  library.impl("topk_mean_backward", TORCH_BOX(&topk_mean_backward));
}
