// Rules of greedy suppression that a CPU and a GPU share, for single segments.
#pragma once

#include <cstdint>

#include "core/exp.h"
#include "core/tiou.h"

namespace wtal {

// Of two segments of one group, whether a is taken before b: by falling score, then rising index.
template <typename Score>
WTAL_INLINE bool taken_before(Score score_a, int64_t index_a, Score score_b, int64_t index_b) {
  return score_a != score_b ? score_a > score_b : index_a < index_b;
}

// Whether a kept segment removes one that overlaps it by `iou`.
WTAL_INLINE bool removes(double iou, double threshold) { return iou >= threshold; }

struct Decay {
  double threshold, offset;  // the threshold of the linear decay; what is added to every length
  bool gaussian;
  double sigma, min_score;  // a segment below min_score is dropped
};

// The score left to a segment that overlaps a kept one by `iou`.
WTAL_INLINE double decayed(double score, double iou, const Decay& decay) {
  if (decay.gaussian) return iou > 0 ? score * exp_of_negative(-(iou * iou) / decay.sigma) : score;
  return removes(iou, decay.threshold) ? score * (1 - iou) : score;
}

}  // namespace wtal
