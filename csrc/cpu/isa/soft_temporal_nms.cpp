#include "cpu/soft_temporal_nms.h"

int64_t wtal::WTAL_ISA::soften(Waiting& group, const Decay& decay, Decayed* kept) {
  return suppress_by_decay(group, decay, kept);
}
