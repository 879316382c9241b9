// Exact selection by bisection on integer keys, as on the CPU (csrc/cpu/isa/topk_mean.cpp). A row is held in the
// registers of a warp, of a block where it is longer, and is read again for each count where it is longer still. No
// sort, no index list, nothing read by the host: the launch depends on the shape alone.
#pragma once

#include "core/topk_mean.h"
#include "cuda/block.cuh"

namespace wtal {

constexpr int kRowsPerBlock = 8;  // of one warp each: neighbouring channels, which share memory sectors

template <typename Key>
using Wide = std::conditional_t<sizeof(Key) == 8, int64_t, int32_t>;  // shuffles and registers are 32 bits or more

// The keys of one row, dealt out to the threads that work on it: key t to thread t % kThreads.
template <typename Number, int kPerThread, int kWarps>
struct Row {
  using Narrow = typename Ordering<Number>::Key;
  using Key = Wide<Narrow>;
  static constexpr int kThreads = kWarp * kWarps;
  static constexpr Key kPadding = KeyLimits<Key>::kSign;  // below the key of every number

  const Narrow* scores;
  int64_t stride, n;
  bool largest;
  int thread;
  Key held[kPerThread ? kPerThread : 1];

  __device__ Key read(int64_t t) const { return to_key<Number>(scores[t * stride], largest); }

  __device__ void load() {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int64_t t = int64_t(i) * kThreads + thread;
      held[i] = t < n ? read(t) : kPadding;
    }
  }

  // visit(t, key) for each key of this thread; padding may be visited too.
  template <typename Visit>
  __device__ void each(Visit visit) const {
    if constexpr (kPerThread > 0) {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) visit(int64_t(i) * kThreads + thread, held[i]);
    } else {
      for (int64_t t = thread; t < n; t += kThreads) visit(t, read(t));
    }
  }

  template <typename Test>
  __device__ int64_t count(Test test) const {
    int found = 0;
    each([&](int64_t t, Key key) { found += test(t, key); });
    if constexpr (kWarps == 1) return __reduce_add_sync(kAllLanes, found);
    return combine_all<kWarps>(found, [](int a, int b) { return a + b; });
  }
};

template <typename Number, int kPerThread, int kWarps>
__global__ void __launch_bounds__(kWarp * kWarps * (kWarps == 1 ? kRowsPerBlock : 1))
    topk_mean_kernel(const TopkMean op) {
  using Keys = Row<Number, kPerThread, kWarps>;
  using Key = typename Keys::Key;
  using Narrow = typename Keys::Narrow;
  using Real = typename Ordering<Number>::Real;
  const int64_t index = kWarps == 1 ? int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.x / kWarp : blockIdx.x;
  if (index >= op.videos * op.channels) return;
  const int64_t video = index / op.channels, n = length_of(op, video), k = count_of(op, video);
  const int thread = threadIdx.x % Keys::kThreads;
  if (k == 0) {
    if (thread == 0) static_cast<Narrow*>(op.mean)[index] = 0;
    if (thread == 0) op.last[index] = -1;
    return;
  }
  const Narrow* scores =
      static_cast<const Narrow*>(op.scores) + offset(op.scores_strides, video, 0, index % op.channels);
  Keys row{scores, op.scores_strides.time, n, op.largest, thread};
  row.load();

  const auto lesser = [](Key a, Key b) { return a < b ? a : b; };
  const auto greater = [](Key a, Key b) { return a > b ? a : b; };
  Key low = KeyLimits<Key>::kMagnitude, high = Keys::kPadding;
  row.each([&](int64_t t, Key key) {
    if (key != Keys::kPadding) low = lesser(low, key);
    high = greater(high, key);
  });
  low = combine_all<kWarps>(low, lesser);
  high = combine_all<kWarps>(high, greater);
  int64_t at_least_low = n;  // the k-th largest key is in [low, high]
  for (int step = 0; low < high && at_least_low != k; ++step) {
    const Key pivot = pivot_between<Number>(low, high, step, op.largest);
    const int64_t found = row.count([&](int64_t, Key key) { return key >= pivot; });
    if (found >= k) {
      low = pivot;
      at_least_low = found;
    } else {
      high = Key(pivot - 1);
    }
  }

  Key kth = KeyLimits<Key>::kMagnitude;  // the k-th largest key
  row.each([&](int64_t t, Key key) {
    if (key >= low) kth = lesser(kth, key);
  });
  kth = combine_all<kWarps>(kth, lesser);
  const int64_t ties = k - row.count([&](int64_t, Key key) { return key > kth; });  // selected of those equal to it
  Real sum = 0;
  row.each([&](int64_t t, Key key) {
    if (key > kth) sum += to_real<Number>(to_bits(Narrow(key), op.largest));
  });
  sum = combine_all<kWarps>(sum, [](Real a, Real b) { return a + b; });
  sum += Real(ties) * to_real<Number>(to_bits(Narrow(kth), op.largest));

  int64_t last = -1;
  row.each([&](int64_t t, Key key) {
    if (key == kth) last = t;
  });
  last = combine_all<kWarps>(last, [](int64_t a, int64_t b) { return a > b ? a : b; });
  if (row.count([&](int64_t, Key key) { return key == kth; }) > ties) {  // not all of them: bisection on the index
    int64_t first = 0;
    while (first < last) {
      const int64_t middle = first + (last - first) / 2;
      if (row.count([&](int64_t t, Key key) { return key == kth && t <= middle; }) >= ties)
        last = middle;
      else
        first = middle + 1;
    }
  }
  if (thread == 0) static_cast<Narrow*>(op.mean)[index] = from_real<Number>(sum / Real(k));
  if (thread == 0) op.last[index] = last;
}

// One thread an element, in the order of memory.
template <typename Number>
__global__ void __launch_bounds__(256)
    topk_mean_backward_kernel(const TopkMean op, bool time_is_contiguous, int64_t blocks_per_video) {
  using Key = typename Ordering<Number>::Key;
  using Real = typename Ordering<Number>::Real;
  const int64_t video = blockIdx.x / blocks_per_video,
                element = blockIdx.x % blocks_per_video * blockDim.x + threadIdx.x;
  if (element >= op.time * op.channels) return;
  const int64_t t = time_is_contiguous ? element % op.time : element / op.channels;
  const int64_t channel = time_is_contiguous ? element / op.time : element % op.channels;
  const int64_t row = video * op.channels + channel, last = op.last[row];
  Key gradient = 0;
  if (last >= 0 && last < length_of(op, video) && t < length_of(op, video)) {
    const Key* scores = static_cast<const Key*>(op.scores);
    const Key key = to_key<Number>(scores[offset(op.scores_strides, video, t, channel)], op.largest);
    const Key kth = to_key<Number>(scores[offset(op.scores_strides, video, last, channel)], op.largest);
    if (key > kth || (key == kth && t <= last))
      gradient =
          from_real<Number>(to_real<Number>(static_cast<const Key*>(op.grad_mean)[row]) / Real(count_of(op, video)));
  }
  static_cast<Key*>(op.grad_scores)[offset(op.grad_strides, video, t, channel)] = gradient;
}

}  // namespace wtal
