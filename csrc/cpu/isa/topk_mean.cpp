// Exact selection by bisection on integer keys: the k-th largest key is found by counting the keys at or above a pivot, about
// log2(time) times for distinct scores and at most once per bit. No sort, no index list.
#include "cpu/topk_mean.h"

namespace wtal::WTAL_ISA {
namespace {

constexpr int64_t kLanes = 16;          // partial sums: fixed, so that every instruction set gives the same bits
constexpr int64_t kCountBlock = 1 << 14;  // keys counted in a counter as wide as the key
constexpr int64_t kScanBlock = 64;

template <typename Key>
int64_t count_at_least(const Key* keys, int64_t n, Key pivot) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < n; begin += kCountBlock) {
    const int64_t end = begin + kCountBlock < n ? begin + kCountBlock : n;
    std::make_unsigned_t<Key> count = 0;
    for (int64_t t = begin; t < end; ++t) count += keys[t] >= pivot;
    total += int64_t(count);
  }
  return total;
}

template <typename Key>
struct Selection {
  Key floor;     // selected are all keys above it,
  int64_t ties;  // and this many of those equal to it, lowest index first
};

// The k largest of n keys, 1 <= k <= n.
template <typename Key>
Selection<Key> select(const Key* keys, int64_t n, int64_t k) {
  Key low = keys[0], high = keys[0];  // the k-th largest key is in [low, high]
  for (int64_t t = 1; t < n; ++t) {
    low = keys[t] < low ? keys[t] : low;
    high = keys[t] > high ? keys[t] : high;
  }
  int64_t at_least_low = n;
  while (low < high && at_least_low != k) {
    using Bits = std::make_unsigned_t<Key>;
    const Key pivot = Key(low + Key(Bits(Bits(high) - Bits(low)) / 2) + 1);
    const int64_t count = count_at_least(keys, n, pivot);
    if (count >= k) {
      low = pivot;
      at_least_low = count;
    } else {
      high = Key(pivot - 1);
    }
  }
  if (at_least_low == k) return {Key(low - 1), 0};
  return {low, k - count_at_least(keys, n, Key(low + 1))};
}

// Sum of the numbers whose keys are above `floor`.
template <typename Number, typename Key = typename Ordering<Number>::Key>
typename Ordering<Number>::Real sum_above(const Key* keys, int64_t n, Key floor, bool largest) {
  using Real = typename Ordering<Number>::Real;
  Real sums[kLanes] = {};
  int64_t t = 0;
  for (; t + kLanes <= n; t += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const Real value = to_real<Number>(to_bits(keys[t + lane], largest));
      sums[lane] += keys[t + lane] > floor ? value : Real(0);
    }
  for (int64_t lane = 0; t + lane < n; ++lane)
    if (keys[t + lane] > floor) sums[lane] += to_real<Number>(to_bits(keys[t + lane], largest));
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  return sums[0];
}

// Index of the `rank`-th key (from 1) that equals `key`.
template <typename Key>
int64_t find_rank(const Key* keys, Key key, int64_t rank) {
  int64_t t = -1;
  while (rank > 0) rank -= keys[++t] == key;
  return t;
}

// Index of the last of the lowest keys above `floor`.
template <typename Key>
int64_t find_last_lowest(const Key* keys, int64_t n, Key floor) {
  constexpr Key kMost = KeyLimits<Key>::kMagnitude;
  Key lowest = kMost;
  for (int64_t t = 0; t < n; ++t) {
    const Key key = keys[t] > floor ? keys[t] : kMost;
    lowest = key < lowest ? key : lowest;
  }
  int64_t t = n;
  for (bool found = false; t >= kScanBlock; t -= kScanBlock) {  // whole blocks first: these compares are vectorised
    for (int64_t i = t - kScanBlock; i < t; ++i) found |= keys[i] == lowest;
    if (found) break;
  }
  do --t;
  while (keys[t] != lowest);
  return t;
}

// Selects in one row of n valid keys; writes the mean of the k selected numbers and the index of the last one.
template <typename Number, typename Key = typename Ordering<Number>::Key>
void reduce_row(const Key* keys, int64_t n, int64_t k, bool largest, Key* mean, int64_t* last) {
  using Real = typename Ordering<Number>::Real;
  if (k == 0) {
    *mean = 0;
    *last = -1;
    return;
  }
  const auto [floor, ties] = select(keys, n, k);
  Real sum = sum_above<Number>(keys, n, floor, largest);
  if (ties) sum += Real(ties) * to_real<Number>(to_bits(floor, largest));
  *mean = from_real<Number>(sum / Real(k));
  *last = ties ? find_rank(keys, floor, ties) : find_last_lowest(keys, n, floor);
}

