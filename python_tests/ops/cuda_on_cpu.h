// Runs the kernels of csrc/cuda/*.cuh on the CPU: each CUDA thread is a fiber, and barriers and warp exchanges switch
// between them. Checks what a kernel computes; says nothing about speed, memory order or races within a warp.
#pragma once

#include <ucontext.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct Index {
  unsigned x;
};
inline Index threadIdx, blockIdx, blockDim;

namespace cuda_on_cpu {

constexpr int kWarp = 32;
constexpr size_t kStack = 1 << 16;

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStack);
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
  std::function<void()> kernel;
};
inline Block* block;

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
  block->kernel();
  block->fibers[self]->done = true;
  --block->all.expected;
  release(block->all);
  --block->warps[self / kWarp].expected;
  release(block->warps[self / kWarp]);
}

// kernel() on `blocks` blocks of `threads` threads, one block after the other.
inline void launch(unsigned blocks, unsigned threads, std::function<void()> kernel) {
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    Block running;
    block = &running;
    running.kernel = kernel;
    running.exchange.resize(threads);
    running.warps.resize((threads + kWarp - 1) / kWarp);
    running.all.expected = threads;
    for (unsigned thread = 0; thread < threads; ++thread) {
      ++running.warps[thread / kWarp].expected;
      Fiber& fiber = *running.fibers.emplace_back(std::make_unique<Fiber>());
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
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
}

}  // namespace cuda_on_cpu

inline void __syncthreads() { cuda_on_cpu::wait(cuda_on_cpu::block->all); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  using namespace cuda_on_cpu;
  const unsigned self = threadIdx.x;
  static_assert(sizeof(T) <= sizeof(uint64_t));
  __builtin_memcpy(&block->exchange[self], &value, sizeof(T));
  wait(block->warps[self / kWarp]);
  T other;
  __builtin_memcpy(&other, &block->exchange[self ^ unsigned(mask)], sizeof(T));
  wait(block->warps[self / kWarp]);
  return other;
}

inline int __reduce_add_sync(unsigned mask, int value) {
  for (int distance = cuda_on_cpu::kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(mask, value, distance);
  return value;
}
