#include "cpu/topk_select_mean.h"

#include "cpu/rows.h"

namespace wtal::WTAL_ISA {
namespace {

int64_t count_of(const SelectMean& op, int64_t video) {
  int64_t count = 0;
  for (int64_t t = 0; t < op.time; ++t) count += op.chosen[video * op.time + t];
  return count > 0 ? count : 1;
}

template <typename Number>
void mean_of(const SelectMean& op, int64_t begin, int64_t end, Stored<Number>* mean) {
  using Real = Wide<Number>;
  for (int64_t job = begin; job < end; ++job) {
    const int64_t video = job / jobs_per_video(op), first = job % jobs_per_video(op) * kChannelsOfAJob;
    const int64_t width = first + kChannelsOfAJob < op.channels ? kChannelsOfAJob : op.channels - first;
    Real sums[kChannelsOfAJob] = {};
    for (int64_t t = 0; t < op.time; ++t) {
      if (!op.chosen[video * op.time + t]) continue;
      const auto* row = static_cast<const Stored<Number>*>(op.features) + (video * op.time + t) * op.channels + first;
      for (int64_t c = 0; c < width; ++c) sums[c] += to_real<Number>(row[c]);
    }
    const Real count = Real(count_of(op, video));
    for (int64_t c = 0; c < width; ++c) mean[video * op.channels + first + c] = from_real<Number>(sums[c] / count);
  }
}

}  // namespace

void select_weights(const SelectMean& op, NumberType type, void* weights) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    Stored<Number>* to = static_cast<Stored<Number>*>(weights);
    for (int64_t video = 0; video < op.videos; ++video) {
      const Stored<Number> share = from_real<Number>(Wide<Number>(1) / Wide<Number>(count_of(op, video)));
      for (int64_t t = video * op.time; t < (video + 1) * op.time; ++t) to[t] = op.chosen[t] ? share : Stored<Number>(0);
    }
  });
}

void select_mean(const SelectMean& op, NumberType type, int64_t begin, int64_t end, void* mean) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    mean_of<Number>(op, begin, end, static_cast<Stored<Number>*>(mean));
  });
}

void select_mean_backward(const SelectMean& op, NumberType type, int64_t begin, int64_t end, const void* grad,
                          const void* weights, void* grad_features) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    for (int64_t snippet = begin; snippet < end; ++snippet) {
      const auto weight = to_real<Number>(static_cast<const Stored<Number>*>(weights)[snippet]);
      const auto* row = static_cast<const Stored<Number>*>(grad) + snippet / op.time * op.channels;
      auto* target = static_cast<Stored<Number>*>(grad_features) + snippet * op.channels;
      WTAL_INDEPENDENT
      for (int64_t c = 0; c < op.channels; ++c) target[c] = from_real<Number>(weight * to_real<Number>(row[c]));
    }
  });
}

}  // namespace wtal::WTAL_ISA
