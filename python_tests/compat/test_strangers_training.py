"""A training repository in the upstream style, run as it is and with two lines changed: equal losses and gradients."""

import copy
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from python_tests import tolerances
from python_tests.compat import upstream_training
from python_tests.conftest import ROOT
from wtal_fast import ops
from wtal_fast.compat import AttentionConv1d


def run(folder):
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "main.py"], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_strangers_training(tmp_path):
    (tmp_path / "layers.py").write_text(upstream_training.LAYERS)
    (tmp_path / "main.py").write_text(upstream_training.MAIN)
    before = run(tmp_path)
    assert before["losses"][-1] < 0.8 * before["losses"][0] and not before["ours"]
    text = upstream_training.MAIN
    for line, ours in (("from layers import AttentionConv1d", "from wtal_fast import ops\n"
                        "from wtal_fast.compat import AttentionConv1d"),
                       ("torch.mean(torch.topk(cas, self.k, dim=2)[0], dim=2)", "ops.topk_mean(cas, self.k, dim=2)")):
        assert text.count(line) == 1
        text = text.replace(line, ours)
    (tmp_path / "main.py").write_text(text)
    (tmp_path / "layers.py").unlink()
    after = run(tmp_path)
    assert after["ours"] and after["names"] == before["names"]
    np.testing.assert_allclose(after["losses"], before["losses"], rtol=1e-10)
    for name, values in before["gradients"].items():
        np.testing.assert_allclose(after["gradients"][name], values, **tolerances.FLOAT64_GRADIENT, err_msg=name)


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(6, 4, 3, bias=False)
        self.attention = AttentionConv1d(3, 4)

    def forward(self, x, embedding):
        return ops.topk_mean(self.attention(x, embedding, self.conv.weight), 2, dim=2)


def inputs(dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(2, channels, 9, generator=draw).to(dtype) for channels in (6, 3)]


def test_state_dict_deepcopy_and_torch_save():
    layer = Layer()
    twin, other, stored = copy.deepcopy(layer), Layer(), io.BytesIO()
    other.load_state_dict(layer.state_dict())
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    assert list(torch.load(stored, weights_only=True)) == ["conv.weight"]
    expected = layer(*inputs())
    assert torch.equal(twin(*inputs()), expected) and torch.equal(other(*inputs()), expected)


def test_half():
    layer = Layer()
    expected = layer(*inputs())
    for dtype in (torch.float16, torch.bfloat16):
        out = copy.deepcopy(layer).to(dtype)(*inputs(dtype))
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), expected, **tolerances.BFLOAT16)


def test_compiles_as_one_graph():
    torch._dynamo.reset()
    layer = Layer()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    gradients = []
    for module in (layer, compiled):
        layer.zero_grad()
        module(*inputs()).sum().backward()
        gradients.append(layer.conv.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0])


class PooledVideos(torch.utils.data.Dataset):
    """Calls an op in the loader's worker processes."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return ops.topk_mean(torch.arange(10.0).view(1, 10, 1) + index, 2)[0]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_loader_workers(context):
    loader = torch.utils.data.DataLoader(PooledVideos(), batch_size=3, num_workers=2, multiprocessing_context=context)
    assert torch.cat(list(loader)).flatten().tolist() == [8.5 + index for index in range(6)]


def test_wrong_weight():
    rule = r"weight must be \[out_channels, Cin, kernel_size\] = \[4, 6, 3\], got \[5, 6, 3\]"
    with pytest.raises(ValueError, match=rule):
        AttentionConv1d(3, 4)(*inputs(), torch.zeros(5, 6, 3))
    with pytest.raises(ValueError, match="AttentionConv1d: kernel_size must be odd and >= 1, got 2"):
        AttentionConv1d(2, 4)
