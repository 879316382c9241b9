// Exact selection by bisection on integer keys: the k-th largest key is found by counting the keys at or above a pivot,
// about log2(time) times for distinct scores and at most once a bit and four more. No sort, no index list.
//
// Loops run over kLanes accumulators side by side: compilers turn these into vectors of any width, and sums are added
// in the same order whatever the width, so that every instruction set gives the same bits. Rows are padded to whole
// blocks of kLanes keys.
#include <initializer_list>

#include "cpu/topk_mean.h"

namespace wtal::WTAL_ISA {
namespace {

constexpr int64_t kLanes = kRowBlock;
constexpr int64_t kPattern = kMaxWidth * 16;
constexpr int64_t kSumLanes = kRowBlock / 2;  // sums and minima of all lanes fit the registers

template <typename Key>
struct Row {
  Key* keys;
  int64_t padded;       // keys with the padding
  Key lowest, highest;  // of the keys without it
};

template <typename Key>
int64_t count_at_least(const Row<Key>& row, Key pivot) {
  using Counter = std::make_unsigned_t<Key>;
  constexpr int64_t kChunk = kLanes << 15;  // a 16-bit counter holds the keys of its lane
  int64_t total = 0;
  for (int64_t begin = 0; begin < row.padded; begin += kChunk) {
    const int64_t end = begin + kChunk < row.padded ? begin + kChunk : row.padded;
    Counter counts[kLanes] = {};
    for (int64_t t = begin; t < end; t += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) counts[lane] += row.keys[t + lane] >= pivot;
    std::conditional_t<sizeof(Key) == 8, uint64_t, uint32_t> sum = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) sum += counts[lane];
    total += int64_t(sum);
  }
  return total;
}

template <typename Key>
struct Selection {
  Key floor;     // selected are all keys above it,
  int64_t ties;  // and this many of those equal to it, lowest index first
};

// Counts the keys of a row at or above pivots.
template <typename Key>
struct KeyCounter {
  const Row<Key>& row;

  int64_t at_least(Key& pivot, Key, Key) { return count_at_least(row, pivot); }
};

// The same for long rows, on 16-bit digits of the keys: half the memory and twice the lanes. A digit holds all keys of
// the same upper bits of key - base; 0 holds the keys below base, the highest also those too far above it.
struct DigitCounter {
  const Row<int32_t>& row;
  Row<int16_t> digits;
  int32_t base;
  int shift;

  DigitCounter(const Row<int32_t>& keys, int16_t* spare) : row(keys), digits{spare, keys.padded, 0, 0} {
    fill(keys.lowest, keys.highest);
  }

  int16_t digit_of(int32_t key) const {
    const uint32_t digit = key < base ? 0 : ((uint32_t(key) - uint32_t(base)) >> shift) + 1;
    return int16_t((digit < 0xffff ? digit : 0xffff) - 0x8000);
  }

  // Spreads [low, high] over the digits.
  void fill(int32_t low, int32_t high) {
    base = low;
    for (shift = 0; (uint32_t(high) - uint32_t(low)) >> shift > 0xfffd;) ++shift;
    const DigitCounter fixed = *this;
    for (int64_t t = 0; t < row.padded; ++t) fixed.digits.keys[t] = fixed.digit_of(row.keys[t]);
  }

  // Moves the pivot to the first key of a digit in (low, high].
  int64_t at_least(int32_t& pivot, int32_t low, int32_t high) {
    if (digit_of(low) == digit_of(high)) fill(low, high);
    int16_t digit = digit_of(pivot);
    if (digit == digit_of(low)) ++digit;
    pivot = int32_t(uint32_t(base) + (uint32_t(digit + 0x7fff) << shift));
    return count_at_least(digits, digit);
  }
};

constexpr int64_t kKeysForDigits = 2048;  // filling them costs as much as a few counts of keys

// The k largest of the n keys of a row, 1 <= k <= n.
template <typename Number, typename Counter, typename Key = typename Ordering<Number>::Key>
Selection<Key> select(const Row<Key>& row, int64_t n, int64_t k, bool largest, Counter counter) {
  Key low = row.lowest, high = row.highest;  // the k-th largest key is in [low, high]
  int64_t at_least_low = n;
  for (int step = 0; low < high && at_least_low != k; ++step) {
    Key pivot = pivot_between<Number>(low, high, step, largest);
    const int64_t count = counter.at_least(pivot, low, high);
    if (count >= k) {
      low = pivot;
      at_least_low = count;
    } else {
      high = Key(pivot - 1);
    }
  }
  if (at_least_low == k) return {Key(low - 1), 0};
  return {low, k - count_at_least(row, Key(low + 1))};
}

// Spare: room for row.padded digits.
template <typename Number, typename Key = typename Ordering<Number>::Key>
Selection<Key> select(const Row<Key>& row, int64_t n, int64_t k, bool largest, int16_t* spare) {
  if constexpr (std::is_same_v<Key, int32_t>)
    if (n >= kKeysForDigits)
      return select<Number>(row, n, k, largest, DigitCounter(row, spare));
  return select<Number>(row, n, k, largest, KeyCounter<Key>{row});
}

// Index of the last key that equals `key`, which is there.
template <typename Key>
int64_t find_last(const Row<Key>& row, Key key) {
  int64_t t = row.padded;
  for (Key found = 0;; t -= kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) found |= Key(row.keys[t - kLanes + lane] == key);
    if (found) break;
  }
  do --t;
  while (row.keys[t] != key);
  return t;
}

