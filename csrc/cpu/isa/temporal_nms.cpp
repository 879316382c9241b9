#include "cpu/temporal_nms.h"

int64_t wtal::WTAL_ISA::suppress(const Arranged& group, double threshold, double offset, const Removed& removed,
                                 uint32_t* kept) {
  return suppress_greedily(group, threshold, offset, removed, kept);
}
