// Greedy suppression of the segments of one group, hard and soft.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/suppress_rules.h"

namespace wtal {

// Indices 0..count-1 by rising group, falling score, rising index; and where each group starts, with the end last.
struct Ranking {
  std::vector<int64_t> order;
  std::vector<int64_t> begins;
};

inline Ranking rank_by_group(const double* scores, const int64_t* groups, int64_t count) {
  Ranking ranking{std::vector<int64_t>(count), {}};
  std::iota(ranking.order.begin(), ranking.order.end(), int64_t{0});
  std::sort(ranking.order.begin(), ranking.order.end(), [&](int64_t a, int64_t b) {
    if (groups[a] != groups[b]) return groups[a] < groups[b];
    return taken_before(scores[a], a, scores[b], b);
  });
  for (int64_t i = 0; i < count; ++i)
    if (i == 0 || groups[ranking.order[i]] != groups[ranking.order[i - 1]]) ranking.begins.push_back(i);
  ranking.begins.push_back(count);
  return ranking;
}

// Segments that still wait for their turn, as separate arrays so that the overlap loop runs on vectors.
struct Waiting {
  std::vector<double> start, end, score;
  std::vector<int64_t> index;

  void resize(int64_t count) {
    start.resize(count);
    end.resize(count);
    score.resize(count);
    index.resize(count);
  }
  void move(int64_t from, int64_t to) {
    start[to] = start[from];
    end[to] = end[from];
    score[to] = score[from];
    index[to] = index[from];
  }
};

// Calls keep(index) for each segment that stays, best first. ranked: indices of one group, best first.
template <typename Keep>
void suppress(const double* segments, const int64_t* ranked, int64_t count, double threshold, double offset, Waiting& waiting,
              const Keep& keep) {
  waiting.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    waiting.start[i] = segments[2 * ranked[i]];
    waiting.end[i] = segments[2 * ranked[i] + 1];
    waiting.index[i] = ranked[i];
  }
  while (count > 0) {
    keep(waiting.index[0]);
    const double start = waiting.start[0], end = waiting.end[0];
    int64_t left = 0;
    for (int64_t i = 1; i < count; ++i)
      if (!removes(temporal_iou(waiting.start[i], waiting.end[i], start, end, offset), threshold)) waiting.move(i, left++);
    count = left;
  }
}

// Calls keep(index, new score) for each segment that stays, best first; equal scores: the lower index.
template <typename Keep>
void suppress_softly(const double* segments, const double* scores, const int64_t* ranked, int64_t count, const Decay& decay,
                     Waiting& waiting, const Keep& keep) {
  waiting.resize(count);
  int64_t size = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = ranked[i];
    if (scores[index] < decay.min_score) continue;
    waiting.start[size] = segments[2 * index];
    waiting.end[size] = segments[2 * index + 1];
    waiting.score[size] = scores[index];
    waiting.index[size++] = index;
  }
  while (size > 0) {
    int64_t best = 0;
    for (int64_t i = 1; i < size; ++i)
      if (taken_before(waiting.score[i], waiting.index[i], waiting.score[best], waiting.index[best])) best = i;
    keep(waiting.index[best], waiting.score[best]);
    const double start = waiting.start[best], end = waiting.end[best];
    int64_t left = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (i == best) continue;
      const double iou = temporal_iou(waiting.start[i], waiting.end[i], start, end, decay.offset);
      waiting.score[i] = decayed(waiting.score[i], iou, decay);
      if (waiting.score[i] >= decay.min_score) waiting.move(i, left++);
    }
    size = left;
  }
}

}  // namespace wtal
