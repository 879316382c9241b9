// Rows gathered by group.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace wtal {

// Rows by rising group, then rising row.
struct Groups {
  std::vector<int64_t> rows;    // empty where the rows are in this order already
  std::vector<int64_t> begins;  // where each group starts, with the end last

  int64_t size() const { return int64_t(begins.size()) - 1; }
  int64_t row(int64_t place) const { return rows.empty() ? place : rows[place]; }
};

namespace groups_detail {

inline std::vector<int64_t> sorted_rows(const int64_t* groups, int64_t count) {
  const auto [least, most] = std::minmax_element(groups, groups + count);
  const uint64_t span = uint64_t(*most) - uint64_t(*least);
  std::vector<int64_t> rows(count);
  if (span > 4 * uint64_t(count)) {
    std::iota(rows.begin(), rows.end(), int64_t{0});
    std::sort(rows.begin(), rows.end(),
              [&](int64_t a, int64_t b) { return groups[a] != groups[b] ? groups[a] < groups[b] : a < b; });
    return rows;
  }
  std::vector<int64_t> place(span + 2, 0);
  for (int64_t i = 0; i < count; ++i) ++place[groups[i] - *least + 1];
  std::partial_sum(place.begin(), place.end(), place.begin());
  for (int64_t i = 0; i < count; ++i) rows[place[groups[i] - *least]++] = i;
  return rows;
}

}  // namespace groups_detail

inline Groups gather_groups(const int64_t* groups, int64_t count) {
  Groups result;
  if (!std::is_sorted(groups, groups + count)) result.rows = groups_detail::sorted_rows(groups, count);
  else if (count > 0 && groups[0] == groups[count - 1]) {
    result.begins = {0, count};
    return result;
  }
  for (int64_t i = 0; i < count; ++i)
    if (i == 0 || groups[result.row(i)] != groups[result.row(i - 1)]) result.begins.push_back(i);
  result.begins.push_back(count);
  return result;
}

}  // namespace wtal
