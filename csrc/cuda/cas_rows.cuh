// Rows of class activation sequences [videos, time, classes], one for each video and class.
#pragma once

#include "core/propose_rules.h"
#include "cuda/rank.cuh"

namespace wtal {

struct CasRow {
  const double *values, *gate;
  int64_t stride, length;
  double extra;

  __device__ double sample(int64_t j) const { return values[j * stride]; }
  __device__ double steering(int64_t j) const { return gate[j]; }
};

struct CasRows {
  int64_t videos, classes, count, most;  // count: videos * classes; most: time
  const double* cas;
  int64_t video_stride, time_stride, class_stride;
  const double* gate;          // [videos, time] or null
  const int64_t* lengths;      // [videos]
  const bool* mask;            // [videos, classes]
  const double* class_scores;  // [videos, classes]
  double class_weight;
  int64_t checked;  // videos + count

  __device__ CasRow row(int64_t i) const {
    const int64_t video = i / classes, length = lengths[video];
    return {cas + video * video_stride + i % classes * class_stride, gate ? gate + video * most : nullptr, time_stride,
            !mask[i] || length < 0 ? 0 : length > most ? most : length, class_weight * class_scores[i]};
  }

  __device__ bool is_good(int64_t i) const {
    if (i < videos) return lengths[i] >= 0 && lengths[i] <= most;
    return !mask[i - videos] || is_number(class_scores[i - videos]);
  }

  __device__ bool accepts(double sample) const { return is_number(sample); }
};

struct Proposed {
  int64_t capacity;  // of the arrays
  int64_t *start, *end;
  double* score;
  int64_t *label, *video, classes;

  __device__ void write(int64_t i, int64_t row, const Run& run, double own_score, bool) const {
    start[i] = run.start;
    end[i] = run.end;
    score[i] = own_score;
    label[i] = row % classes;
    video[i] = row / classes;
  }

  __device__ void pad(int64_t i) const {
    start[i] = end[i] = 0;
    score[i] = 0;
    label[i] = video[i] = -1;
  }
};

}  // namespace wtal
