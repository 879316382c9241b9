#include "cpu/temporal_iou.h"

#include "cpu/jobs.h"
#include "cpu/large_tensor.h"
#include "cpu/segments.h"

namespace {

using namespace wtal;

constexpr int64_t kColumns = 4096;  // of one job: a few rows with many columns are shared out too

// The starts of segments [N, 2], then their ends, as float64.
std::vector<double> by_column(const Tensor& segments) {
  STD_TORCH_CHECK(segments.dim() == 2 && segments.size(1) == 2, "segments must be [N, 2]");
  const int64_t count = segments.size(0);
  std::vector<double> columns(2 * count);
  for (int64_t side = 0; side < 2; ++side)
    Numbers(segments, side * segments.stride(1), segments.stride(0)).read({}, 0, count, columns.data() + side * count);
  return columns;
}

Tensor temporal_iou_of(const Tensor& a,    // [N, 2]
                       const Tensor& b) {  // [M, 2]
  const std::vector<double> of_a = by_column(a), of_b = by_column(b);
  const int64_t rows = a.size(0), columns = b.size(0);
  Tensor result = large_tensor(a, {rows, columns}, promoted(a, b));
  const OverlapTable table{of_a.data(), of_a.data() + rows, of_b.data(), of_b.data() + columns, columns,
                           number_type(result), result.mutable_data_ptr()};
  const int64_t parts = (columns + kColumns - 1) / kColumns;
  const auto write = WTAL_FASTEST(write_overlaps);
  torch::stable::parallel_for(0, rows * parts, grain(columns < kColumns ? columns : kColumns),
                              [&](int64_t begin, int64_t end) {
                                for (int64_t job = begin; job < end; ++job) {
                                  const int64_t first = job % parts * kColumns;
                                  write(table, {job / parts, first, std::min(first + kColumns, columns)});
                                }
                              });
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("temporal_iou", TORCH_BOX(&temporal_iou_of)); }
