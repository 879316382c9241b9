#include "cpu/soft_temporal_nms.h"

#include "core/suppress_softly.h"
#include "numpy/segments.h"

namespace {

using namespace wtal;

pybind11::tuple soft_temporal_nms(const Array<double>& segments,  // [N, 2] start, end
                                  const Array<double>& scores,    // [N]
                                  const Array<int64_t>& groups,   // [N]
                                  double tiou_threshold, double offset, const std::string& method, double sigma,
                                  double min_score) {
  const GroupedArrays grouped("soft_temporal_nms", segments, scores, groups);
  require(method == "linear" || method == "gaussian", "soft_temporal_nms: method must be linear or gaussian");
  const Decay decay{tiou_threshold, offset, method == "gaussian", sigma, min_score};
  std::vector<std::vector<Decayed>> kept;
  int64_t total = 0;
  {
    const pybind11::gil_scoped_release unlocked;
    const Groups gathered = grouped.gather();
    kept.resize(gathered.size());
    grouped.for_groups(gathered, [&](int64_t begin, int64_t end) {
      SegmentGroup segments_of_group;
      SoftSuppressor suppressor(WTAL_FASTEST(soften));
      for (int64_t group = begin; group < end; ++group) {
        grouped.read(gathered, group, segments_of_group);
        kept[group] = suppressor.keep(segments_of_group, decay);
        for (Decayed& one : kept[group]) one.position = gathered.row(gathered.begins[group] + one.position);
      }
    });
    for (const auto& part : kept) total += int64_t(part.size());
  }
  Array<int64_t> index(total);
  Array<double> score(total);
  int64_t* out = index.mutable_data();
  double* out_score = score.mutable_data();
  for (const auto& part : kept)
    for (const Decayed& one : part) {
      *out++ = one.position;
      *out_score++ = one.score;
    }
  return pybind11::make_tuple(index, score);
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("soft_temporal_nms", &soft_temporal_nms, pybind11::arg("segments"), pybind11::arg("scores"),
             pybind11::arg("groups"), pybind11::arg("tiou_threshold"), pybind11::arg("offset"),
             pybind11::arg("method"), pybind11::arg("sigma"), pybind11::arg("min_score"),
             "Kept indices [K] and decayed scores [K], order as temporal_nms by the new scores.");
}
