"""The networks: forward(features [B, T, D], lengths [B]) -> CASOutput."""

from wtal_fast.models.backtal import BackTAL
from wtal_fast.models.basnet import BaSNet
from wtal_fast.models.uncertainty import UncertaintyModel

__all__ = ["BackTAL", "BaSNet", "UncertaintyModel"]
