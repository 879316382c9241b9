// Segments of groups, read from tensors of any floating point type.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include "core/groups.h"
#include "core/segment_group.h"
#include "segment_tensors.h"

namespace wtal {

// An uninitialized vector on the CPU; a third of the time that the dispatcher takes.
inline Tensor empty_vector(int64_t size, int32_t dtype) {
  const int64_t stride = 1;
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(1, &size, &stride, dtype, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// Numbers of any floating point type, `stride` apart.
class Numbers {
 public:
  Numbers(const Tensor& tensor, int64_t offset, int64_t stride)
      : type_(number_type(tensor)), base_(tensor.const_data_ptr()), offset_(offset), stride_(stride) {
    STD_TORCH_CHECK(tensor.is_cpu(), "expected every argument on the CPU");
  }

  // The numbers of `count` rows, from `first` on in the order of `groups`.
  void read(const Groups& groups, int64_t first, int64_t count, double* out) const {
    switch (type_) {
      case NumberType::float32: return read_as<float>(groups, first, count, out);
      case NumberType::float64: return read_as<double>(groups, first, count, out);
      case NumberType::bfloat16: return read_as<BFloat16>(groups, first, count, out);
      case NumberType::float16: return read_as<Float16>(groups, first, count, out);
    }
  }

 private:
  template <typename Number>
  void read_as(const Groups& groups, int64_t first, int64_t count, double* out) const {
    const auto* numbers = static_cast<const typename Ordering<Number>::Key*>(base_) + offset_;
    if (groups.rows.empty())
      for (int64_t i = 0; i < count; ++i) out[i] = to_real<Number>(numbers[(first + i) * stride_]);
    else
      for (int64_t i = 0; i < count; ++i) out[i] = to_real<Number>(numbers[groups.rows[first + i] * stride_]);
  }

  NumberType type_;
  const void* base_;
  int64_t offset_, stride_;
};

// Segments [N, 2] with a score and a group each.
class GroupedSegments {
 public:
  GroupedSegments(const Tensor& segments, const Tensor& scores, const Tensor& groups)
      : count_(segments.size(0)),
        starts_(segments, 0, segments.stride(0)),
        ends_(segments, segments.stride(1), segments.stride(0)),
        scores_(scores, 0, scores.stride(0)) {
    STD_TORCH_CHECK(segments.dim() == 2 && segments.size(1) == 2, "segments must be [N, 2]");
    STD_TORCH_CHECK(scores.dim() == 1 && scores.size(0) == count_, "expected one score a segment, ", count_);
    STD_TORCH_CHECK(groups.dim() == 1 && groups.size(0) == count_ && groups.is_cpu() &&
                        groups.scalar_type() == ScalarType::Long, "expected one int64 group a segment, ", count_);
    const bool dense = count_ <= 1 || groups.stride(0) == 1;
    groups_ = gather_groups(integers(dense ? groups : torch::stable::contiguous(groups)), count_);
  }

  int64_t count() const { return count_; }
  const Groups& groups() const { return groups_; }

  // The segments of one group. wtal_fast/ops says which row is wrong where this fails.
  void read(int64_t group, SegmentGroup& into) const {
    const int64_t first = groups_.begins[group];
    into.resize(groups_.begins[group + 1] - first);
    starts_.read(groups_, first, into.count, into.start.data());
    ends_.read(groups_, first, into.count, into.end.data());
    scores_.read(groups_, first, into.count, into.score.data());
    STD_TORCH_CHECK(into.valid(), "segments and scores must be finite with end >= start");
  }

  // Calls work(begin, end) for ranges of groups, on several threads where there is enough to do.
  template <typename Work>
  void for_groups(const Work& work) const {
    constexpr int64_t kSegmentsPerThread = 2000;
    const int64_t size = groups_.size(), grain = size * kSegmentsPerThread / (count_ + 1) + 1;
    if (size <= grain)
      work(0, size);
    else
      torch::stable::parallel_for(0, size, grain, work);
  }

 private:
  int64_t count_;
  Numbers starts_, ends_, scores_;
  Groups groups_;
};

}  // namespace wtal
