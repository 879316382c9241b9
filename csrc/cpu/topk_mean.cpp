#include "cpu/topk_mean.h"

#include <algorithm>

#include "cpu/scratch.h"
#include "topk_mean_tensors.h"

namespace {

using namespace wtal;

constexpr int64_t kKeysPerThread = 1 << 15;  // less work is done sooner by one thread than shared out
// A row that is contiguous in time is a job of its own. Other layouts share cache lines between channels, so a job
// takes many of them, as long as every thread has a job.
Jobs split(const TopkMean& op) {
  if (op.scores_strides.time == 1) return {1, op.channels};
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t wanted = std::min((threads + op.videos - 1) / op.videos, (op.channels + 7) / 8);
  const int64_t pieces = std::max(wanted, (op.channels + kMaxWidth - 1) / kMaxWidth);
  const int64_t width = (op.channels + pieces - 1) / pieces;
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
      const Scratch rows = scratch(size_t(jobs.width * row_stride(op)) * sizeof(double));
      WTAL_FASTEST(topk_mean)(op, type, jobs, begin, end, rows.get());
    });
  };
  return topk_mean_forward(scores, k, k_per_video, lengths, largest, run);
}

Tensor topk_mean_backward(const Tensor& grad_mean, const Tensor& scores, const Tensor& last, int64_t k,
                          const std::optional<Tensor>& k_per_video, const std::optional<Tensor>& lengths,
                          bool largest) {
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
