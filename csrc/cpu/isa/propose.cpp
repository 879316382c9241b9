#include "cpu/propose.h"

wtal::SampleLoops wtal::WTAL_ISA::sample_loops() { return loops_of_this_file(); }
