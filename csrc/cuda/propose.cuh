// Proposals of all videos, classes and thresholds. What lies above each threshold is one bit a sample; runs are found
// once to be counted and, when it is known where they go, once more to be scored and written.
#pragma once

#include "core/propose_rules.h"
#include "core/running_sums.h"
#include "cuda/block.cuh"
#include "cuda/rank.cuh"
#include "cuda/sums.cuh"

namespace wtal {

constexpr int kTaskWarps = 8;     // warps of a block that works on one row, or row and threshold, a warp
constexpr int kWordsAtOnce = 8;   // of 32 samples each, that a warp compares with every threshold

// A row is a video and class: row = video * classes + class.
struct ProposeInput {
  int64_t videos, time, classes, levels;
  const double* cas;  // [videos, time, classes] of these strides
  int64_t video_stride, time_stride, class_stride;
  const double* gate;          // [videos, time] or null
  const int64_t* lengths;      // [videos]
  const bool* mask;            // [rows]
  const double* class_scores;  // [rows]
  double class_weight;
  const double* thresholds;  // [levels]
  ProposeRule rule;
};

struct ProposeWork {
  int64_t blocks, words;  // of a row: kSumBlock samples each, 32 samples each
  double* within;         // [rows, time] sums of the samples of a block up to this one
  double* before;         // [rows, blocks] sum of the samples before the block
  unsigned* above;        // [rows, levels, words]
  int64_t* up_to;         // [rows, levels] proposals of the rows and thresholds up to this one
  int64_t* refused;       // not 0: a number that no proposal may be made of
};

struct Proposed {
  int64_t capacity;  // of the arrays
  int64_t *start, *end;
  double* score;
  int64_t *label, *video;
};

__device__ inline int64_t length_of(const ProposeInput& op, int64_t row) {
  const int64_t length = op.lengths[row / op.classes];
  return length < 0 ? 0 : length > op.time ? op.time : length;
}

__device__ inline double sample(const ProposeInput& op, int64_t row, int64_t j) {
  return op.cas[row / op.classes * op.video_stride + j * op.time_stride + row % op.classes * op.class_stride];
}

static __global__ void __launch_bounds__(kElementThreads)
    check_row_kernel(const ProposeInput op, const ProposeWork work) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  bool good = true;
  if (i < op.videos) good &= op.lengths[i] >= 0 && op.lengths[i] <= op.time;
  if (i < op.videos * op.classes) good &= !op.mask[i] || is_number(op.class_scores[i]);
  if (i < op.levels) good &= is_number(op.thresholds[i]) && op.thresholds[i] >= 0;
  if (!good) *work.refused = 1;
}

// A thread a block of samples.
static __global__ void __launch_bounds__(kElementThreads)
    sum_within_kernel(const ProposeInput op, const ProposeWork work) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x, row = i / work.blocks;
  if (row >= op.videos * op.classes || !op.mask[row]) return;
  const int64_t first = i % work.blocks * kSumBlock, length = length_of(op, row);
  const int64_t end = first + kSumBlock < length ? first + kSumBlock : length;
  double sum = 0;
  bool good = true;
  for (int64_t j = first; j < end; ++j) {
    const double value = sample(op, row, j);
    good &= is_number(value);
    sum += value;
    work.within[row * op.time + j] = sum;
  }
  work.before[i] = sum;
  if (!good) *work.refused = 1;
}

// A thread a row.
static __global__ void __launch_bounds__(kElementThreads)
    sum_before_kernel(const ProposeInput op, const ProposeWork work) {
  const int64_t row = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  if (row >= op.videos * op.classes || !op.mask[row]) return;
  double sum = 0;
  for (int64_t block = row * work.blocks; block < (row + 1) * work.blocks; ++block) {
    const double own = work.before[block];
    work.before[block] = sum;
    sum += own;
  }
}

// A warp compares kWordsAtOnce words of a row with every threshold.
static __global__ void __launch_bounds__(kTaskWarps* kWarp)
    mark_above_kernel(const ProposeInput op, const ProposeWork work) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t parts = (work.words + kWordsAtOnce - 1) / kWordsAtOnce, row = task / parts;
  if (row >= op.videos * op.classes || !op.mask[row]) return;
  const int64_t first_word = task % parts * kWordsAtOnce, length = length_of(op, row);
  double values[kWordsAtOnce];
  bool good = true;
