#include "core/average_precision.h"

#include <cmath>

#include "fuzz.h"

namespace {

// Which predictions, best first in the order given, claim an instance at one threshold.
std::vector<bool> claims(const fuzz::Segments& preds, const std::vector<int64_t>& order, const fuzz::Segments& truths,
                         double threshold) {
  std::vector<bool> taken(truths.size()), hits;
  for (const int64_t i : order) {
    int64_t best = -1;
    double most = -1;
    for (int64_t j = 0; j < truths.size(); ++j) {
      if (truths.groups[j] != preds.groups[i] || taken[j]) continue;
      const double iou = fuzz::overlap(&truths.bounds[2 * j], &preds.bounds[2 * i]);
      if (iou >= most) {  // of equal overlaps the later instance
        best = j;
        most = iou;
      }
    }
    const bool hit = best >= 0 && most >= threshold;
    if (hit) taken[best] = true;
    hits.push_back(hit);
  }
  return hits;
}

double area(const std::vector<bool>& hits, int64_t instances) {
  std::vector<double> precision;
  int64_t found = 0;
  double total = 0;
  for (size_t i = 0; i < hits.size(); ++i) {
    found += hits[i];
    precision.push_back(double(found) / double(i + 1));
  }
  found = 0;
  for (size_t i = 0; i < hits.size(); ++i) {
    if (!hits[i]) continue;
    double best = 0;
    for (size_t j = i; j < precision.size(); ++j) best = precision[j] > best ? precision[j] : best;
    total += (double(found + 1) / double(instances) - double(found) / double(instances)) * best;
    ++found;
  }
  return total;
}

}  // namespace

FUZZ_TARGET("average_precision") {
  fuzz::Bytes bytes(data, size);
  static const double common[] = {0.1, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0 / 3, 0.9};
  const int64_t classes = 1 + bytes.byte() % 3, videos = 1 + bytes.byte() % 4;
  const int64_t levels = bytes.byte() < 252 ? bytes.byte() % 5 : 60 + bytes.byte() % 10;
  const fuzz::Segments preds = fuzz::segments(bytes, bytes.byte() % 14, classes * videos);
  const fuzz::Segments truths = fuzz::segments(bytes, bytes.byte() % 10, classes * videos);
  std::vector<double> thresholds;
  for (int64_t q = 0; q < levels; ++q) {
    const uint8_t kind = bytes.byte();
    thresholds.push_back(kind < 200 ? common[kind % 8] : (1 + double(bytes.below(65535))) / 65536);
  }

  std::vector<double> found(levels * classes, -7);
  wtal::average_precision({preds.bounds.data(), preds.scores.data(), preds.groups.data(), preds.size(),
                           truths.bounds.data(), truths.groups.data(), truths.size(), classes},
                          thresholds.data(), levels, found.data(), wtal::match_loops_of_this_file(),
                          [](int64_t count, const auto& work) { work(0, count); });

  for (int64_t label = 0; label < classes; ++label) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < preds.size(); ++i)
      if (preds.groups[i] % classes == label) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return preds.scores[a] > preds.scores[b]; });
    int64_t instances = 0;
    for (const int64_t group : truths.groups) instances += group % classes == label;
    for (int64_t q = 0; q < levels; ++q) {
      const double value = found[q * classes + label];
      if (instances == 0)
        fuzz::check(std::isnan(value), "average_precision: NaN without an instance");
      else
        fuzz::check(value == area(claims(preds, order, truths, thresholds[q]), instances), "average_precision");
    }
  }
}
