// Proposals of many rows at once. What lies above each threshold is one bit a sample; runs are found once to be counted
// and, when it is known where they go, once more to be scored and written. Samples are computed or read where they are
// needed, and of their running sums only those before each block of kSumBlock are kept.
//
// Rows tells what is proposed of (cas_rows.cuh, resampled_rows.cuh):
//   count, most           rows, and the largest number of samples of one
//   row(i)                with .length samples, 0 where nothing is proposed; .sample(j); .steering(j), what the thresholds
//                         of the gate are compared with; .extra, added to each score
//   checked, is_good(i)   arguments that are looked at before, 0..checked-1, and whether one may be used
//   accepts(sample)       whether a proposal may be made of it
// Out tells where proposals go: capacity; write(i, row, run, score, gated); pad(i).
#pragma once

#include "core/propose_rules.h"
#include "core/running_sums.h"
#include "cuda/above.cuh"
#include "cuda/rank.cuh"
#include "cuda/sums.cuh"

namespace wtal {

constexpr int kTaskWarps = 8;     // warps of a block that works on one row, or row and threshold, a warp
constexpr int kWordsAtOnce = 8;   // of 32 samples each, that a warp compares with every threshold

// Thresholds of the samples, then those of the gate.
struct Levels {
  const double *own, *gated;
  int64_t own_count, gated_count;
  ProposeRule rule;
  bool gated_raw;  // in place of rule.outer_raw

  __device__ ProposeRule rule_of(bool of_gate) const {
    ProposeRule result = rule;
    if (of_gate) result.outer_raw = gated_raw;
    return result;
  }
};

struct ProposeWork {
  int64_t levels, blocks, words;  // of a row: thresholds, blocks of kSumBlock samples, words of 32 samples
  double* before;                 // [rows, blocks] sum of the samples before the block
  unsigned* above;                // [rows, levels, words]
  int64_t* up_to;                 // [rows, levels] proposals of the rows and thresholds up to this one
  int64_t* refused;               // not 0: a number that no proposal may be made of
};

template <typename Rows>
static __global__ void __launch_bounds__(kElementThreads)
    check_kernel(const Rows rows, const Levels levels, const ProposeWork work) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  bool good = i >= rows.checked || rows.is_good(i);
  if (i < levels.own_count) good &= is_number(levels.own[i]) && levels.own[i] >= 0;
  if (i < levels.gated_count) good &= is_number(levels.gated[i]) && levels.gated[i] >= 0;
  if (!good) *work.refused = 1;
}

// A thread a block of samples.
template <typename Rows>
static __global__ void __launch_bounds__(kElementThreads) sum_blocks_kernel(const Rows rows, const ProposeWork work) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (i >= rows.count * work.blocks) return;
  const auto row = rows.row(i / work.blocks);
  const int64_t first = i % work.blocks * kSumBlock, end = first + kSumBlock < row.length ? first + kSumBlock : row.length;
  double sum = 0;
  bool good = true;
  for (int64_t j = first; j < end; ++j) {
    const double value = row.sample(j);
    good &= rows.accepts(value);
    sum += value;
  }
  work.before[i] = sum;
  if (!good) *work.refused = 1;
}

// A thread a row.
template <typename Rows>
static __global__ void __launch_bounds__(kElementThreads) sum_before_kernel(const Rows rows, const ProposeWork work) {
  const int64_t row = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (row >= rows.count) return;
  const int64_t first = row * work.blocks, used = (rows.row(row).length + kSumBlock - 1) / kSumBlock;
  double sum = 0;
  for (int64_t block = first; block < first + used; ++block) {
    const double own = work.before[block];
    work.before[block] = sum;
    sum += own;
  }
}

// A warp compares kWordsAtOnce words of a row with every threshold.
template <typename Rows>
static __global__ void __launch_bounds__(kTaskWarps* kWarp, 1)  // without the 1 it spills on sm_80
    mark_above_kernel(const Rows rows, const Levels levels, const ProposeWork work) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t parts = (work.words + kWordsAtOnce - 1) / kWordsAtOnce, index = task / parts;
  if (index >= rows.count) return;
  const auto row = rows.row(index);
  const int64_t first_word = task % parts * kWordsAtOnce;
  bool good = true;
  const auto compare = [&](const auto& value_at, const double* thresholds, int64_t count, unsigned* to) {
    if (count == 0) return;
    double values[kWordsAtOnce];
#pragma unroll
    for (int i = 0; i < kWordsAtOnce; ++i) {
      const int64_t j = (first_word + i) * kWarp + lane;
      values[i] = j < row.length ? value_at(j) : 0;
      good &= rows.accepts(values[i]);
    }
    for (int64_t level = 0; level < count; ++level) {
      unsigned own = 0;
#pragma unroll
      for (int i = 0; i < kWordsAtOnce; ++i) {
        const unsigned word = __ballot_sync(kAllLanes, is_above(values[i], thresholds[level]));
        if (lane == i) own = word;
      }
      if (lane < kWordsAtOnce && first_word + lane < work.words) to[level * work.words + first_word + lane] = own;
    }
  };
  unsigned* above = work.above + index * work.levels * work.words;
  compare([&](int64_t j) { return row.sample(j); }, levels.own, levels.own_count, above);
  compare([&](int64_t j) { return row.steering(j); }, levels.gated, levels.gated_count,
          above + levels.own_count * work.words);
  if (!good) *work.refused = 1;
}

__device__ inline Above above_of(const ProposeWork& work, int64_t task, int64_t length) {
  return {work.above + task * work.words, (length + kWarp - 1) / kWarp};
}

