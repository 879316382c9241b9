"""Training on a CUDA device: graphs, residency and precisions. The CPU's numbers are the measure."""

from __future__ import annotations

import pytest
import torch

from python_tests.conftest import require
from python_tests.engine.tiny import interrupt_after, overrides, write_folder
from python_tests.tolerances import CUDA_TRAINING
from wtal_fast.data.loading import load_folder
from wtal_fast.engine.checkpoint import load_tensors
from wtal_fast.engine.cuda_graph import RecordedStep
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.experiment import train_folder
from wtal_fast.engine.feed import ResidentFeed, StreamedFeed, placed
from wtal_fast.engine.methods import configure
from wtal_fast.engine.precision import matrix_mode
from wtal_fast.engine.trainer import Trainer

METHODS = ("basnet", "uncertainty", "backtal")
pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda():
    require("cuda", torch.cuda.is_available(), "no CUDA device")


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def trainer_of(data, method, device="cuda", **more):
    config = configure(f"{method}/thumos14/official", overrides(method, **more))
    dataset = placed(load_folder(data, config.data, "train"), torch.device(device), config.data.resident)
    return Trainer(config, dataset, torch.device(device), Processes())


@pytest.mark.parametrize("method", METHODS)
def test_a_recorded_step_is_an_ordinary_one_to_the_bit(method, data):
    torch.use_deterministic_algorithms(True, warn_only=True)
    more = {"train__iterations": 14, "train__ema_decay": 0.9}
    recorded, ordinary = (trainer_of(data, method, train__cuda_graph=name, **more) for name in ("on", "off"))
    assert isinstance(recorded._run, RecordedStep) and not isinstance(ordinary._run, RecordedStep)
    unread = [(recorded.advance(), ordinary.advance()) for _ in range(14)]
    assert sorted(recorded._run._graphs) == [2, 4]
    for first, second in unread:
        assert torch.equal(first, second)
    for name, tensor in ordinary.state()[0].items():
        assert torch.equal(recorded.state()[0][name], tensor), name


@pytest.mark.parametrize("method", METHODS)
def test_without_dropout_a_gpu_trains_as_the_cpu_does(method, data):
    more = {"model__dropout": 0.0, "train__learning_rate": 1e-4}
    if method == "uncertainty":
        more["model__selection_dropout"] = 0.0
    losses = {}
    for device in ("cpu", "cuda"):
        trainer = trainer_of(data, method, device, **more)
        losses[device] = [trainer.read([trainer.advance()])[0]["total"] for _ in range(4)]
    assert losses["cuda"] == pytest.approx(losses["cpu"], **CUDA_TRAINING)


@pytest.mark.parametrize(("resident", "kind"), [("memory", ResidentFeed), ("mapped", StreamedFeed)])
def test_resident_and_streamed_batches_are_recorded_alike(resident, kind, data):
    trainer = trainer_of(data, "basnet", data__resident=resident, train__iterations=10)
    assert isinstance(trainer._feed, kind)
    rows = trainer.read([trainer.advance() for _ in range(10)])
    other = trainer_of(data, "basnet", train__iterations=10, train__cuda_graph="off")
    assert [row["total"] for row in rows] == [other.read([other.advance()])[0]["total"] for _ in range(10)]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_run_is_resumed_to_the_same_bytes(precision, data, tmp_path, monkeypatch):
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings = overrides("basnet", train__iterations=12, train__save_every=6, train__precision=precision)

    def run(folder):
        train_folder("basnet/thumos14/official", data, tmp_path / folder, settings, device="cuda", resume=True,
                     show=False)

    run("whole")
    interrupt_after(8, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run("parts")
    monkeypatch.undo()
    run("parts")
    whole, parts = (load_tensors(tmp_path / name / "checkpoint/last/model.safetensors")[0]
                    for name in ("whole", "parts"))
    for name, tensor in whole.items():
        assert torch.equal(parts[name], tensor), name


def test_tf32_is_used_where_asked_for_and_only_there():
    x = torch.randn(512, 512, device="cuda")
    exact = x.double() @ x.double()
    errors = {}
    for precision in ("fp32", "tf32"):
        with matrix_mode(precision):
            errors[precision] = float(((x @ x).double() - exact).norm() / exact.norm())
    assert errors["fp32"] < 1e-6 < 1e-5 < errors["tf32"] < 1e-2


def test_a_gpu_is_synchronized_only_where_losses_are_read(data):
    trainer = trainer_of(data, "backtal", train__iterations=12)
    unread = [trainer.advance() for _ in range(8)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        unread += [trainer.advance() for _ in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(trainer.read(unread)) == 12
