#include <cmath>

#include "core_calls.h"
#include "fuzz.h"

namespace {

struct Found {
  int64_t start, end;
  double score;
};

// One threshold, sample by sample.
std::vector<Found> restated(const std::vector<double>& values, const std::vector<double>& steering, double threshold,
                            const wtal::ProposeRule& rule, double extra) {
  const int64_t size = int64_t(values.size());
  const auto above = [&](int64_t j) { return steering[j] > 0 && steering[j] >= threshold; };
  int64_t samples = 0;
  for (int64_t j = 0; j < size; ++j) samples += above(j);
  std::vector<Found> found;
  for (int64_t j0 = 0; j0 < size; ++j0) {
    if (!above(j0) || (j0 > 0 && above(j0 - 1))) continue;
    int64_t j1 = j0;
    while (j1 + 1 < size && above(j1 + 1)) ++j1;
    const int64_t n = j1 - j0 + 1;
    if (n < rule.min_run || (rule.skip_run_at_zero && samples == 1 && j0 == 0)) continue;
    double inner = 0, outer = 0;
    int64_t around = 0;
    for (int64_t j = j0; j <= j1; ++j) inner += values[j];
    const double left = std::fmax(0.0, std::trunc(double(j0) - rule.outer_ratio * double(n)));
    const double right = std::trunc(double(j1) + rule.outer_ratio * double(n));
    for (int64_t j = 0; j < size; ++j) {
      const bool before = j < j0 && double(j) >= left;
      const bool after = j > j1 && (rule.outer_closed ? double(j) <= right : double(j) < right);
      if (!before && !after) continue;
      ++around;
      outer += rule.outer_raw || above(j) ? values[j] : 0.0;
    }
    found.push_back({j0, j1 + 1, inner / double(n) - (around ? outer / double(around) : 0.0) + extra});
  }
  return found;
}

}  // namespace

FUZZ_TARGET("propose") {
  fuzz::Bytes bytes(data, size);
  static const double ratios[] = {0, 0.25, 0.25, 0.7, 1, 20, 200, 1e300};
  const uint8_t switches = bytes.byte();
  const wtal::ProposeRule rule{ratios[bytes.byte() % 8], bool(switches & 1), bool(switches & 2), 1 + (switches >> 2 & 3),
                               bool(switches & 16)};
  const bool gated = switches & 32;
  const double extra = double(bytes.byte()) / 64;
  const int64_t length = switches & 64 ? bytes.byte() % 160 : bytes.byte() % 24, levels = bytes.byte() % 5;
  std::vector<double> values, gate, thresholds;
  for (int64_t j = 0; j < length; ++j) values.push_back(bytes.number());
  for (int64_t j = 0; j < length && gated; ++j) gate.push_back(bytes.number());
  for (int64_t m = 0; m < levels; ++m) thresholds.push_back(std::fabs(bytes.number()));
  const std::vector<double>& steering = gated ? gate : values;

  std::vector<wtal::Proposal> found;
  wtal::SampleStore store, gate_store;
  wtal::Proposer(wtal::loops_of_this_file())
      .propose(core_calls::samples_of(values, store), core_calls::samples_of(steering, gate_store), thresholds.data(),
               levels, rule, extra, found);

  double largest = 1;
  for (const double value : values) largest = std::fmax(largest, std::fabs(value));
  const double rounding = 1e-13 * largest * double(length + 4);
  size_t place = 0;
  for (const double threshold : thresholds)
    for (const Found& one : restated(values, steering, threshold, rule, extra)) {
      fuzz::check(place < found.size(), "propose: too few");
      fuzz::check(found[place].start == one.start && found[place].end == one.end, "propose: the runs");
      fuzz::check(std::fabs(found[place].score - one.score) <= rounding, "propose: the scores");
      ++place;
    }
  fuzz::check(place == found.size(), "propose: too many");
}
