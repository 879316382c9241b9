"""The fast ops. Each is one file: public function, validation, schema, reference, fake kernel, gradient."""

from wtal_fast.ops import _library
from wtal_fast.ops._library import use_backend
from wtal_fast.ops.topk_mean import topk_mean

__all__ = [
    "topk_mean",
    "use_backend",
]

_library.activate_from_environment()
