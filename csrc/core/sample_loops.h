// How propose.h reaches the loops of samples.h, whichever instruction set they were compiled for.
#pragma once

#include "core/samples.h"

namespace wtal {

// The loops over samples, compiled for one instruction set.
struct SampleLoops {
  void (*resample32)(const float* values, int64_t length, Resampling rule, int64_t samples, double* out);
  void (*resample64)(const double* values, int64_t length, Resampling rule, int64_t samples, double* out);
  void (*add_up)(const Samples&);
  void (*bound)(const Samples&);
  void (*find_above)(const Samples&, double threshold, uint64_t* words);
};

// Those compiled for this file.
WTAL_INLINE SampleLoops loops_of_this_file() { return {&resample<float>, &resample<double>, &add_up, &bound, &find_above}; }

}  // namespace wtal
