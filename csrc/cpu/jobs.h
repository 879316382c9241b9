// How work is shared out to threads.
#pragma once

#include <cstdint>

namespace wtal {

constexpr int64_t kNumbersPerThread = 1 << 15;  // less work is done sooner by one thread than shared out

// Jobs that a thread takes at least, where each is so many numbers.
inline int64_t grain(int64_t numbers) { return 1 + kNumbersPerThread / (numbers + 1); }

}  // namespace wtal
