#include "cpu/temporal_nms.h"

#include <memory>

#include "core/suppress.h"
#include "cpu/segments.h"

namespace {

using namespace wtal;

struct Workspace {
  SegmentGroup segments;
  Suppressor suppressor{WTAL_FASTEST(suppress)};
};

// Memory to work in; a thread keeps its own for small calls, of which allocating would take a good part of the time.
Workspace& workspace(std::optional<Workspace>& fresh, int64_t segments) {
  constexpr int64_t kSmall = 4096;
  if (segments > kSmall) return fresh.emplace();
  thread_local Workspace kept;
  return kept;
}

Tensor temporal_nms(const Tensor& segments,  // [N, 2]
                    const Tensor& scores,    // [N]
                    const Tensor& groups,    // [N]
                    double tiou_threshold, double offset) {
  const GroupedSegments grouped(segments, scores, groups);
  const Groups& gathered = grouped.groups();
  const auto kept = std::make_unique_for_overwrite<int64_t[]>(grouped.count());  // each group writes from its own begin
  std::vector<int64_t> kept_of(gathered.size());
  grouped.for_groups([&](int64_t begin, int64_t end) {
    std::optional<Workspace> fresh;
    auto& [segments_of_group, suppressor] = workspace(fresh, grouped.count());
    for (int64_t group = begin; group < end; ++group) {
      grouped.read(group, segments_of_group);
      const int64_t first = gathered.begins[group];
      int64_t* out = kept.get() + first;
      for (const uint32_t position : suppressor.keep(segments_of_group, tiou_threshold, offset))
        *out++ = gathered.row(first + position);
      kept_of[group] = out - kept.get() - first;
    }
  });

  const int64_t total = std::accumulate(kept_of.begin(), kept_of.end(), int64_t{0});
  Tensor result = empty_vector(total, aoti_torch_dtype_int64());
  int64_t* out = mutable_integers(result);
  for (int64_t group = 0; group < gathered.size(); ++group)
    out = std::copy_n(kept.get() + gathered.begins[group], kept_of[group], out);
  return result;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(wtal_fast, CPU, library) { library.impl("temporal_nms", TORCH_BOX(&temporal_nms)); }