template <typename Rows>
static __global__ void __launch_bounds__(kTaskWarps* kWarp)
    count_runs_kernel(const Rows rows, const Levels levels, const ProposeWork work) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp;
  if (task >= rows.count * work.levels) return;
  const Above above = above_of(work, task, rows.row(task / work.levels).length);
  const int64_t found = each_run(above, levels.rule, [](const Run&, int64_t) {});
  if (threadIdx.x % kWarp == 0) work.up_to[task] = found;
}

template <typename Rows, typename Out>
static __global__ void __launch_bounds__(kTaskWarps* kWarp, 1)  // without the 1 it spills on sm_100
    write_runs_kernel(const Rows rows, const Levels levels, const ProposeWork work, const Out out) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp;
  if (task >= rows.count * work.levels) return;
  const int64_t index = task / work.levels, first = task ? work.up_to[task - 1] : 0;
  const auto row = rows.row(index);
  const bool gated = task % work.levels >= levels.own_count;
  const ProposeRule rule = levels.rule_of(gated);
  const Above above = above_of(work, task, row.length);
  const double* before = work.before + index * work.blocks;
  const auto sum_up_to = [&](int64_t j) {
    if (j == 0) return 0.0;
    const int64_t block = (j - 1) / kSumBlock;
    double within = 0;
    for (int64_t i = block * kSumBlock; i < j; ++i) within += row.sample(i);
    return before[block] + within;
  };
  const auto above_up_to = [&](int64_t j) {
    double sum = 0, within = 0;
    for (int64_t i = 0; i < j; ++i) {
      if (i % kSumBlock == 0) {
        sum += within;
        within = 0;
      }
      if (above.at(i)) within += row.sample(i);
    }
    return sum + within;
  };
  each_run(above, rule, [&](const Run& run, int64_t place) {
    if (first + place >= out.capacity) return;
    const double score = contrast(
        run, row.length, rule, row.extra, sum_up_to, above_up_to, [&](const Run& next) { return above.before(next); },
        [&](const Run& next) { return above.after(next); });
    out.write(first + place, index, run, score, gated);
  });
}

// Fills what is left of the arrays and tells how many proposals there are, -1 where a number is refused.
template <typename Out>
static __global__ void __launch_bounds__(kElementThreads)
    pad_proposed_kernel(int64_t tasks, const ProposeWork work, const Out out, int64_t* number) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  const int64_t found = tasks && !*work.refused ? work.up_to[tasks - 1] : 0;
  if (i == 0) *number = *work.refused ? -1 : found;
  if (i < out.capacity && i >= found) out.pad(i);
}

struct Nowhere {
  static constexpr int64_t capacity = 0;
  __device__ void pad(int64_t) const {}
};

// How many proposals each row and threshold has, and what writing them needs. Scratch memory: a float64 for each 64
// samples that a row may have, and a bit for each sample and threshold.
template <typename Sequence, typename Rows>
ProposeWork count_proposals(Sequence& sequence, const Rows& rows, const Levels& levels) {
  const int64_t thresholds = levels.own_count + levels.gated_count, tasks = rows.count * thresholds;
  const int64_t blocks = (rows.most + kSumBlock - 1) / kSumBlock, words = (rows.most + kWarp - 1) / kWarp;
  const ProposeWork work{thresholds,
                         blocks,
                         words,
                         sequence.template scratch<double>(rows.count * blocks),
                         sequence.template scratch<unsigned>(tasks * words),
                         sequence.template scratch<int64_t>(tasks),
                         sequence.template zeros<int64_t>(1)};
  const int64_t parts = (words + kWordsAtOnce - 1) / kWordsAtOnce;
  const auto warps = [](int64_t count) { return (count + kTaskWarps - 1) / kTaskWarps; };
  sequence.launch(check_kernel<Rows>, element_blocks(rows.checked + thresholds), kElementThreads, rows, levels, work);
  sequence.launch(sum_blocks_kernel<Rows>, element_blocks(rows.count * blocks), kElementThreads, rows, work);
  sequence.launch(sum_before_kernel<Rows>, element_blocks(rows.count), kElementThreads, rows, work);
  if (thresholds)
    sequence.launch(mark_above_kernel<Rows>, warps(rows.count * parts), kTaskWarps * kWarp, rows, levels, work);
  sequence.launch(count_runs_kernel<Rows>, warps(tasks), kTaskWarps * kWarp, rows, levels, work);
  add_up(sequence, work.up_to, tasks);
  return work;
}

// Read by the host; -1 where a number is refused.
template <typename Sequence>
int64_t number_of_proposals(Sequence& sequence, int64_t rows, const ProposeWork& work) {
  int64_t* number = sequence.template scratch<int64_t>(1);
  sequence.launch(pad_proposed_kernel<Nowhere>, 1, kElementThreads, rows * work.levels, work, Nowhere{}, number);
  return sequence.read(number);
}

template <typename Sequence, typename Rows, typename Out>
void write_proposals(Sequence& sequence, const Rows& rows, const Levels& levels, const ProposeWork& work, const Out& out) {
  const int64_t tasks = rows.count * work.levels;
  sequence.launch(write_runs_kernel<Rows, Out>, (tasks + kTaskWarps - 1) / kTaskWarps, kTaskWarps * kWarp, rows, levels,
                  work, out);
}

template <typename Sequence, typename Out>
void pad_proposals(Sequence& sequence, int64_t rows, const ProposeWork& work, const Out& out, int64_t* number) {
  sequence.launch(pad_proposed_kernel<Out>, element_blocks(out.capacity + 1), kElementThreads, rows * work.levels, work, out,
                  number);
}

}  // namespace wtal