// Index of the `rank`-th key, from 1, that equals `key`.
template <typename Key>
int64_t find_rank(const Row<Key>& row, Key key, int64_t rank) {
  int64_t t = -1;
  while (rank > 0) rank -= row.keys[++t] == key;
  return t;
}

// Writes the mean of the k largest of n numbers and the index of the last one selected.
template <typename Number, typename Key = typename Ordering<Number>::Key>
void reduce(const Row<Key>& row, int64_t n, int64_t k, bool largest, int16_t* spare, Key* mean, int64_t* last) {
  using Real = typename Ordering<Number>::Real;
  if (k == 0) {
    *mean = 0;
    *last = -1;
    return;
  }
  const auto [floor, ties] = select<Number>(row, n, k, largest, spare);
  Real sums[kSumLanes] = {};
  Key lowest[kSumLanes];  // of the keys above the floor
  for (int64_t lane = 0; lane < kSumLanes; ++lane) lowest[lane] = KeyLimits<Key>::kMagnitude;
  for (int64_t t = 0; t < row.padded; t += kSumLanes)
    for (int64_t lane = 0; lane < kSumLanes; ++lane) {
      const Key key = row.keys[t + lane];
      const Real value = to_real<Number>(to_bits(key, largest));
      sums[lane] += key > floor ? value : Real(0);
      const Key selected = key > floor ? key : KeyLimits<Key>::kMagnitude;
      lowest[lane] = selected < lowest[lane] ? selected : lowest[lane];
    }
  for (int64_t width = kSumLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) {
      sums[lane] += sums[lane + width];
      lowest[lane] = lowest[lane] < lowest[lane + width] ? lowest[lane] : lowest[lane + width];
    }
  const Real tied = ties ? Real(ties) * to_real<Number>(to_bits(floor, largest)) : Real(0);
  *mean = from_real<Number>((sums[0] + tied) / Real(k));
  *last = ties ? find_rank(row, floor, ties) : find_last(row, lowest[0]);
}

