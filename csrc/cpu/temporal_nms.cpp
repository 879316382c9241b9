#include "core/suppress.h"
#include "cpu/segments.h"

namespace {

using namespace wtal;

constexpr int64_t kGroupsPerThread = 8;

Tensor temporal_nms(const Tensor& segments,  // [N, 2]
                    const Tensor& scores,    // [N]
                    const Tensor& groups,    // [N]
                    double tiou_threshold, double offset) {
  const int64_t count = segments.size(0);
  const Tensor bounds = as_segments(segments), values = as_scores(scores, count), names = index_vector(groups, count, scores);
  const Ranking ranking = rank_by_group(doubles(values), integers(names), count);
  const int64_t group_count = int64_t(ranking.begins.size()) - 1;

  std::vector<int64_t> kept(count), kept_of(group_count);  // each group writes from its own begin
  torch::stable::parallel_for(0, group_count, kGroupsPerThread, [&](int64_t begin, int64_t end) {
    Waiting waiting;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t first = ranking.begins[group];
      int64_t* out = kept.data() + first;
      suppress(doubles(bounds), ranking.order.data() + first, ranking.begins[group + 1] - first, tiou_threshold, offset, waiting,
               [&](int64_t index) { *out++ = index; });
      kept_of[group] = out - kept.data() - first;
    }
  });

  const int64_t total = std::accumulate(kept_of.begin(), kept_of.end(), int64_t{0});
  Tensor result = torch::stable::new_empty(scores, {total}, ScalarType::Long);
  int64_t* out = mutable_integers(result);
  for (int64_t group = 0; group < group_count; ++group)
    out = std::copy_n(kept.data() + ranking.begins[group], kept_of[group], out);
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("temporal_nms", TORCH_BOX(&temporal_nms)); }
