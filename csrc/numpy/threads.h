// Work shared out to threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <future>
#include <thread>
#include <vector>

namespace wtal {

// Calls work(begin, end) for ranges that make up 0..size-1, from up to `most` threads.
template <typename Work>
void share_out(int64_t size, int64_t most, const Work& work) {
  if (most <= 1 || size <= 1) return work(int64_t{0}, size);  // to ask for the number of cores takes microseconds
  const int64_t cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  const int64_t threads = std::min({cores, size, most});
  std::vector<std::future<void>> others;
  for (int64_t t = 1; t < threads; ++t)
    others.push_back(std::async(std::launch::async, [&work, t, size, threads] {
      work(t * size / threads, (t + 1) * size / threads);
    }));
  work(int64_t{0}, size / threads);
  for (auto& other : others) other.get();
}

}  // namespace wtal
