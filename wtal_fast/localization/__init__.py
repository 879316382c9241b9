"""From class activation sequences to detections."""

from wtal_fast.localization.pipeline import localize

__all__ = ["localize"]
