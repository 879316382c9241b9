#include "core/tiou.h"

#include "fuzz.h"

FUZZ_TARGET("temporal_iou") {
  fuzz::Bytes bytes(data, size);
  const fuzz::Segments pair = fuzz::segments(bytes, 2, 1);
  const double *a = pair.bounds.data(), *b = a + 2;
  const double offset = bytes.flag() ? 1.0 : bytes.flag() ? double(bytes.byte()) / 16 : 0.0;
  const double iou = wtal::temporal_iou(a[0], a[1], b[0], b[1], offset);
  fuzz::check(iou == fuzz::overlap(a, b, offset), "the formula");
  fuzz::check(iou == wtal::temporal_iou(b[0], b[1], a[0], a[1], offset), "symmetric");
  fuzz::check(iou >= 0 && iou <= 1 + 1e-12, "between 0 and 1");
  const double length = a[1] - a[0] + offset;
  fuzz::check(wtal::temporal_iou(a[0], a[1], a[0], a[1], offset) == (length > 0 ? 1.0 : 0.0), "a segment with itself");
  if (offset == 0) fuzz::check((iou > 0) == (a[0] < b[1] && b[0] < a[1] && a[0] < a[1] && b[0] < b[1]), "0 where apart");
  const float single = wtal::temporal_iou(float(a[0]), float(a[1]), float(b[0]), float(b[1]), float(offset));
  fuzz::check(single >= 0 && single <= 1.0001f, "between 0 and 1 in float32");

  double wild[4];
  for (double& one : wild) one = bytes.raw<double>();
  (void)wtal::temporal_iou(wild[0], wild[1], wild[2], wild[3], bytes.raw<double>());  // nothing but undefined behaviour
}
