// Hard suppression of the segments of one group.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/order.h"
#include "core/segment_group.h"
#include "core/suppress_greedy.h"

namespace wtal {

using Greedy = int64_t (*)(const Arranged&, double threshold, double offset, const Removed& removed, uint32_t* kept);

class Suppressor {
 public:
  explicit Suppressor(Greedy greedy) : greedy_(greedy) {}

  // Positions of the segments that stay, best first: equal scores by rising position. Valid until the next call.
  const std::vector<uint32_t>& keep(const SegmentGroup& group, double threshold, double offset) {
    const int64_t count = group.count, padded = (count + kLanes - 1) / kLanes * kLanes;
    resize(count, padded);
    const uint64_t* by_score = order_by(group.score.data(), count, true, words_.data(), spare_.data());
    for (int64_t rank = 0; rank < count; ++rank) best_[rank] = uint32_t(by_score[rank] & kPosition);
    const bool by_time = count > kAllPairs;
    if (by_time) {
      const uint64_t* by_start = order_by(group.start.data(), count, false, words_.data(), spare_.data());
      for (int64_t i = 0; i < count; ++i) {
        const uint32_t position = uint32_t(by_start[i] & kPosition);
        place_of_[position] = uint32_t(i);
        start_[i] = group.start[position];
        end_[i] = group.end[position];
      }
      for (int64_t rank = 0; rank < count; ++rank) place_[rank] = place_of_[best_[rank]];
    } else {
      for (int64_t rank = 0; rank < count; ++rank) {
        start_[rank] = group.start[best_[rank]];
        end_[rank] = group.end[best_[rank]];
      }
    }
    const bool rough = find_lengths(count, threshold, offset);
    const Arranged arranged{
        start_.data(), end_.data(), length_.data(),
        rough ? Rough{rough_start_.data(), rough_end_.data(), rough_length_.data()} : Rough{nullptr, nullptr, nullptr},
        count, by_time ? place_.data() : nullptr};
    if (rough)
      removed_roughly_.assign(padded, 0);
    else
      removed_.assign(padded, 0);
    kept_.resize(count);
    kept_.resize(greedy_(arranged, threshold, offset, {removed_.data(), removed_roughly_.data()}, kept_.data()));
    for (uint32_t& rank : kept_) rank = best_[rank];
    return kept_;
  }

 private:
  static constexpr int64_t kAllPairs = 384;  // up to here comparing all pairs beats sorting by start

  void resize(int64_t count, int64_t padded) {
    start_.resize(padded);
    end_.resize(padded);
    std::fill(start_.begin() + count, start_.end(), 0.0);
    std::fill(end_.begin() + count, end_.end(), 0.0);
    length_.resize(padded);
    for (auto* column : {&rough_start_, &rough_end_, &rough_length_}) column->resize(padded);
    words_.resize(count);
    spare_.resize(count);
    best_.resize(count);
    place_.resize(count);
    place_of_.resize(count);
  }

  // Fills in the lengths and the numbers in float32; returns whether those will do.
  bool find_lengths(int64_t count, double threshold, double offset) {
    bool good = is_rough_enough(threshold, offset);
    for (size_t i = 0; i < start_.size(); ++i) {
      length_[i] = end_[i] - start_[i] + offset;
      rough_start_[i] = float(start_[i]);
      rough_end_[i] = float(end_[i]);
      rough_length_[i] = rough_end_[i] - rough_start_[i] + float(offset);
    }
    for (int64_t i = 0; i < count; ++i)
      good &= (double(rough_start_[i]) == start_[i]) & (double(rough_end_[i]) == end_[i]) &
              is_rough_enough(start_[i], end_[i], length_[i]);
    return good;
  }

  Greedy greedy_;
  std::vector<double> start_, end_, length_;
  std::vector<float> rough_start_, rough_end_, rough_length_;
  std::vector<int32_t> removed_roughly_;
  std::vector<int64_t> removed_;
  std::vector<uint64_t> words_, spare_;
  std::vector<uint32_t> best_, place_, place_of_, kept_;
};

}  // namespace wtal