// Transposes 8 snippets x 8 channels: channels are contiguous in `from`, time is in `to`.
template <typename Key>
void transpose_tile(const Key* from, int64_t from_stride, Key* to, int64_t to_stride) {
  typedef Key Vector __attribute__((vector_size(8 * sizeof(Key))));
  Vector rows[8];
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&rows[i], from + i * from_stride, sizeof(Vector));
  for (int i = 0; i < 8; i += 2) {
    const Vector a = rows[i], b = rows[i + 1];
    rows[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    rows[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (const int i : std::initializer_list<int>{0, 1, 4, 5}) {
    const Vector a = rows[i], b = rows[i + 2];
    rows[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    rows[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; ++i) {
    const Vector a = rows[i], b = rows[i + 4];
    rows[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    rows[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; ++i) __builtin_memcpy(to + i * to_stride, &rows[i], sizeof(Vector));
}

// to[c * to_stride + t] = from[t, c] for n snippets and `width` channels.
template <typename Key>
void gather_rows(const Key* from, const Strides& strides, int64_t n, int64_t width, Key* to, int64_t to_stride) {
  const int64_t tiled = strides.channel == 1 && width >= 8 ? n / 8 * 8 : 0;
  for (int64_t t = 0; t < tiled; t += 8)
    for (int64_t c = 0; c < width; c += 8) {
      const int64_t first = c + 8 <= width ? c : width - 8;  // the last tile overlaps the one before
      transpose_tile(from + t * strides.time + first, strides.time, to + first * to_stride + t, to_stride);
    }
  for (int64_t c = 0; c < width; ++c)
    for (int64_t t = tiled; t < n; ++t) to[c * to_stride + t] = from[t * strides.time + c * strides.channel];
}

// The padded row of the keys of n numbers; `bits` and `keys` may be one.
template <typename Number, typename Key = typename Ordering<Number>::Key>
Row<Key> to_row(const Key* bits, int64_t n, bool largest, Key* keys) {
  Key lowest = KeyLimits<Key>::kMagnitude, highest = KeyLimits<Key>::kSign;
  for (int64_t t = 0; t < n; ++t) {
    const Key key = to_key<Number>(bits[t], largest);
    keys[t] = key;
    lowest = key < lowest ? key : lowest;
    highest = key > highest ? key : highest;
  }
  const int64_t padded = (n + kLanes - 1) / kLanes * kLanes;
  for (int64_t t = n; t < padded; ++t) keys[t] = KeyLimits<Key>::kSign;  // below the key of every number
  return {keys, padded, lowest, highest};
}

template <typename Number>
void forward_jobs(const TopkMean& op, const Jobs& jobs, int64_t begin, int64_t end, void* scratch) {
  using Key = typename Ordering<Number>::Key;
  Key* buffer = static_cast<Key*>(scratch);
  int16_t* spare = reinterpret_cast<int16_t*>(buffer + jobs.width * row_stride(op));  // behind keys of up to 32 bits
  for (int64_t job = begin; job < end; ++job) {
    const int64_t video = job / jobs.per_video, first = job % jobs.per_video * jobs.width;
    const int64_t width = first + jobs.width < op.channels ? jobs.width : op.channels - first;
    const int64_t n = length_of(op, video), k = count_of(op, video);
    const Key* scores = static_cast<const Key*>(op.scores) + offset(op.scores_strides, video, 0, first);
    const bool in_rows = op.scores_strides.time == 1;
    if (!in_rows) gather_rows(scores, op.scores_strides, n, width, buffer, row_stride(op));
    for (int64_t c = 0; c < width; ++c) {
      Key* keys = buffer + c * row_stride(op);
      const Key* bits = in_rows ? scores + c * op.scores_strides.channel : keys;
      const int64_t out = video * op.channels + first + c;
      reduce<Number>(to_row<Number>(bits, n, op.largest, keys), n, k, op.largest, spare,
                     static_cast<Key*>(op.mean) + out, op.last + out);
    }
  }
}

// What decides the gradient of one job: channel c gets share[c] at keys above floor[c], 0 elsewhere. The pattern of
// `width` channels is repeated for `rows` snippets, so that a block of these which is contiguous in memory is one loop.
template <typename Key>
struct Spread {
  int64_t rows, width;
  Key floor[kPattern], share[kPattern];

  void set_floor(int64_t channel, Key value) {
    for (int64_t row = 0; row < rows; ++row) floor[row * width + channel] = value;
  }
  void set_share(int64_t channel, Key value) {
    for (int64_t row = 0; row < rows; ++row) share[row * width + channel] = value;
  }
};

template <typename Number, typename Key = typename Ordering<Number>::Key>
void spread_row(const Key* __restrict scores, Key* __restrict grad, int64_t count, bool largest, Key floor, Key share) {
  for (int64_t t = 0; t < count; ++t) grad[t] = to_key<Number>(scores[t], largest) > floor ? share : Key(0);
}

template <typename Number, typename Key = typename Ordering<Number>::Key>
void spread_block(const Key* __restrict scores, int64_t from, Key* __restrict grad, int64_t to, int64_t count,
                  bool largest, const Key* __restrict floor, const Key* __restrict share) {
  for (int64_t i = 0; i < count; ++i) {
    const Key key = to_key<Number>(scores[i * from], largest);
    grad[i * to] = key > floor[i] ? share[i] : Key(0);
  }
}

// Snippets [begin, end), between which no floor changes.
template <typename Number, typename Key = typename Ordering<Number>::Key>
void spread_between(int64_t begin, int64_t end, const Key* scores, Strides from, Key* grad, Strides to, bool largest,
                    const Spread<Key>& spread) {
  if (spread.width == 1 && from.time == 1 && to.time == 1)
    return spread_row<Number>(scores + begin, grad + begin, end - begin, largest, spread.floor[0], spread.share[0]);
  for (int64_t t = begin; t < end; t += spread.rows) {
    const int64_t count = (t + spread.rows < end ? spread.rows : end - t) * spread.width;
    const Key* block = scores + t * from.time;
    Key* target = grad + t * to.time;
    if (from.channel == 1 && to.channel == 1)
      spread_block<Number>(block, 1, target, 1, count, largest, spread.floor, spread.share);
    else
      spread_block<Number>(block, from.channel, target, to.channel, count, largest, spread.floor, spread.share);
  }
}

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
    const Key* grad_mean = static_cast<const Key*>(op.grad_mean) + row;
    const int64_t* last = op.last + row;
    Key* grad = static_cast<Key*>(op.grad_scores) + offset(to, video, 0, first);
    const bool contiguous = from.time == width && to.time == width && from.channel == 1 && to.channel == 1;
    Spread<Key> spread;
    spread.rows = contiguous ? kPattern / kMaxWidth : 1;
    spread.width = width;
    Key kth[kMaxWidth];
    for (int64_t c = 0; c < width; ++c) {
      const bool any = k > 0 && last[c] >= 0 && last[c] < n;
      const Key share = any ? from_real<Number>(to_real<Number>(grad_mean[c]) / Real(k)) : Key(0);
      kth[c] = any ? to_key<Number>(scores[last[c] * from.time + c * from.channel], op.largest) : Key(0);
      spread.set_floor(c, Key(kth[c] - 1));  // up to last[c], keys equal to the k-th are selected too
      spread.set_share(c, share);
    }
    for (int64_t t = 0, next; t < n; t = next) {
      next = n;
      for (int64_t c = 0; c < width; ++c) {
        if (last[c] + 1 == t) spread.set_floor(c, kth[c]);
        if (last[c] >= t && last[c] + 1 < next) next = last[c] + 1;
      }
      spread_between<Number>(t, next, scores, from, grad, to, op.largest, spread);
    }
    for (int64_t t = n; t < op.time; ++t)
      for (int64_t c = 0; c < width; ++c) grad[t * to.time + c * to.channel] = Key(0);
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
