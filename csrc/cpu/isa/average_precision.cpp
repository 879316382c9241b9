#include "cpu/average_precision.h"

wtal::MatchLoops wtal::WTAL_ISA::match_loops() { return match_loops_of_this_file(); }
