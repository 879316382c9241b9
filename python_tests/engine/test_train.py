"""Training: repeatable, resumable, the same on two processes as on one, and selected as asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from python_tests.engine.tiny import interrupt_after, overrides, write_folder
from python_tests.tolerances import PROCESSES
from wtal_fast.data.loading import load_folder
from wtal_fast.engine import train as train_module
from wtal_fast.engine.checkpoint import load_checkpoint, load_tensors
from wtal_fast.engine.experiment import train_folder
from wtal_fast.engine.infer import detect
from wtal_fast.engine.sampler import BatchPlan
from wtal_fast.engine.train import Stopped
from wtal_fast.errors import InputError
from wtal_fast.evaluation.activitynet_json import write_detections
from wtal_fast.files import read_json

METHODS = ("basnet", "uncertainty", "backtal")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def run(method, data, output, **more):
    settings = overrides(method, **more)
    return train_folder(f"{method}/thumos14/official", data, output, settings, show=False)


def bytes_of(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "checkpoint" / "last").glob("*.safetensors")}


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(method, data, tmp_path):
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    assert run(method, data, first) == run(method, data, second)
    run(method, data, other, train__seed=7)
    assert set(bytes_of(first)) == {"model.safetensors", "trainer.safetensors"}
    assert bytes_of(first) == bytes_of(second)
    assert bytes_of(first)["model.safetensors"] != bytes_of(other)["model.safetensors"]


AVERAGED = {"train__ema_decay": 0.9, "train__accumulate": 2}


@pytest.mark.parametrize(("method", "more"), [*((method, {}) for method in METHODS), ("backtal", AVERAGED)])
def test_a_stopped_and_resumed_run_equals_the_uninterrupted_one(method, more, data, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(method, data, whole, train__save_every=1, **more)
    settings = overrides(method, train__save_every=1, **more)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_folder(f"{method}/thumos14/official", data, parts, settings, resume=True, show=False)
    monkeypatch.undo()
    assert load_tensors(parts / "checkpoint/last/trainer.safetensors")[1]["step"] == 3
    train_folder(f"{method}/thumos14/official", data, parts, settings, resume=True, show=False)
    assert bytes_of(whole) == bytes_of(parts)
    steps = [json.loads(line)["step"] for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    assert (whole / "detections.json").read_bytes() == (parts / "detections.json").read_bytes()


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.safetensors"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(data, tmp_path, monkeypatch, file):
    run("basnet", data, tmp_path / "whole", train__save_every=1)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run("basnet", data, tmp_path / "parts", train__save_every=1)
    monkeypatch.undo()
    path = tmp_path / "parts/checkpoint/last" / file
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    settings = overrides("basnet", train__save_every=1)
    with pytest.warns(UserWarning, match=f"{file} · tensor .*another SHA-256.*before it, step 2"):
        train_folder("basnet/thumos14/official", data, tmp_path / "parts", settings, resume=True, show=False)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts/metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_the_averaged_weights_are_those_scored_saved_and_run(data, tmp_path):
    run("uncertainty", data, tmp_path / "run", train__ema_decay=0.9)
    model, _ = load_tensors(tmp_path / "run/checkpoint/last/model.safetensors")
    trainer, _ = load_tensors(tmp_path / "run/checkpoint/last/trainer.safetensors")
    assert any(not torch.equal(tensor, trainer[f"weight/{name}"]) for name, tensor in model.items())
    saved = load_checkpoint(tmp_path / "run")
    write_detections(tmp_path / "again.json",
                     detect(saved.model, load_folder(data, saved.config.data, "test"), saved.config))
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run/detections.json").read_bytes()
    plain = run("uncertainty", data, tmp_path / "plain")
    assert plain["num_detections"] and (tmp_path / "plain/detections.json").read_bytes() \
        != (tmp_path / "run/detections.json").read_bytes()


def test_where_the_data_lie_may_change_between_runs(data, tmp_path, monkeypatch):
    run("basnet", data, tmp_path / "whole", train__save_every=1)
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run("basnet", data, tmp_path / "parts", train__save_every=1)
    monkeypatch.undo()
    settings = overrides("basnet", train__save_every=1, data__resident="mapped", train__cuda_graph="off")
    train_folder("basnet/thumos14/official", data, tmp_path / "parts", settings, resume=True, show=False)
    assert bytes_of(tmp_path / "whole")["trainer.safetensors"] == bytes_of(tmp_path / "parts")["trainer.safetensors"]


def test_sigterm_saves_the_step_and_raises_stopped(data, tmp_path, monkeypatch):
    advance = train_module.Trainer.advance

    def terminate_itself(trainer):
        values = advance(trainer)
        if trainer.step == 2:
            os.kill(os.getpid(), 15)
        return values

    monkeypatch.setattr(train_module.Trainer, "advance", terminate_itself)
    with pytest.raises(Stopped, match="step 2"):
        run("basnet", data, tmp_path / "run", train__save_every=100)
    assert load_tensors(tmp_path / "run/checkpoint/last/trainer.safetensors")[1]["step"] == 2


def test_kill_9_at_any_time_leaves_a_run_that_resumes_to_the_same_bytes(data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("basnet", data, whole, train__save_every=1, train__iterations=40)
    script = textwrap.dedent(f"""
        import os, threading, time, sys
        from pathlib import Path
        from wtal_fast.engine.experiment import train_folder
        from python_tests.engine.tiny import overrides
        delay = float(sys.argv[1])
        def kill():
            while not Path({str(killed)!r}, "config.yaml").exists():
                time.sleep(0.001)
            time.sleep(delay)
            os.kill(os.getpid(), 9)
        threading.Thread(target=kill, daemon=True).start()
        train_folder("basnet/thumos14/official", {str(data)!r}, {str(killed)!r},
                     overrides("basnet", train__save_every=1, train__iterations=40), resume=True, show=False)
    """)
    for delay in ("0.05", "0.1", "0.15"):
        result = subprocess.run([sys.executable, "-c", script, delay], cwd=REPOSITORY, capture_output=True, text=True)
        assert result.returncode in (-9, 0), result.stderr
    settings = overrides("basnet", train__save_every=1, train__iterations=40)
    train_folder("basnet/thumos14/official", data, killed, settings, resume=True, show=False)
    assert bytes_of(whole) == bytes_of(killed)


def test_two_processes_give_the_result_of_one(data, tmp_path):
    script = tmp_path / "both.py"
    script.write_text(textwrap.dedent(f"""
        import torch
        torch.set_num_threads(1)
        from wtal_fast.engine.experiment import train_folder
        from python_tests.engine.tiny import overrides
        for method in {METHODS!r}:
            train_folder(f"{{method}}/thumos14/official", {str(data)!r}, {str(tmp_path / "two")!r} + "/" + method,
                         overrides(method), show=False)
    """))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0",
               "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for method in METHODS:
        run(method, data, tmp_path / "one" / method)
        one, _ = load_tensors(tmp_path / "one" / method / "checkpoint/last/model.safetensors")
        two, _ = load_tensors(tmp_path / "two" / method / "checkpoint/last/model.safetensors")
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], **PROCESSES)


def test_selection_is_named_and_its_checkpoint_is_the_one_scored(data, tmp_path):
    last = run("basnet", data, tmp_path / "last")
    assert last["checkpoint"] == "last state, step 4"
    on_test = run("basnet", data, tmp_path / "test", train__selection="best_on_test", train__eval_every=1)
    assert "best on the test set" in on_test["checkpoint"]
    rows = [json.loads(line) for line in (tmp_path / "test/metrics.jsonl").read_text().splitlines()]
    scores = {row["step"]: row["average_map"] for row in rows if "average_map" in row}
    assert list(scores) == [1, 2, 3, 4]
    best = max(scores, key=lambda step: (scores[step], -step))
    assert load_checkpoint(tmp_path / "test").step == best
    assert on_test["average_map"] == pytest.approx(scores[best])
    held_out = run("basnet", data, tmp_path / "holdout", train__selection="best_on_holdout", train__eval_every=2)
    assert "held-out training videos" in held_out["checkpoint"]


def test_several_click_files_give_one_run_each_and_their_mean(data, tmp_path):
    header = "URLID,URL,TagID,Tag,Start,End,Time,State"
    for number, second in ((1, 1.0), (2, 6.0)):
        rows = [f"video_train_{i},x.mp4,2,background_background,{second},{second},1,1" for i in range(6)]
        (data / f"clicks_{number}.txt").write_text("\n".join([header, *rows]))
    metrics = run("backtal", data, tmp_path / "run", data__clicks="clicks_1.txt,clicks_2.txt")
    assert metrics["runs"] == 2
    parts = [read_json(tmp_path / f"run/clicks-{number}/metrics.json") for number in (1, 2)]
    assert metrics["average_map"] == pytest.approx(sum(part["average_map"] for part in parts) / 2)
    weights = [bytes_of(tmp_path / f"run/clicks-{number}")["model.safetensors"] for number in (1, 2)]
    assert weights[0] != weights[1]


def test_an_override_of_epochs_clears_the_presets_iterations(data, tmp_path):
    settings = overrides("basnet")
    del settings["train.iterations"]
    train_folder("basnet/thumos14/official", data, tmp_path / "run", settings | {"train.epochs": 3}, show=False)
    assert load_checkpoint(tmp_path / "run").step == 6  # six videos in batches of four: two steps an epoch


def test_an_occupied_folder_is_refused_and_other_settings_are_not_resumed(data, tmp_path):
    run("basnet", data, tmp_path / "run")
    before = bytes_of(tmp_path / "run")
    with pytest.raises(InputError, match="a folder without a run"):
        run("basnet", data, tmp_path / "run")
    with pytest.raises(InputError, match=r"train.learning_rate: 0.01 -> 0.5"):
        settings = overrides("basnet", train__learning_rate=0.5)
        train_folder("basnet/thumos14/official", data, tmp_path / "run", settings, resume=True, show=False)
    assert bytes_of(tmp_path / "run") == before


def test_exploding_training_names_step_and_videos_and_keeps_the_checkpoint(data, tmp_path):
    with pytest.raises(InputError, match=r"step \d+ · expected finite losses .* video_train_"):
        run("basnet", data, tmp_path / "run", train__learning_rate=1e30, train__save_every=1)
    assert load_checkpoint(tmp_path / "run").step >= 1


def test_bf16_trains(data, tmp_path):
    metrics = run("backtal", data, tmp_path / "run", train__precision="bf16")
    tensors, _ = load_tensors(tmp_path / "run/checkpoint/last/model.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    assert 0 <= metrics["average_map"] <= 1


def test_batches_of_the_released_basnet_sampler():
    plan = BatchPlan(num_videos=10, batch_size=4, seed=3, sampler="epoch_then_random")
    assert plan.steps_per_epoch == 3
    epoch = torch.cat([plan.indices(step) for step in range(3)])
    assert sorted(epoch.tolist()) == list(range(10))
    for step in range(3, 9):
        drawn = plan.indices(step).tolist()
        assert len(drawn) == len(set(drawn)) == 4
    proper = BatchPlan(num_videos=10, batch_size=4, seed=3)
    for first in (0, 3, 6):
        assert sorted(torch.cat([proper.indices(first + i) for i in range(3)]).tolist()) == list(range(10))
    assert proper.indices(0).tolist() != proper.indices(3).tolist()
