// Hard suppression of all groups in one kernel, whatever their sizes. The ranked segments are cut into tiles; a block
// decides which of its tile stay, once the tiles before it that hold the same group are decided. A tile's decision is
// one 64-bit word, so that reading the word is all the synchronisation there is. Blocks take tiles in rising order:
// what a block waits for is with a block that already runs.
#pragma once

#include "core/suppress_rules.h"
#include "cuda/block.cuh"
#include "cuda/keep.cuh"

namespace wtal {

constexpr int kTile = 63;
constexpr int kTileThreads = 64;
constexpr uint64_t kDecided = uint64_t{1} << 63;  // the other bits of a word: which of the tile stay

struct Suppression {
  Ranked ranked;
  double threshold, offset;
  unsigned long long* next;     // the tile that no block has taken yet, 0 at first
  unsigned long long* decided;  // [tiles] 0 at first
  int64_t* left;                // [count] index of the i-th ranked, -1 where it is dropped
};

__device__ inline bool overlap(const Suppression& op, int64_t a, int64_t b) {
  const Ranked& of = op.ranked;
  return removes(temporal_iou(of.starts[a], of.ends[a], of.starts[b], of.ends[b], op.offset), op.threshold);
}

// The first of the tiles before `tile` whose last segment belongs to `group`; `tile` where there is none.
__device__ inline int64_t first_tile_of(const Ranked& ranked, int64_t group, int64_t tile) {
  const auto ends_in_group = [&](int64_t t) { return ranked.groups[(t + 1) * kTile - 1] == group; };
  int64_t found = tile, step = 1;
  while (found >= step && ends_in_group(found - step)) {
    found -= step;
    step *= 2;
  }
  int64_t outside = found >= step ? found - step : -1;
  while (found - outside > 1) {
    const int64_t middle = outside + (found - outside) / 2;
    (ends_in_group(middle) ? found : outside) = middle;
  }
  return found;
}

__device__ inline uint64_t decision_on(const Suppression& op, int64_t tile) {
  const volatile unsigned long long* word = op.decided + tile;
  uint64_t decision;
  while (!((decision = *word) & kDecided)) __nanosleep(20);
  return decision;
}

// Whether a segment that stays in a tile before `tile` removes segment i of `tile`.
__device__ inline bool removed_by_earlier_tiles(const Suppression& op, int64_t i, int64_t tile) {
  const int64_t group = op.ranked.groups[i];
  for (int64_t earlier = first_tile_of(op.ranked, group, tile); earlier < tile; ++earlier)
    for (uint64_t stay = decision_on(op, earlier) & ~kDecided; stay; stay &= stay - 1) {
      const int64_t rival = earlier * kTile + __ffsll((long long)stay) - 1;
      if (op.ranked.groups[rival] == group && overlap(op, i, rival)) return true;
    }
  return false;
}

static __global__ void __launch_bounds__(kTileThreads) suppress_kernel(const Suppression op) {
  __shared__ int64_t taken;
  __shared__ uint64_t rivals_of[kTileThreads];  // those before it in the tile that would remove it
  __shared__ uint64_t decision;
  if (threadIdx.x == 0) taken = int64_t(atomicAdd(op.next, 1ull));
  __syncthreads();
  const int64_t tile = taken, first = tile * kTile, i = first + threadIdx.x;
  const int place = threadIdx.x;
  const bool present = place < kTile && i < op.ranked.count;

  uint64_t rivals = kDecided;  // removed from the start
  if (present) {
    rivals = 0;
    for (int before = 0; before < place; ++before)
      if (op.ranked.groups[first + before] == op.ranked.groups[i] && overlap(op, i, first + before))
        rivals |= uint64_t{1} << before;
    if (removed_by_earlier_tiles(op, i, tile)) rivals = kDecided;
  }
  rivals_of[place] = rivals;
  __syncthreads();
  if (place == 0) {
    uint64_t stay = kDecided;
    for (int of = 0; of < kTile; ++of)
      if (!(rivals_of[of] & stay)) stay |= uint64_t{1} << of;
    decision = stay;
    atomicExch(op.decided + tile, (unsigned long long)stay);
  }
  __syncthreads();
  if (present) op.left[i] = decision >> place & 1 ? op.ranked.order[i] : -1;
}

template <typename Sequence>
void temporal_nms(Sequence& sequence, const Unranked& op, double threshold, double offset, const Kept& kept) {
  const int64_t tiles = (op.count + kTile - 1) / kTile;
  int64_t* left = sequence.template scratch<int64_t>(op.count);
  const Suppression suppression{rank(sequence, op), threshold, offset,
                                sequence.template zeros<unsigned long long>(1),
                                sequence.template zeros<unsigned long long>(tiles), left};
  sequence.launch(suppress_kernel, tiles, kTileThreads, suppression);
  move_to_front(sequence, {op.count, left, nullptr}, op.refused, kept);
}

}  // namespace wtal
