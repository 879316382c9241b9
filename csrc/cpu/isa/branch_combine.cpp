#include "cpu/branch_combine.h"

#include "cpu/rows.h"

namespace wtal::WTAL_ISA {
namespace {

template <typename Number>
Wide<Number> affinity_of(const BranchCombine& op, int64_t snippet, int64_t column) {
  if (!op.affinity) return Wide<Number>(1);
  return to_real<Number>(static_cast<const Stored<Number>*>(op.affinity)[snippet * op.taps + column]);
}

template <typename Number>
Wide<Number> foreground_of(const BranchCombine& op, int64_t snippet) {
  return to_real<Number>(static_cast<const Stored<Number>*>(op.foreground)[snippet]);
}

template <typename Number>
const Stored<Number>* products_of(const BranchCombine& op, int64_t group, int64_t snippet, int64_t tap) {
  const int64_t offset = group * op.group_stride + (snippet * op.taps + tap) * op.channels;
  return static_cast<const Stored<Number>*>(op.products) + offset;
}

template <typename Number>
void forward(const BranchCombine& op, int64_t begin, int64_t end, const Stored<Number>* bias, Stored<Number>* out,
             Wide<Number>* base) {
  using Real = Wide<Number>;
  Real* suppressed = base + op.channels;
  const Real slope = Real(op.slope);
  const int64_t branch = op.videos * op.time * op.channels;
  for (int64_t snippet = begin; snippet < end; ++snippet) {
    for (int64_t c = 0; c < op.channels; ++c) base[c] = suppressed[c] = bias ? to_real<Number>(bias[c]) : Real(0);
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t tap = 0; tap < op.taps; ++tap) {
        const int64_t shift = tap - op.taps / 2, time = snippet % op.time + shift;
        if (time < 0 || time >= op.time) continue;
        const Real affinity = affinity_of<Number>(op, snippet, op.official ? group : tap);
        const Real foreground = foreground_of<Number>(op, snippet + shift);
        const Stored<Number>* products = products_of<Number>(op, group, snippet + shift, tap);
        WTAL_INDEPENDENT
        for (int64_t c = 0; c < op.channels; ++c) {
          const Real part = to_real<Number>(products[c]) * affinity;
          base[c] += part;
          suppressed[c] += part * foreground;
        }
      }
    Stored<Number>* target = out + snippet * op.channels;
    WTAL_INDEPENDENT
    for (int64_t c = 0; c < op.channels; ++c) {
      target[c] = from_real<Number>(base[c] > 0 ? base[c] : slope * base[c]);
      target[branch + c] = from_real<Number>(suppressed[c] > 0 ? suppressed[c] : slope * suppressed[c]);
    }
  }
}

// to[c * stride + t] = from[t * (channels + kTilePadding) + c] for `count` snippets.
template <typename Number>
void transpose(const Wide<Number>* from, int64_t channels, int64_t count, Stored<Number>* to, int64_t stride) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < count; ++t) to[c * stride + t] = from_real<Number>(from[t * (channels + kTilePadding) + c]);
}

// Gradients before the activation of both branches, [2, window, channels], of the snippets [first, first + window) of a
// video that starts at snippet `start`; what lies outside the video is left as it is.
template <typename Number>
void before_activation(const BranchCombine& op, const BranchGradients& gradients, int64_t start, int64_t first,
                       int64_t window, Wide<Number>* to) {
  using Real = Wide<Number>;
  const Real slope = Real(op.slope);
  for (int64_t branch = 0; branch < 2; ++branch)
    for (int64_t t = 0; t < window; ++t) {
      if (first + t < 0 || first + t >= op.time) continue;
      const int64_t row = (start + first + t) * op.channels;
      const auto* grad = static_cast<const Stored<Number>*>(gradients.grad) + branch * gradients.grad_stride + row;
      const auto* out = static_cast<const Stored<Number>*>(gradients.out) + branch * gradients.out_stride + row;
      Real* target = to + (branch * window + t) * op.channels;
      WTAL_INDEPENDENT
      for (int64_t c = 0; c < op.channels; ++c) {
        const Real value = to_real<Number>(grad[c]);
        target[c] = to_real<Number>(out[c]) > 0 ? value : slope * value;
      }
    }
}

