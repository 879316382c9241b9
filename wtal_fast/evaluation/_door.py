"""The one place that chooses between the compiled NumPy module and the plain NumPy references."""

from __future__ import annotations

from wtal_fast.evaluation import reference, suppression

try:
    from wtal_fast import _numpy
except ImportError:  # not built: the references give the same numbers
    _numpy = None

average_precision = getattr(_numpy, "average_precision", reference.average_precision)
temporal_nms = getattr(_numpy, "temporal_nms", suppression.temporal_nms)
soft_temporal_nms = getattr(_numpy, "soft_temporal_nms", suppression.soft_temporal_nms)
BACKEND = "reference" if average_precision is reference.average_precision else "native"
