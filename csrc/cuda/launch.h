// What every launch of csrc/cuda needs: the device of the tensors, its current stream, scratch memory, a check
// afterwards.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include <vector>

#include "cuda/ranked.h"
#include "tensors.h"

namespace wtal {

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

// A sequence of kernels on the device of a tensor and its current stream. The host waits for none of them, and a CUDA
// graph may record them. The sequences of csrc/cuda/*.cuh take it as a template argument, so that the tests run them
// on a CPU (python_tests/ops/cuda_on_cpu.h).
class Sequence {
 public:
  explicit Sequence(const Tensor& like) : like_(like), guard_(like.get_device_index()), stream_(current_stream(like)) {}

  // kernel(arguments...) on `blocks` blocks of `threads` threads; nothing where `blocks` is 0.
  template <typename... Parameters, typename... Arguments>
  void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, const Arguments&... arguments) {
    if (blocks == 0) return;
    STD_TORCH_CHECK(blocks <= INT32_MAX, "too much for one launch: ", blocks, " blocks of ", threads);
    kernel<<<unsigned(blocks), threads, 0, stream_>>>(arguments...);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }

  // Memory that lives as long as this object; kernels queued meanwhile may still use it, since torch hands it out again
  // in the order of the stream only.
  template <typename T>
  T* scratch(int64_t count) {
    scratch_.push_back(torch::stable::new_empty(like_, {count * int64_t(sizeof(T))}, ScalarType::Byte));
    return static_cast<T*>(scratch_.back().mutable_data_ptr());
  }

  template <typename T>
  T* zeros(int64_t count) {
    T* values = scratch<T>(count);
    if (count) STD_CUDA_CHECK(cudaMemsetAsync(values, 0, size_t(count) * sizeof(T), stream_));
    return values;
  }

  // Rising keys, equal ones as they were; order goes along.
  void sort(RankKey* keys, int64_t* order, int64_t count);

  // Whether a CUDA graph records the kernels.
  bool is_recorded() const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    STD_CUDA_CHECK(cudaStreamIsCapturing(stream_, &status));
    return status != cudaStreamCaptureStatusNone;
  }

  // A number of the device, once everything queued has run.
  int64_t read(const int64_t* value) const {
    STD_TORCH_CHECK(!is_recorded(), "the size of the result depends on values, which a CUDA graph cannot read; the op of "
                                    "the same name with _padded behind it does without");
    int64_t result = 0;
    STD_CUDA_CHECK(cudaMemcpyAsync(&result, value, sizeof(result), cudaMemcpyDeviceToHost, stream_));
    STD_CUDA_CHECK(cudaStreamSynchronize(stream_));
    return result;
  }

 private:
  const Tensor& like_;
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
  std::vector<Tensor> scratch_;
};

}  // namespace wtal
