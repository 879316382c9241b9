"""Object arrays read by Python's own unpickler, which may build NumPy's own parts and nothing else."""

from __future__ import annotations

import pickle

import numpy as np


class NumbersAndTextOnly(pickle.Unpickler):
    """NumPy's own building blocks."""

    def find_class(self, module, name):
        allowed = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"),
                   ("_codecs", "encode")}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def independent(path) -> np.ndarray:
    """The array in an .npy file, of objects or of numbers."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = header(file)
        if dtype.hasobject:
            return NumbersAndTextOnly(file, encoding="latin-1").load().reshape(shape)
        return np.frombuffer(file.read(), dtype).reshape(shape)
