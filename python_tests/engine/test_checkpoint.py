"""Checkpoints: the released files are recognised and run; ours are checked bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from python_tests.engine.tiny import write_folder
from python_tests.tolerances import RELEASED_FORWARD
from wtal_fast.cli.main import run
from wtal_fast.engine.checkpoint import (
    CheckpointFolder,
    load_checkpoint,
    load_tensors,
    read_released_state,
    save_tensors,
)
from wtal_fast.engine.experiment import class_names_for
from wtal_fast.errors import InputError
from wtal_fast.files import read_json
from wtal_fast.models.uncertainty import UncertaintyModel

RELEASED = {
    "basnet": ("basnet_official_state_dict.pth", "basnet", {"filter_dim": 32}, "eval/score_supp"),
    "uncertainty": ("um_official_state_dict.pth", "um", {}, "eval/score_act"),
    "backtal": ("backtal_official_checkpoint.pth", "backtal", {"embedding_dim": 16, "embedding_hidden_dim": 64},
                "eval/score_supp"),
}


@pytest.mark.parametrize("method", RELEASED)
def test_a_released_file_alone_gives_method_widths_preset_and_outputs(method, shared):
    file, case, widths, score = RELEASED[method]
    trained = load_checkpoint(shared / "golden/official" / file)
    assert trained.config.method == method
    assert trained.config.preset.endswith("/official")
    assert trained.config.model["feature_dim"] == 48 and trained.config.model["hidden_dim"] == 64
    assert {key: trained.config.model[key] for key in widths} == widths
    assert len(trained.class_names) == 5
    golden = np.load(shared / f"golden/official/{case}.npz")
    with torch.no_grad():
        output = trained.model(torch.from_numpy(golden["in/x"]))
    torch.testing.assert_close(output.video_logits.softmax(1), torch.from_numpy(golden[score]), **RELEASED_FORWARD)


def test_twenty_classes_are_named_in_thumos_order(tmp_path):
    model = UncertaintyModel(feature_dim=6, hidden_dim=8, num_classes=20)
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "net.pkl")
    trained = load_checkpoint(tmp_path / "net.pkl")
    assert trained.config.preset == "uncertainty/thumos14/official"
    assert trained.class_names[0] == "BaseballPitch" and trained.class_names[19] == "VolleyballSpiking"


def test_unnamed_classes_take_the_names_of_a_ground_truth_of_the_same_size(tmp_path):
    data = write_folder(tmp_path / "data")
    for count, expected in ((2, ("Jump", "Throw")), (3, ("class_0", "class_1", "class_2"))):
        model = UncertaintyModel(feature_dim=6, hidden_dim=8, num_classes=count)
        torch.save(model.state_dict(), tmp_path / "net.pkl")
        assert class_names_for(load_checkpoint(tmp_path / "net.pkl"), data) == expected


def test_localize_runs_a_released_file(shared, tmp_path, capsys):
    data = write_folder(tmp_path / "data")
    random = np.random.default_rng(0)
    for stream in ("rgb", "flow"):
        for path in (data / f"features/test/{stream}").glob("*.npy"):
            np.save(path, random.normal(size=(40, 24)).astype(np.float32))
    for method, (file, *_) in RELEASED.items():
        output = tmp_path / f"{method}.json"
        code = run(["localize", str(shared / "golden/official" / file), "--data", str(data), "--output", str(output),
                    "localization.class_threshold=0"])
        assert code == 0, capsys.readouterr().err
        found = read_json(output)["results"]
        assert found and all(name.startswith("video_test") for name in found)
        assert f"{method} ({method}/thumos14/official), 5 classes" in capsys.readouterr().err


@pytest.mark.parametrize("content", [
    b"", b"not a checkpoint", b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echoq\x85R."])
def test_other_files_are_refused_without_running_them(content, tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="x.pth"):
        load_checkpoint(path)


def test_a_flipped_bit_of_a_released_zip_is_seen(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"weight": torch.arange(1000.0)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        read_released_state(path)


def test_sparse_tensors_and_objects_are_refused(tmp_path):
    for value in (torch.eye(3).to_sparse(), "text", 3):
        torch.save({"weight": value}, tmp_path / "x.pth")
        with pytest.raises(InputError):
            read_released_state(tmp_path / "x.pth")


def test_every_flipped_bit_of_ours_is_seen(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"a": torch.arange(7.0), "b": torch.zeros(0, 3), "c": torch.tensor(2, dtype=torch.int64)}
    save_tensors(path, tensors, {"step": 3})
    loaded, header = load_tensors(path)
    assert header["step"] == 3 and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    content = path.read_bytes()
    for position in range(0, len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            again, header = load_tensors(path)
        except InputError:
            continue
        assert header["step"] == 3 and all(torch.equal(again[name], tensors[name]) for name in tensors), position
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            load_tensors(path)


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_tensors(tmp_path / name, {"y": torch.ones(3), "x": torch.zeros(2)}, {"k": [1], "a": {"z": 1, "b": 2}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_links_move_to_whole_checkpoints_only_and_old_ones_go(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoint")
    file = {"model.safetensors": ({"x": torch.ones(1)}, {"step": 0})}
    folder.save(1, file, ("last", "best"))
    folder.save(2, file, ("last",))
    folder.save(3, file, ("last",))
    assert folder.path("last").name == "step-00000003" and folder.path("best").name == "step-00000001"
    assert folder.path("previous").name == "step-00000002"
    folder.save(4, file, ("last",))
    left = ["step-00000001", "step-00000003", "step-00000004"]
    assert sorted(path.name for path in folder.folder.glob("step-*")) == left
    folder.fall_back()
    assert folder.path("last").name == folder.path("previous").name == "step-00000003"
    assert sorted(path.name for path in folder.folder.glob("step-*")) == left[:2]
    with pytest.raises(AttributeError):
        folder.save(4, {"model.safetensors": ({"x": None}, {})}, ("last",))
    assert folder.path("last").name == "step-00000003"
