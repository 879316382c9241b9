// What average precision is computed of, on the CPU and on a GPU.
#pragma once

#include <cstdint>

namespace wtal {

struct PredictionsAndInstances {
  const double *pred_segments, *pred_scores;  // [N, 2], [N]
  const int64_t* pred_groups;                 // [N] video * classes + class
  int64_t preds;
  const double* gt_segments;  // [M, 2]
  const int64_t* gt_groups;   // [M]
  int64_t instances, classes;
};

}  // namespace wtal
