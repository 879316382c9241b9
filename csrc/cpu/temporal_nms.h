// Between temporal_nms.cpp (tensors) and isa/temporal_nms.cpp (loops).
#pragma once

#include "core/suppress_greedy.h"
#include "cpu/isa.h"

WTAL_PER_ISA(int64_t suppress(const Arranged& group, double threshold, double offset, const Removed& removed,
                              uint32_t* kept))
