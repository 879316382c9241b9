// Overlap of two segments [start, end] in time.
#pragma once

#include "core/host_device.h"

namespace wtal {

// Intersection over union of lengths; 0 where the union has no length. `offset` is added to every length (released
// code: 1 s), to those that are given too.
template <typename Real>
WTAL_INLINE Real temporal_iou_of(Real start_a, Real end_a, Real length_a, Real start_b, Real end_b, Real length_b,
                                 Real offset) {
  const Real overlap = (end_a < end_b ? end_a : end_b) - (start_a > start_b ? start_a : start_b) + offset;
  const Real inter = overlap > Real(0) ? overlap : Real(0);
  const Real length = length_a + length_b - inter;
  const Real ratio = inter / (length > Real(0) ? length : Real(1));  // without a branch, so that loops become vectors
  return length > Real(0) ? ratio : Real(0);
}

template <typename Real>
WTAL_INLINE Real temporal_iou(Real start_a, Real end_a, Real start_b, Real end_b, Real offset = Real(0)) {
  return temporal_iou_of(start_a, end_a, end_a - start_a + offset, start_b, end_b, end_b - start_b + offset, offset);
}

}  // namespace wtal
