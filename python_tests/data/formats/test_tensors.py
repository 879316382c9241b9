"""Tensors of torch and safetensors come back without torch, in every type, stride and form of file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from python_tests.conftest import ROOT
from wtal_fast.data.formats import open_arrays, read_value
from wtal_fast.errors import InputError

TENSORS = {
    **{str(dtype).removeprefix("torch."): torch.arange(12).to(dtype).reshape(3, 4)
       for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
                     torch.int8, torch.uint8, torch.bool)},
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 3),
    "transposed": torch.arange(12.0).reshape(3, 4).t(),
    "steps": torch.arange(48.0).reshape(6, 8)[1::2, 2:7:3],
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "one column": torch.arange(12.0).reshape(3, 4)[:, 1:2],
    "bfloat16 part": torch.arange(12).to(torch.bfloat16)[3:7],
    "axes": torch.arange(24.0).reshape(2, 3, 4).permute(1, 2, 0),
}


def numbers(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_save(tmp_path, legacy):
    about = {"epoch": 3, "rate": 1e-3, "shape": torch.Size([3, 4]), "names": ["a", None]}
    torch.save(about | {"state": TENSORS}, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    value = read_value(tmp_path / "a.pth")
    assert {key: value[key] for key in about} == about
    found = open_arrays(tmp_path / "a.pth")
    assert list(found) == [f"state/{name}" for name in TENSORS]
    for name, tensor in TENSORS.items():
        ref, wanted = found[f"state/{name}"], numbers(tensor)
        assert (ref.shape, ref.dtype) == (wanted.shape, wanted.dtype)
        for array in (ref.read(), ref.map(), value["state"][name]):
            np.testing.assert_array_equal(array, wanted)
        assert ref.read().flags.writeable


def test_state_of_a_module_and_of_an_optimizer(tmp_path):
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"model": layer.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    value = read_value(tmp_path / "a.pth")
    np.testing.assert_array_equal(value["model"]["weight"], layer.weight.detach().numpy())
    assert value["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    np.testing.assert_array_equal(value["optimizer"]["state"][0]["exp_avg"], optimizer.state[layer.weight]["exp_avg"])


def test_storage_shared_by_tensors_is_checked_once_and_read_in_parts(tmp_path):
    base = torch.arange(1000.0)
    torch.save([base[10 * n : 10 * n + 10] for n in range(100)], tmp_path / "a.pt")
    parts = read_value(tmp_path / "a.pt")
    np.testing.assert_array_equal(np.concatenate(parts), base.numpy())


def test_safetensors(tmp_path):
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in TENSORS.items()}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"note": "x"})
    found = open_arrays(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name].read(), numbers(tensor))
        np.testing.assert_array_equal(found[name].map(), numbers(tensor))
        assert found[name].dtype == numbers(tensor).dtype


def safetensors_bytes(header, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(first, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, end]}


BAD_SAFETENSORS = {
    "header longer than the file": ((2000).to_bytes(8, "little") + b"{}", "a header within the 10 bytes"),
    "duplicate names": (safetensors_bytes(b'{"a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "a": 1}'),
                        "each key once"),
    "gap": (safetensors_bytes({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, bytes(12)), "b · expected bytes from 4"),
    "overlap": (safetensors_bytes({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}, bytes(8)), "b · expected bytes from"),
    "unused bytes": (safetensors_bytes({"a": entry(0, 4, [1])}, bytes(8)), "found .* bytes"),
    "outside": (safetensors_bytes({"a": entry(0, 4000, [1000])}, bytes(8)), "outside the file"),
    "shape": (safetensors_bytes({"a": entry(0, 4, [2])}, bytes(4)), r"4 bytes for shape \[2\] of F32"),
    "huge shape": (safetensors_bytes({"a": entry(0, 0, [0, 2**62])}), "found shape"),
    "negative shape": (safetensors_bytes({"a": entry(0, 4, [-1, -1])}, bytes(4)), "found shape"),
    "dtype": (safetensors_bytes({"a": entry(0, 4, [1], "C64")}, bytes(4)), "dtype 'C64'"),
    "no object": (safetensors_bytes({"a": 3}), "data_offsets"),
    "NaN": (safetensors_bytes(b'{"a": NaN}'), "finite numbers"),
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_bad_safetensors(tmp_path, name):
    content, message = BAD_SAFETENSORS[name]
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_arrays(tmp_path / "a.safetensors")
    assert str(tmp_path / "a.safetensors") in str(caught.value)


def test_tensors_are_read_without_torch(tmp_path):
    """In a process that cannot import it."""
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    code = ("import sys; sys.modules['torch'] = None\nfrom wtal_fast.data.formats import read_value\n"
            "print(read_value(sys.argv[1])['a'])")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.pt"], cwd=ROOT, capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.strip() == "[1. 1.]", done.stderr
