// New tensors in huge pages. Memory of this size is fresh from the system each time, and to get it in pages of 4 KiB can
// take longer than to fill it.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <initializer_list>

#include "tensors.h"

namespace wtal {

// An uninitialised tensor on the device of `like`, of its type where no other is named.
inline Tensor large_tensor(const Tensor& like, std::initializer_list<int64_t> sizes,
                           std::optional<ScalarType> type = std::nullopt) {
  Tensor tensor = torch::stable::new_empty(like, sizes, type);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHugePage = uintptr_t(1) << 21;
  const uintptr_t begin = uintptr_t(tensor.mutable_data_ptr());
  const uintptr_t end = begin + uintptr_t(tensor.numel()) * uintptr_t(tensor.element_size());
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage, last = end / kHugePage * kHugePage;
  // Only advice: where it is refused the pages stay small.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  return tensor;
}

}  // namespace wtal
