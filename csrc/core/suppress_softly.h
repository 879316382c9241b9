// Soft suppression of the segments of one group: scores decay instead of vanishing.
#pragma once

#include <cstdint>
#include <vector>

#include "core/order.h"
#include "core/segment_group.h"
#include "core/suppress_by_decay.h"

namespace wtal {

using ByDecay = int64_t (*)(Waiting&, const Decay&, Decayed* kept);

class SoftSuppressor {
 public:
  explicit SoftSuppressor(ByDecay by_decay) : by_decay_(by_decay) {}

  // The segments that stay, best first; equal scores by rising position. Valid until the next call.
  const std::vector<Decayed>& keep(const SegmentGroup& group, const Decay& decay) {
    resize(group.count);
    Waiting waiting{start_.data(), end_.data(),  score_.data(), position_.data(),
                    first_.data(), last_.data(), most_.data(),  0};
    const bool by_time = group.count > kUnsorted;
    const uint64_t* order =
        by_time ? order_by(group.start.data(), group.count, false, words_.data(), spare_.data()) : nullptr;
    for (int64_t i = 0; i < group.count; ++i) {
      const int64_t position = by_time ? int64_t(order[i] & kPosition) : i;
      if (!(group.score[position] >= decay.min_score)) continue;
      start_[waiting.count] = group.start[position];
      end_[waiting.count] = group.end[position];
      score_[waiting.count] = group.score[position];
      position_[waiting.count++] = position;
    }
    kept_.resize(waiting.count);
    kept_.resize(by_decay_(waiting, decay, kept_.data()));
    return kept_;
  }

 private:
  static constexpr int64_t kUnsorted = 96;  // up to here sorting by start costs more than it saves

  void resize(int64_t count) {
    const int64_t blocks = (count + kDecayBlock - 1) / kDecayBlock;
    for (auto* column : {&start_, &end_, &score_}) column->resize(blocks * kDecayBlock);
    position_.resize(blocks * kDecayBlock);
    for (auto* column : {&first_, &last_, &most_}) column->resize(blocks + decay_detail::kSide);
    words_.resize(count);
    spare_.resize(count);
  }

  ByDecay by_decay_;
  std::vector<double> start_, end_, score_, first_, last_, most_;
  std::vector<int64_t> position_;
  std::vector<uint64_t> words_, spare_;
  std::vector<Decayed> kept_;
};

}  // namespace wtal
