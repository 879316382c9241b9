// Names of the ways to resample, as wtal_fast/ops/propose_resampled.py has them.
#pragma once

#include <string>

#include "core/resample_rules.h"
#include "tensors.h"

namespace wtal {

inline Resampling resampling_named(const std::string& name) {
  STD_TORCH_CHECK(name == "none" || name == "stpn" || name == "half_pixel", "propose_resampled: unknown resize");
  return name == "none" ? Resampling::none : name == "stpn" ? Resampling::stpn : Resampling::half_pixel;
}

}  // namespace wtal
