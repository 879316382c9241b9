"""One optimizer step: in parts, averaged, without reads by the host, from memory and from disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from python_tests.engine.tiny import overrides, write_folder
from python_tests.tolerances import EXACT_FORMULA, FLOAT32_SUMS
from wtal_fast.cli.main import run
from wtal_fast.data.features import FeatureSet, MappedFeatureSet
from wtal_fast.data.loading import load_folder
from wtal_fast.data.packed import PackedFeatureSet
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.feed import ResidentFeed, StreamedFeed, training_feed
from wtal_fast.engine.methods import build_loss, build_model, configure
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.engine.step import TrainingStep
from wtal_fast.engine.trainer import Trainer
from wtal_fast.errors import InputError

METHODS = ("basnet", "uncertainty", "backtal")
CPU = torch.device("cpu")
HOST_READS = {"aten._local_scalar_dense", "aten.nonzero", "aten.item", "aten.is_nonzero", "aten.equal",
              "aten.masked_select", "aten.unique_dim", "aten._unique2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data"))


def config_of(method, **more):
    return configure(f"{method}/thumos14/official", overrides(method, **more))


def trainer_of(folder, method, **more):
    config = config_of(method, **more)
    return Trainer(config, load_folder(folder, config.data, "train"), CPU, Processes())


def test_parts_of_a_batch_are_the_batch_in_float64(folder):
    for method in METHODS:
        whole, parts = (float64_steps(folder, method, accumulate) for accumulate in (1, 3))
        for name, tensor in whole.items():
            torch.testing.assert_close(parts[name], tensor, **EXACT_FORMULA)
        assert any(not torch.equal(parts[name], whole[name]) for name in whole)  # they were parts


def float64_steps(folder, method, accumulate):
    """Losses and weights after two steps without dropout."""
    more = {"model__dropout": 0.0, "train__accumulate": accumulate}
    if method == "uncertainty":
        more["model__selection_dropout"] = 0.0
    config = config_of(method, **more)
    dataset = load_folder(folder, config.data, "train")
    dataset = replace(dataset, features=replace(dataset.features, values=dataset.features.values.double()))
    torch.manual_seed(0)
    model = build_model(config, 2).double().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    feed = training_feed(config, dataset, BatchPlan(6, 4, 0), CPU, Processes())
    step = TrainingStep(config, model, build_loss(config), optimizer, None, feed, Processes())
    results = {f"loss {number}": step(feed.inputs(number), 0) for number in range(2)}
    return results | model.state_dict()


def test_parts_draw_the_dropout_masks_of_the_batch(folder):
    whole, parts = (trainer_of(folder, "basnet", train__accumulate=count) for count in (1, 4))
    for _ in range(2):
        first, second = whole.read([whole.advance()])[0], parts.read([parts.advance()])[0]
        assert second == pytest.approx(first, rel=1e-5)


def test_fused_adam_is_adam(folder):
    trainer = trainer_of(folder, "basnet")
    trainer.advance()
    parameters = [parameter.detach() for parameter in trainer.model.parameters()]
    gradients = [parameter.grad for parameter in trainer.model.parameters()]
    found = []
    for fused in (True, False):
        copies = [torch.nn.Parameter(parameter.clone()) for parameter in parameters]
        adam = torch.optim.Adam(copies, lr=0.01, weight_decay=5e-4, fused=fused, foreach=False)
        for step in range(5):
            for copy, gradient in zip(copies, gradients, strict=True):
                copy.grad = gradient * (step - 2)
            adam.step()
        found.append(copies)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **FLOAT32_SUMS)


class NoHostReads(TorchDispatchMode):
    """Raises where an op hands a number or a shape that depends on data to the host."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function.overloadpacket) in HOST_READS:
            raise AssertionError(f"{function} reads from the device")
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_reads_nothing_on_the_host(method, accumulate, folder, monkeypatch):
    trainer = trainer_of(folder, method, train__ema_decay=0.9, train__accumulate=accumulate)
    trainer.read([trainer.advance()])
    if trainer.dataset.clicks is not None:
        trainer.dataset.click_table(16)
    unread = []
    # Ranges of indices are checked only where tensors lie on the CPU, or nothing is compiled: not on a GPU.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with NoHostReads():
        for _ in range(3):  # both sizes of batch
            unread.append(trainer.advance())
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            unread[0].sum().item()
    assert trainer.read(unread)[0]["total"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_forward_and_loss_compile_without_a_break(method, folder):
    trainer = trainer_of(folder, method, model__dropout=0.0)
    inputs = trainer._feed.inputs(0)
    batch = trainer._feed.part(inputs, slice(0, 4))

    def losses():
        torch.manual_seed(1)
        return trainer.loss(trainer.model(batch.features, None), batch)["total"]

    torch._dynamo.reset()
    compiled = torch.compile(lambda features: trainer.loss(trainer.model(features, None), batch)["total"],
                             fullgraph=True, backend="aot_eager")
    expected = losses()
    torch.manual_seed(1)
    torch.testing.assert_close(compiled(batch.features), expected, rtol=1e-5, atol=1e-6)


def test_the_average_follows_its_rule(folder):
    trainer = trainer_of(folder, "uncertainty", train__ema_decay=0.95)
    expected = {name: tensor.clone().double() for name, tensor in trainer.model.state_dict().items()}
    for step in range(4):
        trainer.advance()
        decay = min(0.95, (1 + step) / (10 + step))
        for name, tensor in trainer.model.state_dict().items():
            expected[name] += (1 - decay) * (tensor.double() - expected[name])
    own = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with trainer.averaged():
        for name, tensor in trainer.model.state_dict().items():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-6, atol=1e-7)
            assert not torch.equal(tensor, own[name])
    assert all(torch.equal(tensor, own[name]) for name, tensor in trainer.model.state_dict().items())


