// A mistake behind three conditions, to prove that the driver and the sanitizers find such: never part of a fuzz run.
#include "fuzz.h"

FUZZ_TARGET("planted") {
  std::vector<double> values(4, 1.0);
  const uint8_t wanted[] = {'o', 'I', 'C'};
  size_t right = 0;
  for (; right < 3 && right < size; ++right)
    if (data[right] != wanted[right]) return;
  volatile size_t index = right < 3 ? 0 : 4;
  fuzz::check(values.data()[index] == 1.0, "planted");
}
