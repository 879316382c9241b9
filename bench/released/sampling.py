"""The snippet sampling of the released BaS-Net and UM: one random draw of Python a snippet."""

from __future__ import annotations

import numpy as np


def random_perturb(length: int, num_snippets: int) -> np.ndarray:
    """A random snippet near each of `num_snippets` uniform positions of `length`, int64."""
    if length == num_snippets:
        return np.arange(num_snippets)
    positions = np.arange(num_snippets) * length / num_snippets
    for index in range(num_snippets):
        last = index == num_snippets - 1
        low, high = int(positions[index]), length - 1 if last else int(positions[index + 1])
        positions[index] = np.random.choice(range(low, high + 1)) if low < high else low
    return positions.astype(np.int64)
