#include "cpu/affinity_columns.h"

#include "cpu/rows.h"

namespace wtal::WTAL_ISA {
namespace {

template <typename Number>
Wide<Number> weight_of(const AffinityColumns& op, int64_t snippet, int64_t column) {
  if (!op.affinity) return Wide<Number>(1);
  return to_real<Number>(static_cast<const Stored<Number>*>(op.affinity)[snippet * op.taps + column]);
}

template <typename Number>
void rows(const AffinityColumns& op, int64_t begin, int64_t end, Stored<Number>* columns) {
  const Stored<Number>* x = static_cast<const Stored<Number>*>(op.x);
  for (int64_t snippet = begin; snippet < end; ++snippet)
    for (int64_t tap = 0; tap < op.taps; ++tap) {
      const int64_t neighbour = snippet % op.time + tap - op.taps / 2;
      Stored<Number>* target = columns + (snippet * op.taps + tap) * op.channels;
      if (neighbour < 0 || neighbour >= op.time) {
        for (int64_t c = 0; c < op.channels; ++c) target[c] = 0;
        continue;
      }
      const Stored<Number>* source = x + (snippet + tap - op.taps / 2) * op.channels;
      for (int64_t column = columns_of(op, tap).begin; column < columns_of(op, tap).end; ++column) {
        const auto weight = weight_of<Number>(op, snippet, column);
        const auto [first, last] = channels_of(op, tap, column);
        WTAL_INDEPENDENT
        for (int64_t c = first; c < last; ++c) target[c] = from_real<Number>(weight * to_real<Number>(source[c]));
      }
    }
}

// tile[c][t] = x[start + t - half, first + c], zero outside the video, for `count` snippets and `width` channels.
template <typename Number>
void load_tile(const AffinityColumns& op, int64_t video, int64_t start, int64_t count, int64_t first, int64_t width,
               Wide<Number>* tile, int64_t stride) {
  const Stored<Number>* x = static_cast<const Stored<Number>*>(op.x) + video * op.time * op.channels + first;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t snippet = start + t - op.taps / 2;
    const bool inside = snippet >= 0 && snippet < op.time;
    const Stored<Number>* source = inside ? x + snippet * op.channels : nullptr;
    for (int64_t c = 0; c < width; ++c) tile[c * stride + t] = inside ? to_real<Number>(source[c]) : Wide<Number>(0);
  }
}

template <typename Number>
void pieces_time_last(const AffinityColumns& op, int64_t begin, int64_t end, Stored<Number>* columns,
                      Wide<Number>* scratch) {
  const int64_t per_video = (op.time + kSnippetsAtOnce - 1) / kSnippetsAtOnce, stride = kSnippetsAtOnce + op.taps;
  Wide<Number>*weights = scratch, *tile = scratch + op.taps * stride;
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t video = piece / per_video, start = piece % per_video * kSnippetsAtOnce;
    const int64_t count = start + kSnippetsAtOnce < op.time ? kSnippetsAtOnce : op.time - start;
    for (int64_t column = 0; column < op.taps; ++column)
      for (int64_t t = 0; t < count; ++t)
        weights[column * stride + t] = weight_of<Number>(op, video * op.time + start + t, column);
    for (int64_t first = 0; first < op.channels; first += kChannelsAtOnce) {
      const int64_t width = first + kChannelsAtOnce < op.channels ? kChannelsAtOnce : op.channels - first;
      load_tile<Number>(op, video, start, count + op.taps - 1, first, width, tile, stride);
      for (int64_t tap = 0; tap < op.taps; ++tap)
        for (int64_t c = 0; c < width; ++c) {
          const int64_t column = op.official ? ((first + c) * op.taps + tap) / op.channels : tap;
          const Wide<Number>*weight = weights + column * stride, *source = tile + c * stride + tap;
          Stored<Number>* target =
              columns + (tap * op.channels + first + c) * op.videos * op.time + video * op.time + start;
          WTAL_INDEPENDENT
          for (int64_t t = 0; t < count; ++t) target[t] = from_real<Number>(weight[t] * source[t]);
        }
    }
  }
}

template <typename Number>
void rows_backward(const AffinityColumns& op, int64_t begin, int64_t end, const Stored<Number>* grad,
                   Stored<Number>* grad_x, Wide<Number>* parts, Wide<Number>* sums) {
  using Real = Wide<Number>;
  for (int64_t snippet = begin; snippet < end; ++snippet) {
    const Stored<Number>* x = static_cast<const Stored<Number>*>(op.x) + snippet * op.channels;
    for (int64_t c = 0; c < op.channels; ++c) sums[c] = 0;
    for (int64_t tap = 0; tap < op.taps; ++tap) {
      const int64_t out = snippet % op.time - tap + op.taps / 2;  // the output snippet whose neighbour this one is
      if (out < 0 || out >= op.time) continue;
      const int64_t at = snippet - tap + op.taps / 2;
      const Stored<Number>* source = grad + (at * op.taps + tap) * op.channels;
      for (int64_t column = columns_of(op, tap).begin; column < columns_of(op, tap).end; ++column) {
        const auto [first, last] = channels_of(op, tap, column);
        const Real weight = weight_of<Number>(op, at, column);
        if (!parts) {
          WTAL_INDEPENDENT
          for (int64_t c = first; c < last; ++c) sums[c] += weight * to_real<Number>(source[c]);
          continue;
        }
        parts[(at * op.taps + tap) * op.taps + column] = sum_over<Real>(first, last, [&](int64_t c) {
          const Real value = to_real<Number>(source[c]);
          sums[c] += weight * value;
          return value * to_real<Number>(x[c]);
        });
      }
    }
    if (grad_x) {
      WTAL_INDEPENDENT
      for (int64_t c = 0; c < op.channels; ++c) grad_x[snippet * op.channels + c] = from_real<Number>(sums[c]);
    }
  }
}

}  // namespace

void affinity_columns(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end, void* columns) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    rows<Number>(op, begin, end, static_cast<Stored<Number>*>(columns));
  });
}

void affinity_columns_time_last(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end, void* columns,
                                void* scratch) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    pieces_time_last<Number>(op, begin, end, static_cast<Stored<Number>*>(columns),
                             static_cast<Wide<Number>*>(scratch));
  });
}

void affinity_columns_backward(const AffinityColumns& op, NumberType type, int64_t begin, int64_t end, const void* grad,
                               void* grad_x, void* parts, void* scratch) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    rows_backward<Number>(op, begin, end, static_cast<const Stored<Number>*>(grad),
                          static_cast<Stored<Number>*>(grad_x), static_cast<Wide<Number>*>(parts),
                          static_cast<Wide<Number>*>(scratch));
  });
}

}  // namespace wtal::WTAL_ISA
