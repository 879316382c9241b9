// The CUDA kernels of topk_mean on CPU memory, for test_topk_mean.py: one row a warp, a block and a streaming block.
// Blocks have fewer warps than on a GPU, where the number is a template argument too.
#include "cuda_on_cpu.h"

#include "cuda/topk_mean.cuh"

namespace {

using namespace wtal;

template <typename Number, int kPerThread, int kWarps>
void run_rows(const TopkMean& op) {
  const int rows = kWarps == 1 ? kRowsPerBlock : 1;
  const unsigned blocks = unsigned((op.videos * op.channels + rows - 1) / rows);
  cuda_on_cpu::launch(blocks, kWarp * kWarps * rows, [&] { topk_mean_kernel<Number, kPerThread, kWarps>(op); });
}

template <typename Number>
void run(const TopkMean& op, int variant) {
  switch (variant) {
    case 0: return run_rows<Number, 24, 1>(op);
    case 1: return run_rows<Number, 64, 1>(op);
    case 2: return run_rows<Number, 12, 2>(op);
    case 3: return run_rows<Number, 0, 2>(op);
  }
  const int64_t blocks_per_video = (op.time * op.channels + 255) / 256;
  cuda_on_cpu::launch(unsigned(op.videos * blocks_per_video), 256,
                      [&] { topk_mean_backward_kernel<Number>(op, op.grad_strides.time == 1, blocks_per_video); });
}

}  // namespace

// shape: videos, time, channels. type: as NumberType. variant: 0 to 3 forward, 4 backward.
extern "C" void topk_mean(const int64_t* shape, int type, int variant, const void* scores, const int64_t* strides,
                          int64_t k, const int64_t* k_per_video, const int64_t* lengths, int largest, void* mean,
                          int64_t* last, const void* grad_mean, void* grad_scores, const int64_t* grad_strides) {
  TopkMean op{shape[0], shape[1],    shape[2], scores,      {strides[0], strides[1], strides[2]},
              k,        k_per_video, lengths,  largest != 0};
  op.mean = mean;
  op.last = last;
  op.grad_mean = grad_mean;
  op.grad_scores = grad_scores;
  op.grad_strides = {grad_strides[0], grad_strides[1], grad_strides[2]};
  switch (NumberType(type)) {
    case NumberType::float32: return run<float>(op, variant);
    case NumberType::float64: return run<double>(op, variant);
    case NumberType::bfloat16: return run<BFloat16>(op, variant);
    case NumberType::float16: return run<Float16>(op, variant);
  }
}
