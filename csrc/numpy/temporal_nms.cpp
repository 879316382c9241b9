#include "cpu/temporal_nms.h"

#include "core/suppress.h"
#include "numpy/segments.h"

namespace {

using namespace wtal;

Array<int64_t> temporal_nms(const Array<double>& segments,  // [N, 2] start, end
                            const Array<double>& scores,    // [N]
                            const Array<int64_t>& groups,   // [N]
                            double tiou_threshold, double offset) {
  const GroupedArrays grouped("temporal_nms", segments, scores, groups);
  std::vector<int64_t> kept(grouped.count());  // each group writes from its own begin
  int64_t total = 0;
  {
    const pybind11::gil_scoped_release unlocked;
    const Groups gathered = grouped.gather();
    std::vector<int64_t> kept_of(gathered.size());
    grouped.for_groups(gathered, [&](int64_t begin, int64_t end) {
      SegmentGroup segments_of_group;
      Suppressor suppressor(WTAL_FASTEST(suppress));
      for (int64_t group = begin; group < end; ++group) {
        grouped.read(gathered, group, segments_of_group);
        const int64_t first = gathered.begins[group];
        int64_t* out = kept.data() + first;
        for (const uint32_t position : suppressor.keep(segments_of_group, tiou_threshold, offset))
          *out++ = gathered.row(first + position);
        kept_of[group] = out - kept.data() - first;
      }
    });
    for (int64_t group = 0; group < gathered.size(); ++group) {
      std::copy_n(kept.begin() + gathered.begins[group], kept_of[group], kept.begin() + total);
      total += kept_of[group];
    }
  }
  return Array<int64_t>(total, kept.data());
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("temporal_nms", &temporal_nms, pybind11::arg("segments"), pybind11::arg("scores"),
             pybind11::arg("groups"), pybind11::arg("tiou_threshold"), pybind11::arg("offset"),
             "Kept indices [K]: groups ascending, by falling score inside a group, equal scores by rising index. "
             "Suppressed at overlap >= tiou_threshold; offset is added to lengths and overlaps.");
}
