// The top-k mean as plain numbers and pointers, the same for every device. See wtal_fast/ops/topk_mean.py for what it
// computes.
#pragma once

#include "core/ordered_key.h"

namespace wtal {

struct Strides {
  int64_t video, time, channel;  // in elements
};

struct TopkMean {
  int64_t videos, time, channels;
  const void* scores;  // [videos, time, channels]
  Strides scores_strides;
  int64_t k;                   // of every video, unless k_per_video is given
  const int64_t* k_per_video;  // [videos] or null
  const int64_t* lengths;      // [videos] or null: every snippet is valid
  bool largest;
  int64_t*
      last;  // [videos, channels] index of the k-th selected snippet, -1 where none is; written forward, read backward
  void* mean;             // forward: [videos, channels]
  const void* grad_mean;  // backward: [videos, channels]
  void* grad_scores;      // backward: [videos, time, channels]
  Strides grad_strides;
};

// Valid snippets of a video.
WTAL_INLINE int64_t length_of(const TopkMean& op, int64_t video) {
  const int64_t length = op.lengths ? op.lengths[video] : op.time;
  return length < 0 ? 0 : length > op.time ? op.time : length;
}

// Snippets the mean of a video is over: k, or all valid ones where there are fewer.
WTAL_INLINE int64_t count_of(const TopkMean& op, int64_t video) {
  const int64_t k = op.k_per_video ? op.k_per_video[video] : op.k;
  const int64_t length = length_of(op, video);
  return k < 0 ? 0 : k > length ? length : k;
}

WTAL_INLINE int64_t offset(const Strides& strides, int64_t video, int64_t time, int64_t channel) {
  return video * strides.video + time * strides.time + channel * strides.channel;
}

}  // namespace wtal
