"""Every file format users bring, read without running what is in it. Does not import torch.

    open_arrays(path) -> {name: ArrayRef}     headers only; ArrayRef.shape, .dtype, .read(), .map()
    one_array(path, names) -> ArrayRef        the array of a file of one, or the first of `names`
    read_value(path)                          all of it: arrays, numbers, text, lists, dictionaries
    open_tree(path)                           the same with every array as ArrayRef
    read_rows(path)                           rows of a text table with their line numbers
    read_yaml(path)                           a YAML file of plain values

What cannot be read raises InputError: file, place, what was expected, what was found, what to do.
"""

from wtal_fast.data.formats.arrays import ArrayRef
from wtal_fast.data.formats.opening import one_array, open_arrays, open_tree, read_value
from wtal_fast.data.formats.table import read_rows
from wtal_fast.data.formats.yaml_file import read_yaml

__all__ = ["ArrayRef", "one_array", "open_arrays", "open_tree", "read_rows", "read_value", "read_yaml"]
