"""Each of sixty bad files is met with the words that help: file, place, what was expected, what was found."""

from __future__ import annotations

import numpy as np
import pytest

from python_tests.conftest import require

try:
    from python_tests.data.formats import bad_files
except ImportError as error:
    require("extra", False, str(error), module=True)

from wtal_fast.cli.main import run
from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.formats import one_array, read_value
from wtal_fast.data.layouts.subset_folders import SubsetFolders, part_of_folder
from wtal_fast.data.stored_features import features_of_part
from wtal_fast.engine.checkpoint import load_checkpoint
from wtal_fast.errors import InputError


def read_features(path):
    """As one video's features; where a file holds several arrays, that named feats."""
    one_array(path, ["feats"]).expect_numbers()
    path.rename(path.with_name("a.npy"))
    try:
        features_of_part(SubsetFolders(path.parent.parent), part_of_folder(path.parent), ["a"])
    except InputError as error:
        if "a.npy" not in str(error):
            raise
        raise InputError(path, error.where, expected=error.expected, found=error.found, fix=error.fix) from None


READERS = {
    "npy": read_features,
    "npz": lambda path: one_array(path, ["feats"]).expect_numbers().read(),
    "pickle": read_value,
    "checkpoint": load_checkpoint,
    "h5": lambda path: one_array(path).read(),
    "json": lambda path: read_annotations(path, ["run", "jump"]),
    "clicks": lambda path: read_clicks(path, ["run", "jump"], ["a", "b"], np.array([9.0, 9.0]), tolerance=0),
}
CASES = [(kind, name) for kind, files in bad_files.ALL.items() for name in files]
SUFFIX = {"pickle": "pkl", "checkpoint": "pth", "clicks": "txt"}


def test_there_are_sixty():
    assert len(CASES) == 60


@pytest.mark.parametrize("kind, name", CASES)
def test_words(tmp_path, kind, name):
    content, words = bad_files.ALL[kind][name]
    path = tmp_path / "train" / f"bad.{SUFFIX.get(kind, kind)}"
    path.parent.mkdir()
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if words is None:
        READERS[kind](path)
        return
    with pytest.raises(InputError, match=words) as caught:
        READERS[kind](path)
    message = str(caught.value)
    assert message.startswith(f"{path} · ") and " · expected " in f" · {message}" and "found " in message
    for advice in ("allow_pickle", "weights_only", "safe_globals", "set_int_max_str_digits"):
        assert advice not in message


@pytest.mark.parametrize("name", bad_files.JSON)
def test_exit_code_of_the_command_line(tmp_path, capsys, name):
    content, words = bad_files.JSON[name]
    path = tmp_path / "gt.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "found.json").write_text('{"results": {"a": [{"segment": [1, 2], "score": 1, "label": "run"}]}}')
    code = run(["evaluate", str(tmp_path / "found.json"), str(path), "--subset", "train"])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    if words is None or name == "unknown label":  # without a list of classes every label is known
        assert code == 0, error
    else:
        assert code == 2 and error.startswith(f"error: {path} · ")
