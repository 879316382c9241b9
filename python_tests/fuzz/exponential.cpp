#include <cmath>

#include "core/exp.h"
#include "fuzz.h"

FUZZ_TARGET("exponential") {
  fuzz::Bytes bytes(data, size);
  const double drawn = bytes.flag() ? std::fabs(bytes.number()) : std::fabs(bytes.raw<double>());
  if (std::isnan(drawn)) return;
  const double found = wtal::exp_of_negative(-drawn), wanted = std::exp(-drawn);
  fuzz::check(found >= 0 && found <= 1, "between 0 and 1");
  fuzz::check(std::fabs(found - wanted) <= 4e-16 * wanted + 1e-307, "within two units in the last place");
  fuzz::check(drawn != 0 || found == 1.0, "1 at 0");
}
