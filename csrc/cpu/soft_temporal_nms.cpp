#include "cpu/soft_temporal_nms.h"

#include <string>

#include "core/suppress_softly.h"
#include "cpu/segments.h"

namespace {

using namespace wtal;

std::tuple<Tensor, Tensor> soft_temporal_nms(const Tensor& segments,  // [N, 2]
                                             const Tensor& scores,    // [N]
                                             const Tensor& groups,    // [N]
                                             double tiou_threshold, double offset, std::string method, double sigma,
                                             double min_score) {
  const GroupedSegments grouped(segments, scores, groups);
  const Groups& gathered = grouped.groups();
  const Decay decay{tiou_threshold, offset, method == "gaussian", sigma, min_score};
  std::vector<Decayed> kept(grouped.count());  // each group writes from its own begin
  std::vector<int64_t> kept_of(gathered.size());
  grouped.for_groups([&](int64_t begin, int64_t end) {
    SegmentGroup segments_of_group;
    SoftSuppressor suppressor(WTAL_FASTEST(soften));
    for (int64_t group = begin; group < end; ++group) {
      grouped.read(group, segments_of_group);
      const int64_t first = gathered.begins[group];
      Decayed* out = kept.data() + first;
      for (const Decayed& one : suppressor.keep(segments_of_group, decay))
        *out++ = {gathered.row(first + one.position), one.score};
      kept_of[group] = out - kept.data() - first;
    }
  });

  const int64_t total = std::accumulate(kept_of.begin(), kept_of.end(), int64_t{0});
  Tensor index = empty_vector(total, aoti_torch_dtype_int64()), score = empty_vector(total, aoti_torch_dtype_float64());
  int64_t* out = mutable_integers(index);
  double* out_score = mutable_doubles(score);
  for (int64_t group = 0; group < gathered.size(); ++group)
    for (int64_t i = 0; i < kept_of[group]; ++i) {
      const Decayed& one = kept[gathered.begins[group] + i];
      *out++ = one.position;
      *out_score++ = one.score;
    }
  return {index, torch::stable::to(score, scores.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("soft_temporal_nms", TORCH_BOX(&soft_temporal_nms)); }
