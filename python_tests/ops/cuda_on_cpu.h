// Runs the kernels of csrc/cuda/*.cuh on the CPU: each CUDA thread is a fiber, and barriers and warp exchanges switch
// between them; blocks run on several threads at once, so that one may wait for another. Checks what a kernel computes;
// says nothing about speed, memory order or races within a block.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static thread_local
#define __launch_bounds__(...)

struct Index {
  unsigned x;
};
inline thread_local Index threadIdx, blockIdx;
inline Index blockDim, gridDim;

namespace cuda_on_cpu {

constexpr int kWarp = 32;
constexpr size_t kStack = 1 << 16;
constexpr int kBlocksAtOnce = 3;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool done = false;
};

// Threads that wait for each other; those that have returned are not waited for.
struct Barrier {
  unsigned expected = 0, arrived = 0, generation = 0;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Barrier> warps;
  std::vector<uint64_t> exchange;
  Barrier all;
  ucontext_t scheduler;
  const std::function<void()>* kernel;
};
inline thread_local Block* block;

inline void release(Barrier& barrier) {
  if (barrier.expected && barrier.arrived == barrier.expected) {
    barrier.arrived = 0;
    ++barrier.generation;
  }
}

inline void wait(Barrier& barrier) {
  const unsigned generation = barrier.generation, self = threadIdx.x;
  ++barrier.arrived;
  release(barrier);
  while (barrier.generation == generation) {
    swapcontext(&block->fibers[self]->context, &block->scheduler);
    threadIdx.x = self;
  }
}

inline void enter() {
  const unsigned self = threadIdx.x;
  (*block->kernel)();
  block->fibers[self]->done = true;
  --block->all.expected;
  release(block->all);
  --block->warps[self / kWarp].expected;
  release(block->warps[self / kWarp]);
}

inline void run_block(Block& running, unsigned threads) {
  block = &running;
  running.warps.assign((threads + kWarp - 1) / kWarp, {});
  running.all = {threads, 0, 0};
  for (unsigned thread = 0; thread < threads; ++thread) {
    ++running.warps[thread / kWarp].expected;
    Fiber& fiber = *running.fibers[thread];
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &running.scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool any = true; any;) {
    any = false;
    for (unsigned thread = 0; thread < threads; ++thread) {
      if (running.fibers[thread]->done) continue;
      any = true;
      threadIdx.x = thread;
      swapcontext(&running.scheduler, &running.fibers[thread]->context);
    }
  }
}

// kernel() on `blocks` blocks of `threads` threads, the last block first: nothing says that a GPU begins with the first.
inline void launch(unsigned blocks, unsigned threads, const std::function<void()>& kernel) {
  blockDim.x = threads;
  gridDim.x = blocks;
  std::atomic<unsigned> begun = 0;
  const auto work = [&] {
    Block running;
    running.kernel = &kernel;
    running.exchange.resize(threads);
    for (unsigned thread = 0; thread < threads; ++thread) running.fibers.push_back(std::make_unique<Fiber>());
    for (unsigned next; (next = begun++) < blocks;) {
      blockIdx.x = blocks - 1 - next;
      run_block(running, threads);
    }
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < std::min<unsigned>(blocks, kBlocksAtOnce); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace cuda_on_cpu

inline void __syncthreads() { cuda_on_cpu::wait(cuda_on_cpu::block->all); }

inline void __nanosleep(unsigned) { std::this_thread::yield(); }

// The value that lane `from(own lane)` of this warp gives.
template <typename T, typename From>
T exchange_in_warp(T value, From from) {
  using namespace cuda_on_cpu;
  const unsigned self = threadIdx.x, lane = self % kWarp;
  static_assert(sizeof(T) <= sizeof(uint64_t));
  std::memcpy(&block->exchange[self], &value, sizeof(T));
  wait(block->warps[self / kWarp]);
  T other;
  std::memcpy(&other, &block->exchange[self - lane + from(lane)], sizeof(T));
  wait(block->warps[self / kWarp]);
  return other;
}

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return exchange_in_warp(value, [&](unsigned) { return unsigned(source) % cuda_on_cpu::kWarp; });
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return exchange_in_warp(value, [&](unsigned lane) { return lane ^ unsigned(mask); });
}

template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned distance) {
  return exchange_in_warp(value, [&](unsigned lane) { return lane < distance ? lane : lane - distance; });
}

inline int __reduce_add_sync(unsigned mask, int value) {
  for (int distance = cuda_on_cpu::kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(mask, value, distance);
  return value;
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
  unsigned votes = unsigned(vote) << (threadIdx.x % cuda_on_cpu::kWarp);
  for (int distance = 1; distance < cuda_on_cpu::kWarp; distance *= 2) votes |= __shfl_xor_sync(mask, votes, distance);
  return votes;
}

inline int __ffs(int word) { return __builtin_ffs(word); }
inline int __ffsll(long long word) { return __builtin_ffsll(word); }
inline int __clz(int word) { return word ? __builtin_clz(unsigned(word)) : 32; }

template <typename T>
T atomicAdd(T* to, T value) {
  return __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
}

template <typename T>
T atomicExch(T* to, T value) {
  return __atomic_exchange_n(to, value, __ATOMIC_RELAXED);
}

namespace cuda_on_cpu {

// What csrc/cuda/launch.h gives the sequences of kernels. Scratch memory is poisoned: its bytes are all ones, which is
// NaN and the integer -1.
class Sequence {
 public:
  template <typename... Parameters, typename... Arguments>
  void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, const Arguments&... arguments) {
    if (blocks) cuda_on_cpu::launch(unsigned(blocks), unsigned(threads), [&] { kernel(arguments...); });
  }

  template <typename T>
  T* scratch(int64_t count, int byte = 0xff) {
    memory_.emplace_back(new char[size_t(count) * sizeof(T) + 1]);  // past its end, AddressSanitizer looks on
    return static_cast<T*>(std::memset(memory_.back().get(), byte, size_t(count) * sizeof(T)));
  }

  template <typename T>
  T* zeros(int64_t count) {
    return scratch<T>(count, 0);
  }

  template <typename Key>
  void sort(Key* keys, int64_t* order, int64_t count) {
    std::vector<int64_t> places(count);
    std::iota(places.begin(), places.end(), int64_t{0});
    std::stable_sort(places.begin(), places.end(), [&](int64_t a, int64_t b) { return comes_before(keys[a], keys[b]); });
    const std::vector<Key> keys_before(keys, keys + count);
    const std::vector<int64_t> order_before(order, order + count);
    for (int64_t i = 0; i < count; ++i) {
      keys[i] = keys_before[places[i]];
      order[i] = order_before[places[i]];
    }
  }

 private:
  std::vector<std::unique_ptr<char[]>> memory_;
};

}  // namespace cuda_on_cpu
