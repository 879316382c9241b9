#include "cpu/temporal_iou.h"

#include "numpy/bindings.h"
#include "numpy/threads.h"

namespace {

using namespace wtal;

// The starts of segments [N, 2], then their ends.
std::vector<double> by_column(const Array<double>& segments) {
  if (segments.ndim() != 2 || segments.shape(1) != 2)
    throw pybind11::value_error("temporal_iou: segments must be [N, 2] (start, end)");
  const int64_t count = segments.shape(0);
  std::vector<double> columns(2 * count);
  for (int64_t i = 0; i < count; ++i) {
    columns[i] = segments.data()[2 * i];
    columns[count + i] = segments.data()[2 * i + 1];
  }
  return columns;
}

Array<double> temporal_iou(const Array<double>& a,    // [N, 2] start, end
                           const Array<double>& b) {  // [M, 2] start, end
  constexpr int64_t kPairsPerThread = 1 << 18;        // starting a thread takes as long as writing some ten thousands
  const std::vector<double> of_a = by_column(a), of_b = by_column(b);
  const int64_t rows = a.shape(0), columns = b.shape(0);
  Array<double> out({rows, columns});  // [N, M]
  const OverlapTable table{of_a.data(), of_a.data() + rows, of_b.data(), of_b.data() + columns, columns,
                           NumberType::float64, out.mutable_data()};
  const auto write = WTAL_FASTEST(write_overlaps);
  const pybind11::gil_scoped_release unlocked;
  share_out(rows, 1 + rows * columns / kPairsPerThread, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) write(table, {row, 0, columns});
  });
  return out;
}

}  // namespace

WTAL_NUMPY_BINDINGS {
  module.def("temporal_iou", &temporal_iou, pybind11::arg("a"), pybind11::arg("b"),
             "Overlap [N, M] of segments a [N, 2] and b [M, 2] (start, end): intersection over union, 0 where both are "
             "empty.");
}
