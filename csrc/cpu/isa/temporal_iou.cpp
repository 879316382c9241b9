#include "cpu/temporal_iou.h"

#include "core/tiou.h"
#include "cpu/rows.h"

void wtal::WTAL_ISA::write_overlaps(const OverlapTable& table, const OverlapPart& part) {
  with_number(table.type, [&](auto number) {
    using Number = decltype(number);
    const double start = table.a_start[part.row], end = table.a_end[part.row];
    const double* __restrict starts = table.b_start;
    const double* __restrict ends = table.b_end;
    auto* __restrict out = static_cast<Stored<Number>*>(table.out) + part.row * table.b_count;
    for (int64_t j = part.begin; j < part.end; ++j)
      out[j] = from_real<Number>(Wide<Number>(temporal_iou(start, end, starts[j], ends[j])));
  });
}