#pragma unroll
  for (int i = 0; i < kWordsAtOnce; ++i) {
    const int64_t j = (first_word + i) * kWarp + lane;
    values[i] = j >= length ? 0 : op.gate ? op.gate[row / op.classes * op.time + j] : sample(op, row, j);
    good &= is_number(values[i]);
  }
  if (!good) *work.refused = 1;
  for (int64_t level = 0; level < op.levels; ++level) {
    unsigned own = 0;
#pragma unroll
    for (int i = 0; i < kWordsAtOnce; ++i) {
      const unsigned word = __ballot_sync(kAllLanes, is_above(values[i], op.thresholds[level]));
      if (lane == i) own = word;
    }
    if (lane < kWordsAtOnce && first_word + lane < work.words)
      work.above[(row * op.levels + level) * work.words + first_word + lane] = own;
  }
}

// The runs of one row and threshold. Bits behind the last sample are 0.
struct Above {
  const unsigned* bits;
  int64_t words;

  // The first sample from `from` on whose bit is `set`; that behind the last word where there is none.
  __device__ int64_t next(int64_t from, bool set) const {
    int64_t word = from / kWarp;
    if (word >= words) return words * kWarp;
    unsigned found = (set ? bits[word] : ~bits[word]) & kAllLanes << from % kWarp;
    while (!found) {
      if (++word == words) return words * kWarp;
      found = set ? bits[word] : ~bits[word];
    }
    return word * kWarp + __ffs(int(found)) - 1;
  }

  // The last sample before `from` whose bit is `set`; -1 where there is none.
  __device__ int64_t last(int64_t from, bool set) const {
    if (from == 0) return -1;
    int64_t word = (from - 1) / kWarp;
    unsigned found = (set ? bits[word] : ~bits[word]) & kAllLanes >> (kWarp - 1 - (from - 1) % kWarp);
    while (!found) {
      if (--word < 0) return -1;
      found = set ? bits[word] : ~bits[word];
    }
    return word * kWarp + kWarp - 1 - __clz(int(found));
  }

  __device__ Run before(const Run& run) const {
    const int64_t end = last(run.start, true) + 1;
    return {end == 0 ? 0 : last(end, false) + 1, end};
  }

  __device__ Run after(const Run& run) const {
    const int64_t start = next(run.end, true);
    return {start, start == words * kWarp ? start : next(start, false)};
  }
};

// Calls visit(run, how many are visited before it) for each run that is proposed, on the lane of the word that it
// starts in. Returns how many there are.
template <typename Visit>
__device__ int64_t each_run(const Above& above, const ProposeRule& rule, Visit visit) {
  const int lane = threadIdx.x % kWarp;
  if (above.words && rule.skip_run_at_zero && above.bits[0] & 1 && above.next(1, true) == above.words * kWarp) return 0;
  int64_t found = 0;
  for (int64_t base = 0; base < above.words; base += kWarp) {
    const int64_t own = base + lane;
    unsigned starts = 0;
    if (own < above.words)
      starts = above.bits[own] & ~(above.bits[own] << 1 | (own ? above.bits[own - 1] >> (kWarp - 1) : 0));
    const auto each = [&](const auto& with) {
      for (unsigned left = starts; left; left &= left - 1) {
        const int64_t start = own * kWarp + __ffs(int(left)) - 1, end = above.next(start, false);
        if (end - start >= rule.min_run) with(Run{start, end});
      }
    };
    int own_runs = 0, total = 0;
    each([&](const Run&) { ++own_runs; });
    const auto add = [](int a, int b) { return a + b; };
    int64_t place = found + combine_up_to_here<1>(own_runs, add, total) - own_runs;
    each([&](const Run& run) { visit(run, place++); });
    found += total;
  }
  return found;
}

__device__ inline Above above_of(const ProposeInput& op, const ProposeWork& work, int64_t task) {
  const int64_t row = task / op.levels;
  return {work.above + task * work.words, op.mask[row] ? (length_of(op, row) + kWarp - 1) / kWarp : 0};
}

static __global__ void __launch_bounds__(kTaskWarps* kWarp)
    count_runs_kernel(const ProposeInput op, const ProposeWork work) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp;
  if (task >= op.videos * op.classes * op.levels) return;
  const int64_t found = each_run(above_of(op, work, task), op.rule, [](const Run&, int64_t) {});
  if (threadIdx.x % kWarp == 0) work.up_to[task] = found;
}

