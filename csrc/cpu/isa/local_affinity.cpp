// Sums are kept in float64: they are short, and squares of float32 neither overflow nor vanish there.
#include "cpu/local_affinity.h"

#include <cmath>

#include "cpu/rows.h"

namespace wtal::WTAL_ISA {
namespace {

template <typename Number>
const Stored<Number>* embedding_of(const LocalAffinity& op, int64_t snippet) {
  return static_cast<const Stored<Number>*>(op.embedding) + snippet * op.channels;
}

template <typename Number>
double dot(const LocalAffinity& op, int64_t snippet, int64_t other) {
  const Stored<Number>*a = embedding_of<Number>(op, snippet), *b = embedding_of<Number>(op, other);
  return sum_over<double>(0, op.channels, [&](int64_t c) {
    return double(to_real<Number>(a[c])) * double(to_real<Number>(b[c]));
  });
}

double ratio(double dot, double product) { return dot / (product > kSmallestProduct ? product : kSmallestProduct); }

template <typename Number>
double cosine(const LocalAffinity& op, const double* norms, int64_t snippet, int64_t other) {
  return ratio(dot<Number>(op, snippet, other), norms[snippet] * norms[other]);
}

// Whether the neighbour of `snippet` at `shift` lies in its video.
bool inside(const LocalAffinity& op, int64_t snippet, int64_t shift) {
  const int64_t time = snippet % op.time + shift;
  return time >= 0 && time < op.time;
}

// Each pair's cosine is computed once, by its earlier snippet, and stored for both; a neighbour outside gives 0.
template <typename Number>
void forward(const LocalAffinity& op, int64_t begin, int64_t end, const double* norms, Stored<Number>* affinity) {
  const int64_t half = op.taps / 2;
  const Stored<Number> zero = from_real<Number>(Wide<Number>(0));
  int64_t time = begin % op.time;
  for (int64_t snippet = begin; snippet < end; ++snippet, time = time + 1 < op.time ? time + 1 : 0) {
    Stored<Number>* row = affinity + snippet * op.taps + half;
    const double square = norms[snippet] * norms[snippet];
    row[0] = from_real<Number>(Wide<Number>(ratio(square, square)));
    for (int64_t shift = 1; shift <= half; ++shift) {
      if (time < shift) row[-shift] = zero;
      if (time + shift >= op.time) {
        row[shift] = zero;
        continue;
      }
      row[shift] = from_real<Number>(Wide<Number>(cosine<Number>(op, norms, snippet, snippet + shift)));
      row[shift * op.taps - shift] = row[shift];
    }
  }
}

// d cos(u, v) / du = (v / |v| - cos u / |u|) / |u|, for each neighbour v; cos(v, u) is the same pair.
template <typename Number>
void backward(const LocalAffinity& op, int64_t begin, int64_t end, const double* norms, const Stored<Number>* grad,
              Stored<Number>* grad_embedding, double* sums) {
  const int64_t half = op.taps / 2;
  for (int64_t snippet = begin; snippet < end; ++snippet) {
    const Stored<Number>* u = embedding_of<Number>(op, snippet);
    for (int64_t c = 0; c < op.channels; ++c) sums[c] = 0;
    for (int64_t shift = -half; shift <= half; ++shift) {
      const int64_t other = snippet + shift;
      if (!shift || !inside(op, snippet, shift) || !(norms[snippet] * norms[other] > kSmallestProduct)) continue;
      const double pair = double(to_real<Number>(grad[snippet * op.taps + half + shift])) +
                          double(to_real<Number>(grad[other * op.taps + half - shift]));
      const double of_v = pair / (norms[snippet] * norms[other]);
      const double of_u = pair * cosine<Number>(op, norms, snippet, other) / (norms[snippet] * norms[snippet]);
      const Stored<Number>* v = embedding_of<Number>(op, other);
      WTAL_INDEPENDENT
      for (int64_t c = 0; c < op.channels; ++c)
        sums[c] += of_v * double(to_real<Number>(v[c])) - of_u * double(to_real<Number>(u[c]));
    }
    for (int64_t c = 0; c < op.channels; ++c)
      grad_embedding[snippet * op.channels + c] = from_real<Number>(Wide<Number>(sums[c]));
  }
}

}  // namespace

void local_affinity_norms(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end, double* norms) {
  with_number(type, [&](auto number) {
    for (int64_t snippet = begin; snippet < end; ++snippet)
      norms[snippet] = std::sqrt(dot<decltype(number)>(op, snippet, snippet));
  });
}

void local_affinity(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end, const double* norms,
                    void* affinity) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    forward<Number>(op, begin, end, norms, static_cast<Stored<Number>*>(affinity));
  });
}

void local_affinity_backward(const LocalAffinity& op, NumberType type, int64_t begin, int64_t end, const double* norms,
                             const void* grad, void* grad_embedding, double* scratch) {
  with_number(type, [&](auto number) {
    using Number = decltype(number);
    backward<Number>(op, begin, end, norms, static_cast<const Stored<Number>*>(grad),
                     static_cast<Stored<Number>*>(grad_embedding), scratch);
  });
}

}  // namespace wtal::WTAL_ISA
