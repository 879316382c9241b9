#include "core/suppress_softly.h"

#include <string>

#include "cpu/segments.h"

namespace {

using namespace wtal;

struct Kept {
  int64_t index;
  double score;
};

std::tuple<Tensor, Tensor> soft_temporal_nms(const Tensor& segments,  // [N, 2]
                                             const Tensor& scores,    // [N]
                                             const Tensor& groups,    // [N]
                                             double tiou_threshold, double offset, std::string method, double sigma,
                                             double min_score) {
  const GroupedSegments grouped(segments, scores, groups);
  const Groups& gathered = grouped.groups();
  const Decay decay{tiou_threshold, offset, method == "gaussian", sigma, min_score};
  std::vector<std::vector<Kept>> kept(gathered.size());
  grouped.for_groups([&](int64_t begin, int64_t end) {
    SegmentGroup segments_of_group;
    std::vector<int64_t> waiting;
    for (int64_t group = begin; group < end; ++group) {
      grouped.read(group, segments_of_group);
      suppress_softly(segments_of_group, decay, waiting, [&](int64_t position, double score) {
        kept[group].push_back({gathered.row(gathered.begins[group] + position), score});
      });
    }
  });

  int64_t total = 0;
  for (const auto& part : kept) total += int64_t(part.size());
  Tensor index = empty_vector(total, aoti_torch_dtype_int64()), score = empty_vector(total, aoti_torch_dtype_float64());
  int64_t* out = mutable_integers(index);
  double* out_score = mutable_doubles(score);
  for (const auto& part : kept)
    for (const Kept& one : part) {
      *out++ = one.index;
      *out_score++ = one.score;
    }
  return {index, torch::stable::to(score, scores.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("soft_temporal_nms", TORCH_BOX(&soft_temporal_nms)); }
