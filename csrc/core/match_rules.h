// Rules of matching detections with instances that a CPU and a GPU share. One bit per tIoU threshold, up to 64 of them.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace wtal {

constexpr int64_t kThresholdsPerMask = 64;

// Whether a tIoU threshold asks for an overlap, and for one that there can be.
WTAL_INLINE bool may_be_reached(double threshold) { return threshold > 0 && threshold <= 1; }

// Of two instances of a group, whether a is offered to a detection before b: by falling overlap, then falling index.
WTAL_INLINE bool offered_before(double iou_a, int64_t index_a, double iou_b, int64_t index_b) {
  return iou_a != iou_b ? iou_a > iou_b : index_a > index_b;
}

// The rising thresholds that an overlap reaches, at most 64.
WTAL_INLINE uint64_t levels_reached(double iou, const double* thresholds, int64_t count) {
  int64_t reached = 0;
  while (reached < count && iou >= thresholds[reached]) ++reached;
  return reached == kThresholdsPerMask ? ~uint64_t{0} : (uint64_t{1} << reached) - 1;
}

// An instance is taken at all levels that it reaches, that found none before, and at which nobody holds it.
WTAL_INLINE uint64_t levels_taken(uint64_t reached, uint64_t held, uint64_t claimed) { return reached & ~held & ~claimed; }

}  // namespace wtal
