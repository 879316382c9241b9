#include <algorithm>
#include <cmath>

#include "core_calls.h"
#include "fuzz.h"

namespace {

struct Rule {
  double threshold, offset;
};

constexpr int64_t kMany = 420;

fuzz::Segments decode(fuzz::Bytes& bytes, bool large) {
  const int64_t count = bytes.byte() % (large ? 40 : 14), groups = large ? 1 : 1 + bytes.byte() % 4;
  fuzz::Segments rows = fuzz::segments(bytes, count, groups);
  if (bytes.byte() % 8 == 7)  // far apart and below 0
    for (int64_t& group : rows.groups) group = (group - 1) * 0x3fffffffffffffff;
  if (large && count > 0)  // the same again, shifted, until there are too many for comparing all pairs
    for (const int64_t pattern = count; rows.size() < kMany;) {
      const int64_t from = rows.size() % pattern;
      const double shift = double(rows.size()) / 8;
      rows.bounds.push_back(rows.bounds[2 * from] + shift);
      rows.bounds.push_back(rows.bounds[2 * from + 1] + shift);
      rows.scores.push_back(rows.scores[from] + std::floor(shift));
      rows.groups.push_back(0);
    }
  return rows;
}

Rule decode_rule(fuzz::Bytes& bytes) {
  static const double thresholds[] = {0.25, 0.5, 0.5, 0.75, 1.0, 2.0, 1e-9, 1.0 / 3};
  const uint8_t kind = bytes.byte();
  return {kind < 128 ? thresholds[kind % 8] : (1 + double(bytes.below(65535))) / 65536, bytes.flag() ? 1.0 : 0.0};
}

// Rows of each group in turn, groups ascending.
std::vector<std::vector<int64_t>> by_group(const fuzz::Segments& rows) {
  std::vector<int64_t> names = rows.groups;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<std::vector<int64_t>> result(names.size());
  for (size_t g = 0; g < names.size(); ++g)
    for (int64_t i = 0; i < rows.size(); ++i)
      if (rows.groups[i] == names[g]) result[g].push_back(i);
  return result;
}

int64_t take_best(std::vector<int64_t>& waiting, const std::vector<double>& scores) {
  size_t best = 0;
  for (size_t i = 1; i < waiting.size(); ++i)
    if (scores[waiting[i]] > scores[waiting[best]]) best = i;  // rows rise: the first of equal scores is the lower row
  const int64_t row = waiting[best];
  waiting.erase(waiting.begin() + best);
  return row;
}

template <bool large>
void hard(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  const Rule rule = decode_rule(bytes);
  const fuzz::Segments rows = decode(bytes, large);
  std::vector<int64_t> expected;
  for (std::vector<int64_t>& waiting : by_group(rows))
    while (!waiting.empty()) {
      const int64_t best = take_best(waiting, rows.scores);
      expected.push_back(best);
      std::erase_if(waiting, [&](int64_t i) {
        return fuzz::overlap(&rows.bounds[2 * i], &rows.bounds[2 * best], rule.offset) >= rule.threshold;
      });
    }
  fuzz::check(core_calls::nms(rows, rule.threshold, rule.offset) == expected, "temporal_nms");
}

void soft(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  const Rule rule = decode_rule(bytes);
  const bool gaussian = bytes.flag();
  const double sigma = (1 + double(bytes.byte())) / 128, min_score = bytes.flag() ? 0 : double(bytes.byte()) / 512;
  const fuzz::Segments rows = decode(bytes, bytes.byte() == 0xfe);
  std::vector<int64_t> expected;
  std::vector<double> scores = rows.scores, expected_scores;
  for (std::vector<int64_t>& waiting : by_group(rows)) {
    std::erase_if(waiting, [&](int64_t i) { return scores[i] < min_score; });
    while (!waiting.empty()) {
      const int64_t best = take_best(waiting, scores);
      expected.push_back(best);
      expected_scores.push_back(scores[best]);
      for (const int64_t i : waiting) {
        const double iou = fuzz::overlap(&rows.bounds[2 * i], &rows.bounds[2 * best], rule.offset);
        if (gaussian && iou > 0) scores[i] *= wtal::exp_of_negative(-(iou * iou) / sigma);  // exponential.cpp checks it
        if (!gaussian && iou >= rule.threshold) scores[i] *= 1 - iou;
      }
      std::erase_if(waiting, [&](int64_t i) { return scores[i] < min_score; });
    }
  }
  std::vector<double> found_scores;
  const std::vector<int64_t> found =
      core_calls::soft_nms(rows, {rule.threshold, rule.offset, gaussian, sigma, min_score}, found_scores);
  fuzz::check(found == expected, "soft_temporal_nms: which stay");
  fuzz::check(found_scores == expected_scores, "soft_temporal_nms: scores");
}

fuzz::Harness hard_harness("temporal_nms", &hard<false>), large_harness("temporal_nms_large", &hard<true>),
    soft_harness("soft_temporal_nms", &soft);

}  // namespace
