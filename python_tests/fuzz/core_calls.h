// The core as csrc/cpu calls it, on plain vectors.
#pragma once

#include "core/suppress.h"
#include "fuzz.h"

namespace core_calls {

inline std::vector<int64_t> nms(const fuzz::Segments& rows, double threshold, double offset) {
  const wtal::Ranking ranking = wtal::rank_by_group(rows.scores.data(), rows.groups.data(), rows.size());
  wtal::Waiting waiting;
  std::vector<int64_t> kept;
  for (size_t group = 0; group + 1 < ranking.begins.size(); ++group)
    wtal::suppress(rows.bounds.data(), ranking.order.data() + ranking.begins[group],
                   ranking.begins[group + 1] - ranking.begins[group], threshold, offset, waiting,
                   [&](int64_t index) { kept.push_back(index); });
  return kept;
}

inline std::vector<int64_t> soft_nms(const fuzz::Segments& rows, const wtal::Decay& decay, std::vector<double>& scores) {
  const wtal::Ranking ranking = wtal::rank_by_group(rows.scores.data(), rows.groups.data(), rows.size());
  wtal::Waiting waiting;
  std::vector<int64_t> kept;
  for (size_t group = 0; group + 1 < ranking.begins.size(); ++group)
    wtal::suppress_softly(rows.bounds.data(), rows.scores.data(), ranking.order.data() + ranking.begins[group],
                          ranking.begins[group + 1] - ranking.begins[group], decay, waiting,
                          [&](int64_t index, double score) {
                            kept.push_back(index);
                            scores.push_back(score);
                          });
  return kept;
}

}  // namespace core_calls
