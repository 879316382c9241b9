"""The one place that chooses between the compiled NumPy module and the plain NumPy reference."""

from __future__ import annotations

from wtal_fast.evaluation import reference

try:
    from wtal_fast import _numpy
except ImportError:  # not built: the reference gives the same numbers
    _numpy = None

average_precision = getattr(_numpy, "average_precision", reference.average_precision)
BACKEND = "reference" if average_precision is reference.average_precision else "native"