def test_a_step_that_is_not_finite_changes_nothing(folder):
    trainer = trainer_of(folder, "basnet", train__ema_decay=0.5)
    trainer.read([trainer.advance()])
    trainer.dataset.features.values[:] = torch.nan
    before = {name: tensor.clone() for name, tensor in (trainer.model.state_dict() | trainer.state()[0]).items()}
    average = {name: tensor.clone() for name, tensor in trainer.average.weights.items()}
    values = [trainer.advance(), trainer.advance()]
    with pytest.raises(InputError, match=r"step 2 .*finite losses.*video_train_"):
        trainer.read(values)
    for name, tensor in (trainer.model.state_dict() | trainer.state()[0]).items():
        assert torch.equal(tensor, before[name]), name
    assert all(torch.equal(tensor, average[name]) for name, tensor in trainer.average.weights.items())


@pytest.mark.parametrize("method", METHODS)
def test_batches_from_disk_are_those_from_memory(method, folder):
    trainers = [trainer_of(folder, method, data__resident=name) for name in ("memory", "mapped")]
    kinds = [(FeatureSet, ResidentFeed), (MappedFeatureSet, StreamedFeed)]
    for trainer, (features, feed) in zip(trainers, kinds, strict=True):
        assert isinstance(trainer.dataset.features, features) and isinstance(trainer._feed, feed)
    memory, disk = trainers
    for _ in range(4):
        assert torch.equal(memory.advance(), disk.advance())
    assert not disk._feed._waiting  # nothing is read beyond the last step
    for name, tensor in memory.model.state_dict().items():
        assert torch.equal(tensor, disk.model.state_dict()[name])


@pytest.mark.parametrize("method", ["uncertainty", "backtal"])
def test_packed_shards_train_as_the_folder_they_came_from(method, folder, tmp_path):
    assert run(["convert", str(folder), "--output", str(tmp_path / "packed")]) == 0
    memory = trainer_of(folder, method)
    packed = trainer_of(tmp_path / "packed", method, data__resident="mapped")
    assert isinstance(packed.dataset.features, PackedFeatureSet) and isinstance(packed._feed, StreamedFeed)
    for _ in range(4):
        assert torch.equal(memory.advance(), packed.advance())


def test_a_feed_reads_one_batch_ahead_and_reports_what_fails(folder, monkeypatch):
    trainer = trainer_of(folder, "basnet", data__resident="mapped")
    trainer.advance()
    assert list(trainer._feed._waiting) == [1]
    trainer.step = 2  # another step than the one read ahead
    trainer.advance()

    def broken(*_):
        raise InputError("features/a.npy", expected="features", found="damage")

    monkeypatch.setattr(StreamedFeed, "_read", broken)
    trainer._feed._waiting.clear()
    with pytest.raises(InputError, match="damage"):
        trainer.advance()


def test_what_parts_and_graphs_cannot_do_is_refused(folder):
    with pytest.raises(InputError, match="mined_background.*train.accumulate=2"):
        trainer_of(folder, "backtal", loss__mined_background=7.0, train__accumulate=2)
    with pytest.raises(InputError, match="cuda_graph=on.*a CPU"):
        trainer_of(folder, "basnet", train__cuda_graph="on")
