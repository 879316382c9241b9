// Between soft_temporal_nms.cpp (tensors) and isa/soft_temporal_nms.cpp (loops).
#pragma once

#include "core/suppress_by_decay.h"
#include "cpu/isa.h"

WTAL_PER_ISA(int64_t soften(Waiting& group, const Decay& decay, Decayed* kept))
