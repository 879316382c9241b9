#include "core/tiou.h"
#include "numpy/bindings.h"

namespace {

using wtal::Array;

Array<double> temporal_iou(const Array<double>& a,    // [N, 2] start, end
                           const Array<double>& b) {  // [M, 2] start, end
  for (const auto* segments : {&a, &b})
    if (segments->ndim() != 2 || segments->shape(1) != 2)
      throw pybind11::value_error("temporal_iou: segments must be [N, 2] (start, end)");
  Array<double> out({a.shape(0), b.shape(0)});  // [N, M]
  const double *pa = a.data(), *pb = b.data();
  double* po = out.mutable_data();
  const pybind11::gil_scoped_release unlocked;
  for (pybind11::ssize_t i = 0, n = a.shape(0), m = b.shape(0); i < n; ++i)
    for (pybind11::ssize_t j = 0; j < m; ++j)
      po[i * m + j] = wtal::temporal_iou(pa[2 * i], pa[2 * i + 1], pb[2 * j], pb[2 * j + 1]);
  return out;
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("temporal_iou", &temporal_iou, pybind11::arg("a"), pybind11::arg("b"),
             "Overlap [N, M] of segments a [N, 2] and b [M, 2] (start, end): intersection over union, 0 where both are "
             "empty.");
}