// keys[c * stride + t] of `width` channels from scores[t, c].
template <typename Number, typename Key = typename Ordering<Number>::Key>
void load_keys(const Key* scores, const Strides& strides, int64_t n, int64_t width, bool largest, Key* keys, int64_t stride) {
  for (int64_t c = 0; c < width; ++c) {
    const Key* row = scores + c * strides.channel;
    if (strides.time == 1)
      for (int64_t t = 0; t < n; ++t) keys[c * stride + t] = to_key<Number>(row[t], largest);
    else
      for (int64_t t = 0; t < n; ++t) keys[c * stride + t] = to_key<Number>(row[t * strides.time], largest);
  }
}

template <typename Number>
void forward_jobs(const TopkMean& op, const Jobs& jobs, int64_t begin, int64_t end, void* scratch) {
  using Key = typename Ordering<Number>::Key;
  Key* keys = static_cast<Key*>(scratch);
  for (int64_t job = begin; job < end; ++job) {
    const int64_t video = job / jobs.per_video, first = job % jobs.per_video * jobs.width;
    const int64_t width = first + jobs.width < op.channels ? jobs.width : op.channels - first;
    const int64_t n = length_of(op, video), k = count_of(op, video);
    const Key* scores = static_cast<const Key*>(op.scores) + offset(op.scores_strides, video, 0, first);
    load_keys<Number>(scores, op.scores_strides, n, width, op.largest, keys, op.time);
    for (int64_t c = 0; c < width; ++c) {
      const int64_t row = video * op.channels + first + c;
      reduce_row<Number>(keys + c * op.time, n, k, op.largest, static_cast<Key*>(op.mean) + row, op.last + row);
    }
  }
}

// Gradient of `width` channels of a video: grad / k where selected, 0 elsewhere.
template <typename Number>
void backward_jobs(const TopkMean& op, const Jobs& jobs, int64_t begin, int64_t end) {
  using Key = typename Ordering<Number>::Key;
  using Real = typename Ordering<Number>::Real;
  const Strides from = op.scores_strides, to = op.grad_strides;
  for (int64_t job = begin; job < end; ++job) {
    const int64_t video = job / jobs.per_video, first = job % jobs.per_video * jobs.width;
    const int64_t width = first + jobs.width < op.channels ? jobs.width : op.channels - first;
    const int64_t n = length_of(op, video), k = count_of(op, video), row = video * op.channels + first;
    const Key* scores = static_cast<const Key*>(op.scores) + offset(from, video, 0, first);
    Key* grad = static_cast<Key*>(op.grad_scores) + offset(to, video, 0, first);
    const Key* grad_mean = static_cast<const Key*>(op.grad_mean) + row;
    const int64_t* last = op.last + row;
    for (int64_t c = 0; c < width; ++c) {
      const Key share = last[c] < 0 ? Key(0) : from_real<Number>(to_real<Number>(grad_mean[c]) / Real(k));
      const Key kth = last[c] < 0 ? Key(0) : to_key<Number>(scores[last[c] * from.time + c * from.channel], op.largest);
      for (int64_t t = 0; t < n; ++t) {
        const Key key = to_key<Number>(scores[t * from.time + c * from.channel], op.largest);
        grad[t * to.time + c * to.channel] = key > kth || (key == kth && t <= last[c]) ? share : Key(0);
      }
      for (int64_t t = n; t < op.time; ++t) grad[t * to.time + c * to.channel] = Key(0);
    }
  }
}

}  // namespace

void topk_mean(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end, void* scratch) {
  switch (type) {
    case NumberType::float32: return forward_jobs<float>(op, jobs, begin, end, scratch);
    case NumberType::float64: return forward_jobs<double>(op, jobs, begin, end, scratch);
    case NumberType::bfloat16: return forward_jobs<BFloat16>(op, jobs, begin, end, scratch);
    case NumberType::float16: return forward_jobs<Float16>(op, jobs, begin, end, scratch);
  }
}

void topk_mean_backward(const TopkMean& op, NumberType type, const Jobs& jobs, int64_t begin, int64_t end) {
  switch (type) {
    case NumberType::float32: return backward_jobs<float>(op, jobs, begin, end);
    case NumberType::float64: return backward_jobs<double>(op, jobs, begin, end);
    case NumberType::bfloat16: return backward_jobs<BFloat16>(op, jobs, begin, end);
    case NumberType::float16: return backward_jobs<Float16>(op, jobs, begin, end);
  }
}

}  // namespace wtal::WTAL_ISA
