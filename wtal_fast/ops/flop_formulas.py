"""What the convolutions of this package cost, for torch.utils.flop_counter: importing this module is enough.

Apart from the ops themselves because PyTorch's counter takes long to import. One multiplication and addition are two
operations; scaling and summing over taps do not count.
"""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import register_flop_formula


def _product(x_shape, weight_shape) -> int:
    """x [B, T, Cin] times weight [Cout, Cin, h]."""
    return 2 * x_shape[0] * x_shape[1] * math.prod(weight_shape)


@register_flop_formula(torch.ops.wtal_fast.affinity_conv1d)
def _affinity_conv1d(x_shape, affinity_shape, weight_shape, *_args, out_shape=None, **_options) -> int:
    return _product(x_shape, weight_shape)


@register_flop_formula(torch.ops.wtal_fast.affinity_conv1d_backward)
def _affinity_conv1d_backward(_grad_shape, x_shape, affinity_shape, weight_shape, _official, input_grad,
                              out_shape=None, **_options) -> int:
    return _product(x_shape, weight_shape) * (1 + (input_grad or affinity_shape is not None))


@register_flop_formula(torch.ops.wtal_fast.two_branch_conv1d)
def _two_branch_conv1d(x_shape, _foreground_shape, _affinity_shape, weight_shape, *_args, out_shape=None,
                       **_options) -> int:
    return _product(x_shape, weight_shape)


@register_flop_formula(torch.ops.wtal_fast.two_branch_conv1d_backward)
def _two_branch_conv1d_backward(_grad_shape, _out_shape, _taps_shape, x_shape, _foreground_shape, _affinity_shape,
                                weight_shape, _official, _slope, input_grad, _bias_grad, out_shape=None,
                                **_options) -> int:
    return _product(x_shape, weight_shape) * (1 + input_grad)
