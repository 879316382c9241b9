// The loops of soft suppression over one group. No library templates here: csrc/cpu/isa/ compiles this once per
// instruction set.
#pragma once

#include <cstdint>

#include "core/suppress_rules.h"

namespace wtal {

constexpr int64_t kDecayBlock = 32;         // segments that are skipped together where none can overlap
constexpr double kGone = -__builtin_inf();  // score of a segment that is kept or dropped

// The segments of one group, in blocks that know their bounds. Arrays have room for whole blocks.
struct Waiting {
  double *start, *end, *score;
  int64_t* position;            // of each segment in its group
  double *first, *last, *most;  // of each block: least start, largest end, largest score; room for whole vectors
  int64_t count;
};

struct Decayed {
  int64_t position;
  double score;
};

namespace decay_detail {

constexpr int64_t kSide = 8;  // numbers that are taken side by side: float64 of the widest vector

WTAL_INLINE int64_t blocks_of(const Waiting& group) { return (group.count + kDecayBlock - 1) / kDecayBlock; }

// Segments of a block, with those that make the last one a multiple of kSide.
WTAL_INLINE int64_t size_of(const Waiting& group, int64_t block) {
  const int64_t left = (group.count - block * kDecayBlock + kSide - 1) / kSide * kSide;
  return left < kDecayBlock ? left : kDecayBlock;
}

// Of `size` numbers, a multiple of kSide.
WTAL_INLINE double largest(const double* __restrict values, int64_t size) {
  double most[kSide];
  for (int64_t lane = 0; lane < kSide; ++lane) most[lane] = values[lane];
  for (int64_t i = kSide; i < size; i += kSide)
    for (int64_t lane = 0; lane < kSide; ++lane) most[lane] = values[i + lane] > most[lane] ? values[i + lane] : most[lane];
  for (int64_t lane = 1; lane < kSide; ++lane) most[0] = most[lane] > most[0] ? most[lane] : most[0];
  return most[0];
}

// Fills the last vector up with segments that are gone, and in the bounds of all blocks.
WTAL_INLINE void set_bounds(const Waiting& group) {
  for (int64_t i = group.count; i < (group.count + kSide - 1) / kSide * kSide; ++i) {
    group.start[i] = group.start[group.count - 1];
    group.end[i] = group.end[group.count - 1];
    group.score[i] = kGone;
    group.position[i] = 0;
  }
  for (int64_t block = 0; block < blocks_of(group); ++block) {
    const int64_t begin = block * kDecayBlock;
    double first = group.start[begin], last = group.end[begin];
    for (int64_t i = begin + 1; i < begin + size_of(group, block); ++i) {
      first = group.start[i] < first ? group.start[i] : first;
      last = group.end[i] > last ? group.end[i] : last;
    }
    group.first[block] = first;
    group.last[block] = last;
    group.most[block] = largest(group.score + begin, size_of(group, block));
  }
  for (int64_t block = blocks_of(group); block % kSide != 0; ++block) group.most[block] = kGone;
}

// Moves those that still wait together.
WTAL_INLINE void close_ranks(Waiting& group) {
  int64_t left = 0;
  for (int64_t i = 0; i < group.count; ++i) {
    group.start[left] = group.start[i];
    group.end[left] = group.end[i];
    group.score[left] = group.score[i];
    group.position[left] = group.position[i];
    left += group.score[i] > kGone;
  }
  group.count = left;
  set_bounds(group);
}

// Where the segment of the largest score is, of equal ones that of the lowest position; -1: nobody waits.
WTAL_INLINE int64_t find_best(const Waiting& group) {
  if (group.count == 0) return -1;
  const double best = largest(group.most, (blocks_of(group) + kSide - 1) / kSide * kSide);
  if (best == kGone) return -1;
  constexpr int64_t kNowhere = INT64_MAX;
  int64_t lowest = kNowhere, found = -1;
  for (int64_t block = 0; block < blocks_of(group); ++block) {
    if (group.most[block] != best) continue;
    const double* scores = group.score + block * kDecayBlock;
    const int64_t* positions = group.position + block * kDecayBlock;
    int64_t name = kNowhere;  // position and place in the block, in one number
    for (int64_t i = 0; i < size_of(group, block); ++i) {
      const int64_t own = scores[i] == best ? positions[i] * kDecayBlock + i : kNowhere;
      name = own < name ? own : name;
    }
    if (name / kDecayBlock >= lowest) continue;
    lowest = name / kDecayBlock;
    found = block * kDecayBlock + name % kDecayBlock;
  }
  return found;
}

// Decays the scores of a block for the segment that was kept, and returns the largest that is left.
template <bool gaussian>
WTAL_INLINE double decay_block(const Waiting& group, int64_t block, double start, double end, const Decay& rule) {
  const double* __restrict starts = group.start + block * kDecayBlock;
  const double* __restrict ends = group.end + block * kDecayBlock;
  double* __restrict scores = group.score + block * kDecayBlock;
  const Decay decay{rule.threshold, rule.offset, gaussian, rule.sigma, rule.min_score};
  const int64_t size = size_of(group, block);
  for (int64_t i = 0; i < size; ++i) {
    const double before = scores[i];
    const double after = decayed(before, temporal_iou(starts[i], ends[i], start, end, decay.offset), decay);
    scores[i] = (after >= decay.min_score) & (before > kGone) ? after : kGone;
  }
  return largest(scores, size);
}

// Whether a segment of the block may overlap [start, end]: the rule of temporal_iou, for one that holds them all.
WTAL_INLINE bool may_overlap(const Waiting& group, int64_t block, double start, double end, double offset) {
  const double first = group.first[block], last = group.last[block];
  return (last < end ? last : end) - (first > start ? first : start) + offset > 0;
}

}  // namespace decay_detail

// Writes the segments that stay with their new scores, best first, and returns how many; equal scores: the lower
// position. The group is used up.
WTAL_INLINE int64_t suppress_by_decay(Waiting& group, const Decay& decay, Decayed* kept) {
  decay_detail::set_bounds(group);
  int64_t total = 0, closed = 0;
  for (int64_t best; (best = decay_detail::find_best(group)) >= 0;) {
    const double start = group.start[best], end = group.end[best];
    kept[total++] = {group.position[best], group.score[best]};
    group.score[best] = kGone;
    for (int64_t block = 0; block < decay_detail::blocks_of(group); ++block) {
      const bool own = block == best / kDecayBlock;
      if (!own && (group.most[block] == kGone || !decay_detail::may_overlap(group, block, start, end, decay.offset)))
        continue;
      group.most[block] = decay.gaussian ? decay_detail::decay_block<true>(group, block, start, end, decay)
                                         : decay_detail::decay_block<false>(group, block, start, end, decay);
    }
    if (4 * (total - closed) < group.count || total - closed < kDecayBlock) continue;
    decay_detail::close_ranks(group);
    closed = total;
  }
  return total;
}

}  // namespace wtal