static __global__ void __launch_bounds__(kTaskWarps* kWarp, 1)  // without the 1 it spills on sm_100
    write_runs_kernel(const ProposeInput op, const ProposeWork work, const Proposed out) {
  const int64_t task = int64_t(blockIdx.x) * kTaskWarps + threadIdx.x / kWarp;
  if (task >= op.videos * op.classes * op.levels) return;
  const int64_t row = task / op.levels, length = length_of(op, row), first = task ? work.up_to[task - 1] : 0;
  const Above above = above_of(op, work, task);
  const double *within = work.within + row * op.time, *before = work.before + row * work.blocks;
  const auto sum_up_to = [&](int64_t j) { return j ? before[(j - 1) / kSumBlock] + within[j - 1] : 0.0; };
  each_run(above, op.rule, [&](const Run& run, int64_t place) {
    const int64_t i = first + place;
    if (i >= out.capacity) return;
    out.start[i] = run.start;
    out.end[i] = run.end;
    out.score[i] = contrast(
        run, length, op.rule, op.class_weight * op.class_scores[row], sum_up_to,
        [&](const Run& next) { return above.before(next); }, [&](const Run& next) { return above.after(next); });
    out.label[i] = row % op.classes;
    out.video[i] = row / op.classes;
  });
}

// Fills what is left of the arrays and tells how many proposals there are, -1 where a number is refused.
static __global__ void __launch_bounds__(kElementThreads)
    pad_proposed_kernel(int64_t tasks, const ProposeWork work, const Proposed out, int64_t* number) {
  const int64_t i = int64_t(blockIdx.x) * kElementThreads + threadIdx.x;
  const int64_t found = tasks && !*work.refused ? work.up_to[tasks - 1] : 0;
  if (i == 0) *number = *work.refused ? -1 : found;
  if (i >= out.capacity || i < found) return;
  out.start[i] = out.end[i] = 0;
  out.score[i] = 0;
  out.label[i] = out.video[i] = -1;
}

// How many proposals each row and threshold has, and what writing them needs. Scratch memory: twice that of the class
// activation sequences in float64, and 1/64 of that for each threshold.
template <typename Sequence>
ProposeWork count_proposals(Sequence& sequence, const ProposeInput& op) {
  const int64_t rows = op.videos * op.classes, tasks = rows * op.levels;
  const int64_t blocks = (op.time + kSumBlock - 1) / kSumBlock, words = (op.time + kWarp - 1) / kWarp;
  const ProposeWork work{blocks,
                         words,
                         sequence.template scratch<double>(rows * op.time),
                         sequence.template scratch<double>(rows * blocks),
                         sequence.template scratch<unsigned>(tasks * words),
                         sequence.template scratch<int64_t>(tasks),
                         sequence.template zeros<int64_t>(1)};
  const int64_t parts = (words + kWordsAtOnce - 1) / kWordsAtOnce, checked = rows + op.videos + op.levels;
  const auto warps = [](int64_t count) { return (count + kTaskWarps - 1) / kTaskWarps; };
  sequence.launch(check_row_kernel, element_blocks(checked), kElementThreads, op, work);
  sequence.launch(sum_within_kernel, element_blocks(rows * blocks), kElementThreads, op, work);
  sequence.launch(sum_before_kernel, element_blocks(rows), kElementThreads, op, work);
  if (op.levels) sequence.launch(mark_above_kernel, warps(rows * parts), kTaskWarps * kWarp, op, work);
  sequence.launch(count_runs_kernel, warps(tasks), kTaskWarps * kWarp, op, work);
  add_up(sequence, work.up_to, tasks);
  return work;
}

template <typename Sequence>
void write_proposals(Sequence& sequence, const ProposeInput& op, const ProposeWork& work, const Proposed& out) {
  const int64_t tasks = op.videos * op.classes * op.levels;
  sequence.launch(write_runs_kernel, (tasks + kTaskWarps - 1) / kTaskWarps, kTaskWarps * kWarp, op, work, out);
}

template <typename Sequence>
void pad_proposals(Sequence& sequence, const ProposeInput& op, const ProposeWork& work, const Proposed& out,
                   int64_t* number) {
  sequence.launch(pad_proposed_kernel, element_blocks(out.capacity + 1), kElementThreads,
                  op.videos * op.classes * op.levels, work, out, number);
}

}  // namespace wtal
