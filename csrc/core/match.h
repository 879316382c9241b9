// Which detections claim the instances of one class, for up to 64 tIoU thresholds at once: one bit per threshold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/match_loops.h"
#include "core/match_rules.h"

namespace wtal {

// The instances of one class, videos rising, index rising inside a video.
class ClassInstances {
 public:
  explicit ClassInstances(const MatchLoops& loops) : loops_(loops) {}

  // Those of `rows`; video(row) tells where each is.
  template <typename Video>
  void assign(const double* segments, const int64_t* rows, int64_t count, const Video& video) {
    start_.resize(count + kInstancesSpare);
    end_.resize(count + kInstancesSpare);
    held_.resize(count);
    candidates_.resize(count);
    videos_.clear();
    begins_.clear();
    for (int64_t i = 0; i < count; ++i) {
      start_[i] = segments[2 * rows[i]];
      end_[i] = segments[2 * rows[i] + 1];
      const int64_t name = video(rows[i]);
      if (videos_.empty() || videos_.back() != name) {
        videos_.push_back(name);
        begins_.push_back(i);
      }
    }
    begins_.push_back(count);
    index_videos();
  }

  // Nobody has claimed anything at any threshold of `thresholds`, which rise, at most 64.
  void release(const std::vector<double>& thresholds) {
    thresholds_ = thresholds;
    std::fill(held_.begin(), held_.end(), 0);
  }

  // Asks for the memory that claim(video, ...) will read.
  void prefetch(int64_t video) const {
    const int64_t place = find(video);
    if (place < 0) return;
    __builtin_prefetch(start_.data() + begins_[place]);
    __builtin_prefetch(end_.data() + begins_[place]);
    __builtin_prefetch(held_.data() + begins_[place]);
  }

  // The best unclaimed instance at each threshold, found in one walk down the overlaps: bit q is set where there is one.
  uint64_t claim(int64_t video, double start, double end) {
    const int64_t place = find(video);
    if (place < 0) return 0;
    const int64_t first = begins_[place];
    const int64_t count = loops_.find_candidates(start_.data() + first, end_.data() + first, begins_[place + 1] - first,
                                                 start, end, thresholds_.front(), candidates_.data());
    if (count > 1)
      std::sort(candidates_.begin(), candidates_.begin() + count, [](const Candidate& a, const Candidate& b) {
        return offered_before(a.iou, a.instance, b.iou, b.instance);
      });
    uint64_t claimed = 0;
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t reached = levels_reached(candidates_[i].iou, thresholds_.data(), int64_t(thresholds_.size()));
      uint64_t& held = held_[first + candidates_[i].instance];
      const uint64_t taken = levels_taken(reached, held, claimed);
      held |= taken;
      claimed |= taken;
    }
    return claimed;
  }

 private:
  // A table over all videos between the first and the last, where that is not much larger than their number.
  void index_videos() {
    table_.clear();
    if (videos_.empty()) return;
    const uint64_t span = uint64_t(videos_.back()) - uint64_t(videos_.front());
    if (span > 64 * videos_.size() + 1024) return;
    table_.assign(span + 1, -1);
    for (size_t place = 0; place < videos_.size(); ++place) table_[videos_[place] - videos_.front()] = int32_t(place);
  }

  // Place of a video among those with instances, or -1.
  int64_t find(int64_t video) const {
    if (videos_.empty() || video < videos_.front() || video > videos_.back()) return -1;
    if (!table_.empty()) return table_[video - videos_.front()];
    const auto found = std::lower_bound(videos_.begin(), videos_.end(), video);
    return *found == video ? found - videos_.begin() : -1;
  }

  MatchLoops loops_;
  std::vector<double> start_, end_, thresholds_;
  std::vector<uint64_t> held_;  // thresholds at which each instance is claimed
  std::vector<int64_t> videos_, begins_;
  std::vector<int32_t> table_;
  std::vector<Candidate> candidates_;
};

}  // namespace wtal
