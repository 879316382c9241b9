"""Ranges of numbers written as text, apart from config so that the evaluation starts without pydantic."""

from __future__ import annotations

import math
import re

import numpy as np

MAX_VALUES = 10_000  # of a range: more is a slip of the step
_CALL = re.compile(r"(arange|linspace)\(([^()]*)\)")


def expand_range(value):
    """`arange(a,b,s)` (end excluded), `linspace(a,b,n)` or `a:s:b` (end included) as the float64 values NumPy gives.

    `a,b,c` and a bare number are themselves; what is neither text nor a number comes back as it is. ValueError unless
    a range has three finite numbers, a step > 0 or a whole n >= 1, and 1 to 10,000 values.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _numbers([str(value)], str(value))
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if match := _CALL.fullmatch(text):
        first, second, third = _three_numbers(match[2].split(","), value)
        if match[1] == "arange":
            _check_count(_count(first, second, third, value), value)
            return tuple(float(x) for x in np.arange(first, second, third))
        if third != math.floor(third):
            raise ValueError(f"a whole number of values in linspace, got {value}")
        _check_count(third, value)
        return tuple(float(x) for x in np.linspace(first, second, int(third)))
    if ":" in text:
        start, step, stop = _three_numbers(text.split(":"), value)
        if stop < start:
            raise ValueError(f"a range start:step:stop with stop >= start, got {value}")
        steps = _count(start, stop, step, value)
        _check_count(steps + 1, value)
        if abs(steps - round(steps)) > 1e-6 * max(steps, 1):
            raise ValueError(f"a range start:step:stop whose step divides stop - start, got {value}")
        return tuple(float(x) for x in np.linspace(start, stop, round(steps) + 1))
    return _numbers(text.split(","), value)


def _numbers(parts: list[str], value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        raise ValueError(f"numbers a,b,c or a range such as 0:0.1:0.5 or arange(0,0.5,0.1), got {value}") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"finite numbers, got {value}")
    return numbers


def _three_numbers(parts: list[str], value: str) -> tuple[float, ...]:
    if len(parts) != 3:
        raise ValueError(f"a range of three numbers, got {value}")
    return _numbers(parts, value)


def _count(start: float, stop: float, step: float, value: str) -> float:
    """How many steps from `start` reach `stop`."""
    if not step > 0:
        raise ValueError(f"a range with a step > 0, got {value}")
    return (stop - start) / step


def _check_count(count: float, value: str) -> None:
    if not 0 < count <= MAX_VALUES:
        raise ValueError(f"a range of 1 to {MAX_VALUES:,} values, got {value}")
