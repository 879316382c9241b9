#include "core/suppress.h"

#include <string>

#include "core/groups.h"
#include "core/suppress_softly.h"

#include "numpy/bindings.h"

namespace {

using wtal::Array;

void require(bool good, const std::string& rule) {
  if (!good) throw pybind11::value_error(rule);
}

// Rules both functions share; without them the kernels would read outside the arrays or never end.
void check(const std::string& name, const Array<double>& segments, const Array<double>& scores,
           const Array<int64_t>& groups) {
  require(segments.ndim() == 2 && segments.shape(1) == 2, name + ": segments must be [N, 2] (start, end)");
  require(scores.ndim() == 1 && scores.shape(0) == segments.shape(0), name + ": scores must be [N], one a segment");
  require(groups.ndim() == 1 && groups.shape(0) == segments.shape(0), name + ": groups must be [N], one a segment");
  const auto finite = [](double value) { return std::isfinite(value); };
  require(std::all_of(segments.data(), segments.data() + segments.size(), finite), name + ": segments must be finite");
  require(std::all_of(scores.data(), scores.data() + scores.size(), finite), name + ": scores must be finite");
  bool ordered = true;
  for (int64_t i = 0; i < scores.size(); ++i) ordered &= segments.data()[2 * i] <= segments.data()[2 * i + 1];
  require(ordered, name + ": segments must have end >= start");
}

// The segments of one group.
void read(const wtal::Groups& groups, int64_t group, const Array<double>& segments, const Array<double>& scores,
          wtal::SegmentGroup& into) {
  const int64_t first = groups.begins[group];
  into.resize(groups.begins[group + 1] - first);
  for (int64_t i = 0; i < into.count; ++i) {
    const int64_t row = groups.row(first + i);
    into.start[i] = segments.data()[2 * row];
    into.end[i] = segments.data()[2 * row + 1];
    into.score[i] = scores.data()[row];
  }
}

template <typename T>
Array<T> as_array(const std::vector<T>& values) {
  return Array<T>(pybind11::ssize_t(values.size()), values.data());
}

Array<int64_t> temporal_nms(const Array<double>& segments,  // [N, 2] start, end
                            const Array<double>& scores,    // [N]
                            const Array<int64_t>& groups,   // [N]
                            double tiou_threshold, double offset) {
  check("temporal_nms", segments, scores, groups);
  std::vector<int64_t> kept;
  {
    const pybind11::gil_scoped_release unlocked;
    const wtal::Groups gathered = wtal::gather_groups(groups.data(), groups.size());
    wtal::SegmentGroup segments_of_group;
    wtal::Suppressor suppressor(&wtal::suppress_greedily);
    for (int64_t group = 0; group < gathered.size(); ++group) {
      read(gathered, group, segments, scores, segments_of_group);
      for (const uint32_t position : suppressor.keep(segments_of_group, tiou_threshold, offset))
        kept.push_back(gathered.row(gathered.begins[group] + position));
    }
  }
  return as_array(kept);
}

pybind11::tuple soft_temporal_nms(const Array<double>& segments,  // [N, 2] start, end
                                  const Array<double>& scores,    // [N]
                                  const Array<int64_t>& groups,   // [N]
                                  double tiou_threshold, double offset, const std::string& method, double sigma,
                                  double min_score) {
  check("soft_temporal_nms", segments, scores, groups);
  require(method == "linear" || method == "gaussian", "soft_temporal_nms: method must be linear or gaussian");
  const wtal::Decay decay{tiou_threshold, offset, method == "gaussian", sigma, min_score};
  std::vector<int64_t> kept;
  std::vector<double> new_scores;
  {
    const pybind11::gil_scoped_release unlocked;
    const wtal::Groups gathered = wtal::gather_groups(groups.data(), groups.size());
    wtal::SegmentGroup segments_of_group;
    wtal::SoftSuppressor suppressor(&wtal::suppress_by_decay);
    for (int64_t group = 0; group < gathered.size(); ++group) {
      read(gathered, group, segments, scores, segments_of_group);
      for (const wtal::Decayed& one : suppressor.keep(segments_of_group, decay)) {
        kept.push_back(gathered.row(gathered.begins[group] + one.position));
        new_scores.push_back(one.score);
      }
    }
  }
  return pybind11::make_tuple(as_array(kept), as_array(new_scores));
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("temporal_nms", &temporal_nms, pybind11::arg("segments"), pybind11::arg("scores"),
             pybind11::arg("groups"), pybind11::arg("tiou_threshold"), pybind11::arg("offset"),
             "Kept indices [K]: groups ascending, by falling score inside a group, equal scores by rising index. "
             "Suppressed at overlap >= tiou_threshold; offset is added to lengths and overlaps.");
  module.def("soft_temporal_nms", &soft_temporal_nms, pybind11::arg("segments"), pybind11::arg("scores"),
             pybind11::arg("groups"), pybind11::arg("tiou_threshold"), pybind11::arg("offset"),
             pybind11::arg("method"), pybind11::arg("sigma"), pybind11::arg("min_score"),
             "Kept indices [K] and decayed scores [K], order as temporal_nms by the new scores.");
}
