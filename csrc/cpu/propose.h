// Between propose.cpp, propose_resampled.cpp (tensors) and isa/propose.cpp (loops).
#pragma once

#include "core/sample_loops.h"
#include "cpu/isa.h"

WTAL_PER_ISA(SampleLoops sample_loops())
