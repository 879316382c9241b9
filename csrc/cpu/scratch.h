// Memory that a kernel works in, on a cache line.
#pragma once

#include <memory>
#include <new>

namespace wtal {

constexpr std::align_val_t kCacheLine{64};

struct FreeScratch {
  void operator()(void* memory) const { ::operator delete(memory, kCacheLine); }
};
using Scratch = std::unique_ptr<void, FreeScratch>;

inline Scratch scratch(size_t bytes) { return Scratch(::operator new(bytes, kCacheLine)); }

}  // namespace wtal
