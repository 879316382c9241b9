// Between temporal_iou.cpp (tensors) and isa/temporal_iou.cpp (loops).
#pragma once

#include <cstdint>

#include "core/ordered_key.h"
#include "cpu/isa.h"

namespace wtal {

// Every segment of a with every one of b, to be written to out [a_count, b_count] as numbers of `type`.
struct OverlapTable {
  const double *a_start, *a_end, *b_start, *b_end;
  int64_t b_count;
  NumberType type;
  void* out;
};

// Part of a row of the table.
struct OverlapPart {
  int64_t row, begin, end;
};

}  // namespace wtal

WTAL_PER_ISA(void write_overlaps(const OverlapTable& table, const OverlapPart& part))
