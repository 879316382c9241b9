// Segments of groups, read from arrays.
#pragma once

#include <cmath>
#include <string>

#include "core/groups.h"
#include "core/segment_group.h"
#include "numpy/bindings.h"
#include "numpy/threads.h"

namespace wtal {

inline void require(bool good, const std::string& rule) {
  if (!good) throw pybind11::value_error(rule);
}

// Segments [N, 2] with a score and a group each.
class GroupedArrays {
 public:
  // Refuses in the name of `function` what the kernels would read outside of, or never end on.
  GroupedArrays(const std::string& function, const Array<double>& segments, const Array<double>& scores,
                const Array<int64_t>& groups)
      : segments_(segments.data()), scores_(scores.data()), group_names_(groups.data()), count_(groups.size()) {
    require(segments.ndim() == 2 && segments.shape(1) == 2, function + ": segments must be [N, 2] (start, end)");
    require(scores.ndim() == 1 && scores.shape(0) == segments.shape(0), function + ": scores must be [N], one a segment");
    require(groups.ndim() == 1 && groups.shape(0) == segments.shape(0), function + ": groups must be [N], one a segment");
    const auto finite = [](double value) { return std::isfinite(value); };
    require(std::all_of(segments_, segments_ + 2 * count_, finite), function + ": segments must be finite");
    require(std::all_of(scores_, scores_ + count_, finite), function + ": scores must be finite");
    bool ordered = true;
    for (int64_t i = 0; i < count_; ++i) ordered &= segments_[2 * i] <= segments_[2 * i + 1];
    require(ordered, function + ": segments must have end >= start");
  }

  int64_t count() const { return count_; }
  Groups gather() const { return gather_groups(group_names_, count_); }

  // The segments of one group.
  void read(const Groups& groups, int64_t group, SegmentGroup& into) const {
    const int64_t first = groups.begins[group];
    into.resize(groups.begins[group + 1] - first);
    for (int64_t i = 0; i < into.count; ++i) {
      const int64_t row = groups.row(first + i);
      into.start[i] = segments_[2 * row];
      into.end[i] = segments_[2 * row + 1];
      into.score[i] = scores_[row];
    }
  }

  // Calls work(begin, end) for ranges of groups, on several threads where there is enough to do.
  template <typename Work>
  void for_groups(const Groups& groups, const Work& work) const {
    constexpr int64_t kSegmentsPerThread = 5'000;  // starting a thread takes as long as suppressing some hundreds
    share_out(groups.size(), 1 + count_ / kSegmentsPerThread, work);
  }

 private:
  const double *segments_, *scores_;
  const int64_t* group_names_;
  int64_t count_;
};

}  // namespace wtal
