#include <string>

#include "core/suppress.h"
#include "cpu/segments.h"

namespace {

using namespace wtal;

constexpr int64_t kGroupsPerThread = 4;

struct Kept {
  int64_t index;
  double score;
};

std::tuple<Tensor, Tensor> soft_temporal_nms(const Tensor& segments,  // [N, 2]
                                             const Tensor& scores,    // [N]
                                             const Tensor& groups,    // [N]
                                             double tiou_threshold, double offset, std::string method, double sigma,
                                             double min_score) {
  const int64_t count = segments.size(0);
  const Tensor bounds = as_segments(segments), values = as_scores(scores, count), names = index_vector(groups, count, scores);
  const Ranking ranking = rank_by_group(doubles(values), integers(names), count);
  const int64_t group_count = int64_t(ranking.begins.size()) - 1;
  const Decay decay{tiou_threshold, offset, method == "gaussian", sigma, min_score};

  std::vector<std::vector<Kept>> kept(group_count);
  torch::stable::parallel_for(0, group_count, kGroupsPerThread, [&](int64_t begin, int64_t end) {
    Waiting waiting;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t first = ranking.begins[group];
      suppress_softly(doubles(bounds), doubles(values), ranking.order.data() + first, ranking.begins[group + 1] - first, decay,
                      waiting, [&](int64_t index, double score) { kept[group].push_back({index, score}); });
    }
  });

  int64_t total = 0;
  for (const auto& part : kept) total += int64_t(part.size());
  Tensor index = torch::stable::new_empty(scores, {total}, ScalarType::Long);
  Tensor score = torch::stable::new_empty(scores, {total}, ScalarType::Double);
  int64_t* out = mutable_integers(index);
  double* out_score = static_cast<double*>(score.mutable_data_ptr());
  for (const auto& part : kept)
    for (const Kept& one : part) {
      *out++ = one.index;
      *out_score++ = one.score;
    }
  return {index, torch::stable::to(score, scores.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("soft_temporal_nms", TORCH_BOX(&soft_temporal_nms)); }
