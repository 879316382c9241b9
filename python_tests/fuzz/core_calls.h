// The core as csrc/cpu calls it, on plain vectors.
#pragma once

#include <algorithm>

#include "core/groups.h"
#include "core/propose.h"
#include "core/suppress.h"
#include "core/suppress_softly.h"
#include "fuzz.h"

namespace core_calls {

inline wtal::SegmentGroup group_of(const fuzz::Segments& rows, const wtal::Groups& groups, int64_t group) {
  wtal::SegmentGroup result;
  result.resize(groups.begins[group + 1] - groups.begins[group]);
  for (int64_t i = 0; i < result.count; ++i) {
    const int64_t row = groups.row(groups.begins[group] + i);
    result.start[i] = rows.bounds[2 * row];
    result.end[i] = rows.bounds[2 * row + 1];
    result.score[i] = rows.scores[row];
  }
  return result;
}

inline std::vector<int64_t> nms(const fuzz::Segments& rows, double threshold, double offset) {
  const wtal::Groups groups = wtal::gather_groups(rows.groups.data(), rows.size());
  wtal::Suppressor suppressor(&wtal::suppress_greedily);
  std::vector<int64_t> kept;
  for (int64_t group = 0; group < groups.size(); ++group)
    for (const uint32_t position : suppressor.keep(group_of(rows, groups, group), threshold, offset))
      kept.push_back(groups.row(groups.begins[group] + position));
  return kept;
}

inline std::vector<int64_t> soft_nms(const fuzz::Segments& rows, const wtal::Decay& decay, std::vector<double>& scores) {
  const wtal::Groups groups = wtal::gather_groups(rows.groups.data(), rows.size());
  wtal::SoftSuppressor suppressor(&wtal::suppress_by_decay);
  std::vector<int64_t> kept;
  for (int64_t group = 0; group < groups.size(); ++group)
    for (const wtal::Decayed& one : suppressor.keep(group_of(rows, groups, group), decay)) {
      kept.push_back(groups.row(groups.begins[group] + one.position));
      scores.push_back(one.score);
    }
  return kept;
}

// A copy of values as samples, with everything filled in that the core reads.
inline wtal::Samples samples_of(const std::vector<double>& values, wtal::SampleStore& store) {
  const wtal::Samples samples = store.resize(int64_t(values.size()));
  std::copy(values.begin(), values.end(), samples.values);
  wtal::add_up(samples);
  wtal::bound(samples);
  return samples;
}

}  // namespace core_calls
