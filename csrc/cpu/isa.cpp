#include "cpu/isa.h"

#include <cstdlib>
#include <cstring>

namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

wtal::Isa detect() {
  int level = 0;
#ifdef WTAL_HAVE_AVX512
  __builtin_cpu_init();
  const auto v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const auto v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  level = v3 ? (v4 ? 2 : 1) : 0;
#endif
  if (const char* asked = std::getenv("WTAL_ISA"))
    for (int name = 0; name < level; ++name)
      if (!std::strcmp(asked, kNames[name])) level = name;
  return wtal::Isa(level);
}

}  // namespace

wtal::Isa wtal::fastest_isa() {
  static const Isa chosen = detect();
  return chosen;
}

// Read by wtal_fast/ops/_library.py for `wtal-fast env`.
extern "C" __attribute__((visibility("default"))) const char* wtal_fast_isa() {
  return kNames[int(wtal::fastest_isa())];
}