template <typename Number>
void backward(const BranchCombine& op, int64_t begin, int64_t end, const BranchGradients& gradients,
              Wide<Number>* scratch) {
  using Real = Wide<Number>;
  const int64_t half = op.taps / 2, window = kSnippetsOfAJob + op.taps - 1, snippets = op.videos * op.time;
  Real *before = scratch, *tile = scratch + 2 * window * op.channels;
  Real* parts = static_cast<Real*>(gradients.parts);
  for (int64_t job = begin; job < end; ++job) {
    const int64_t start = job / jobs_per_video(op) * op.time, first = job % jobs_per_video(op) * kSnippetsOfAJob;
    const int64_t count = first + kSnippetsOfAJob < op.time ? kSnippetsOfAJob : op.time - first;
    before_activation<Number>(op, gradients, start, first - half, count + op.taps - 1, before);
    const int64_t branch = (count + op.taps - 1) * op.channels;
    Real of_foreground[kSnippetsOfAJob] = {};
    for (int64_t group = 0; group < op.groups; ++group)
      for (int64_t tap = 0; tap < op.taps; ++tap) {
        const int64_t column = op.official ? group : tap;
        for (int64_t t = 0; t < count; ++t) {
          const int64_t out = first + t - tap + half, at = start + out;  // the output snippet with this neighbour
          Real* target = tile + t * (op.channels + kTilePadding);
          if (out < 0 || out >= op.time) {
            for (int64_t c = 0; c < op.channels; ++c) target[c] = 0;
            continue;
          }
          const Real* base = before + (out - first + half) * op.channels;
          const Real* suppressed = base + branch;
          const Stored<Number>* products = products_of<Number>(op, group, start + first + t, tap);
          const Real affinity = affinity_of<Number>(op, at, column);
          const Real foreground = foreground_of<Number>(op, start + first + t);
          const Real of_suppressed = sum_over<Real>(0, op.channels, [&](int64_t c) {
            target[c] = base[c] + foreground * suppressed[c];
            return suppressed[c] * to_real<Number>(products[c]);
          });
          of_foreground[t] += affinity * of_suppressed;
          if (!parts) continue;
          parts[(at * op.taps + tap) * op.taps + column] = sum_over<Real>(0, op.channels, [&](int64_t c) {
            const Real both = target[c];
            target[c] = affinity * both;
            return both * to_real<Number>(products[c]);
          });
        }
        Stored<Number>* of_products = static_cast<Stored<Number>*>(gradients.products);
        if (gradients.time_last) {
          const int64_t row = (group * op.taps + tap) * op.channels;
          transpose<Number>(tile, op.channels, count, of_products + row * snippets + start + first, snippets);
          continue;
        }
        for (int64_t t = 0; t < count; ++t) {
          const int64_t row = (group * snippets + start + first + t) * op.taps + tap;
          for (int64_t c = 0; c < op.channels; ++c)
            of_products[row * op.channels + c] = from_real<Number>(tile[t * (op.channels + kTilePadding) + c]);
        }
      }
    for (int64_t t = 0; t < count; ++t)
      static_cast<Stored<Number>*>(gradients.foreground)[start + first + t] = from_real<Number>(of_foreground[t]);
  }
}

}  // namespace

void branch_combine(const BranchCombine& op, NumberType type, int64_t begin, int64_t end, const void* bias, void* out,
                    void* scratch) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    forward<Number>(op, begin, end, static_cast<const Stored<Number>*>(bias), static_cast<Stored<Number>*>(out),
                    static_cast<Wide<Number>*>(scratch));
  });
}

void branch_combine_backward(const BranchCombine& op, NumberType type, int64_t begin, int64_t end,
                             const BranchGradients& gradients, void* scratch) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    backward<Number>(op, begin, end, gradients, static_cast<Wide<Number>*>(scratch));
  });
}

}  // namespace wtal::WTAL_ISA
