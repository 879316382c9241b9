// Kernels compiled once per instruction set, and the choice between them when the library is loaded.
//
//   WTAL_PER_ISA(void kernel(const Arguments&))            in a header: declares baseline::kernel, avx2::kernel, ...
//   namespace wtal::WTAL_ISA { void kernel(...) { ... } }  in csrc/cpu/isa/<op>.cpp: defines one of them
//   WTAL_FASTEST(kernel)(arguments)                        in csrc/cpu/<op>.cpp, csrc/numpy/<op>.cpp: calls the best one
//
// Everything else in csrc/cpu/isa/ must be static or in an unnamed namespace: the linker keeps one copy of an inline
// function, and a copy compiled for AVX-512 would then run on a machine without it.
#pragma once

namespace wtal {

enum class Isa { baseline, avx2, avx512 };

// The best level this machine and this build have; the environment variable WTAL_ISA=baseline|avx2|avx512 lowers it.
Isa fastest_isa();

}  // namespace wtal

#define WTAL_PER_ISA(declaration) \
  namespace wtal {                \
  namespace baseline {            \
  declaration;                    \
  }                               \
  namespace avx2 {                \
  declaration;                    \
  }                               \
  namespace avx512 {              \
  declaration;                    \
  }                               \
  }

#ifdef WTAL_HAVE_AVX512
#define WTAL_FASTEST(kernel)                                        \
  (wtal::fastest_isa() == wtal::Isa::avx512 ? &wtal::avx512::kernel \
   : wtal::fastest_isa() == wtal::Isa::avx2 ? &wtal::avx2::kernel   \
                                            : &wtal::baseline::kernel)
#else
#define WTAL_FASTEST(kernel) (&wtal::baseline::kernel)
#endif
