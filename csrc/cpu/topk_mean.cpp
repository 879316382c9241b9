#include "cpu/topk_mean.h"

#include <memory>

#include "topk_mean_tensors.h"

namespace {

using namespace wtal;

constexpr int64_t kKeysPerThread = 1 << 15;  // less work is done sooner by one thread than shared out
constexpr int64_t kCacheLine = 64;

// Channels that share cache lines are loaded together; a row that is contiguous in time is a job of its own.
Jobs split(const TopkMean& op) {
  const int64_t most = op.scores_strides.time == 1 ? 1 : 16;
  const int64_t per_video = (op.channels + most - 1) / most;
  const int64_t width = (op.channels + per_video - 1) / per_video;
  return {width, (op.channels + width - 1) / width};
}

int64_t grain(const TopkMean& op, const Jobs& jobs) {
  const int64_t keys = jobs.width * (op.time > 0 ? op.time : 1);
  return (kKeysPerThread + keys - 1) / keys;
}

std::tuple<Tensor, Tensor> topk_mean(const Tensor& scores, int64_t k, const std::optional<Tensor>& k_per_video,
                                     const std::optional<Tensor>& lengths, bool largest) {
  const auto run = [](const TopkMean& op, NumberType type) {
    const Jobs jobs = split(op);
    torch::stable::parallel_for(0, op.videos * jobs.per_video, grain(op, jobs), [&](int64_t begin, int64_t end) {
      const std::unique_ptr<double[]> scratch(new double[jobs.width * op.time + kCacheLine]);
      WTAL_FASTEST(topk_mean)(op, type, jobs, begin, end, scratch.get());
    });
  };
  return topk_mean_forward(scores, k, k_per_video, lengths, largest, run);
}

Tensor topk_mean_backward(const Tensor& grad_mean, const Tensor& scores, const Tensor& last, int64_t k,
                          const std::optional<Tensor>& k_per_video, const std::optional<Tensor>& lengths, bool largest) {
  const auto run = [](const TopkMean& op, NumberType type) {
    const Jobs jobs = split(op);
    torch::stable::parallel_for(0, op.videos * jobs.per_video, grain(op, jobs), [&](int64_t begin, int64_t end) {
      WTAL_FASTEST(topk_mean_backward)(op, type, jobs, begin, end);
    });
  };
  return topk_mean_gradient(grad_mean, scores, last, k, k_per_video, lengths, largest, run);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) {
  library.impl("topk_mean", TORCH_BOX(&topk_mean));
  library.impl("topk_mean_backward", TORCH_BOX(&topk_mean_backward));
}
