// Between average_precision.cpp (tensors) and isa/average_precision.cpp (loops).
#pragma once

#include "core/match_loops.h"
#include "cpu/isa.h"

WTAL_PER_ISA(MatchLoops match_loops())
