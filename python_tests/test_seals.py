"""Sealed text files: their last line says what the text before it must be; other readers do not mind it."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wtal_fast.data.formats import read_yaml
from wtal_fast.errors import InputError
from wtal_fast.files import read_json, save_json, save_text
from wtal_fast.seals import check_seal, sealed_json, sealed_yaml

OBJECTS = st.dictionaries(st.text().filter(lambda key: key != "file_sha256"), st.text() | st.integers() | st.lists(
    st.floats(allow_nan=False, allow_infinity=False)), min_size=1)


@given(value=OBJECTS, indent=st.none() | st.integers(0, 2))
def test_sealed_json_is_the_value_to_us_and_the_value_with_one_more_key_to_others(tmp_path_factory, value, indent):
    path = tmp_path_factory.getbasetemp() / "sealed.json"
    save_json(path, value, indent=indent, sealed=True)
    assert read_json(path) == read_json(path, sealed=True) == value
    others = json.loads(path.read_text())
    assert others.pop("file_sha256") and others == value


def test_the_digest_is_that_of_the_bytes_before_it():
    body = b'{"a": 1.5'
    assert sealed_json('{"a": 1.5}').encode() == body + (
        b',\n"file_sha256": "19b8d0ab78002d844625bafb712ad890bd657f3bbe660be35b1d2dea0e1551d1"}\n')
    assert check_seal(sealed_json('{"a": 1.5}').encode(), "file")


@pytest.mark.parametrize("change", [lambda text: text.replace("1.5", "1.6"), lambda text: text.replace('"}', 'a"}'),
                                    lambda text: text.replace("1.5", "1.50"), lambda text: " " + text])
def test_another_text_is_refused_and_the_way_out_named(tmp_path, change):
    path = tmp_path / "found.json"
    path.write_text(change(sealed_json('{"a": 1.5}')))
    with pytest.raises(InputError, match="found.json · file_sha256 · expected the text that was saved .* take out the"):
        read_json(path)
    path.write_text('{"a": 1.6}')
    assert read_json(path) == {"a": 1.6}
    with pytest.raises(InputError, match="last line · expected the SHA-256 with which wtal_fast ends this file"):
        read_json(path, sealed=True)


@pytest.mark.parametrize("indent", [None, 0, 1, 4])
def test_what_another_program_writes_again_is_its_own(tmp_path, indent):
    """Detections are filtered in three lines of Python: the old digest then travels as a key and means nothing."""
    path = tmp_path / "found.json"
    save_json(path, {"results": {"a": [1, 2]}, "version": "1"}, sealed=True)
    content = json.loads(path.read_text())
    content["results"]["a"].pop()
    path.write_text(json.dumps(content, indent=indent) + "\n")
    assert read_json(path)["results"] == {"a": [1]}


def test_yaml(tmp_path):
    path = tmp_path / "config.yaml"
    save_text(path, sealed_yaml("train:\n  seed: 1\n"))
    assert read_yaml(path, sealed=True) == yaml.safe_load(path.read_text()) == {"train": {"seed": 1}}
    path.write_text(path.read_text().replace("seed: 1", "seed: 3"))
    with pytest.raises(InputError, match="config.yaml · file_sha256 · expected the text that was saved"):
        read_yaml(path)
    path.write_text("train:\n  seed: 1\n")
    assert read_yaml(path) == {"train": {"seed": 1}}
    with pytest.raises(InputError, match="last line · expected the SHA-256"):
        read_yaml(path, sealed=True)


def test_a_list_cannot_be_sealed():
    with pytest.raises(ValueError):
        json.loads(sealed_json("[1]"))
