"""Bad input on the command line: one clear error, exit code 2, nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import wtal_fast
from python_tests.conftest import ROOT
from python_tests.engine.tiny import overrides, words, write_folder
from wtal_fast.cli.main import run
from wtal_fast.models.uncertainty import UncertaintyModel


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def train(data, output, *extra, method="basnet"):
    settings = words(overrides(method))
    return ["train", f"{method}/thumos14/official", "--data", str(data), "--output", str(output), *settings, *extra]


def missing_file(data):
    (data / "features/train/flow/video_train_2.npy").unlink()
    return [], ["video_train_2", "flow"]


def wrong_width(data):
    for path in data.glob("features/*/rgb/*.npy"):
        np.save(path, np.zeros((len(np.load(path)), 4), np.float32))
    return [], ["model.feature_dim=6", "7"]


def one_odd_width(data):
    np.save(data / "features/train/rgb/video_train_1.npy", np.zeros((15, 5), np.float32))
    return [], ["video_train_1"]


def not_a_number(data):
    path = data / "features/train/rgb/video_train_1.npy"
    array = np.load(path)
    array[3, 1] = np.nan
    np.save(path, array)
    return [], ["video_train_1", "finite", "3"]


def empty_video(data):
    for stream in ("rgb", "flow"):
        np.save(data / f"features/test/{stream}/video_test_0.npy", np.zeros((0, 3), np.float32))
    return [], ["video_test_0"]


def unknown_class(data):
    return ["data.class_names=[Jump, Run]"], ["Throw", "gt.json"]


def click_outside(data):
    row = "video_train_0,x,2,background_background,500,500,1,1"
    (data / "clicks.txt").write_text(f"URLID,URL,TagID,Tag,Start,End,Time,State\n{row}\n")
    return ["data.clicks=clicks.txt"], ["clicks.txt", "video_train_0", "500"]


def absent_video(data):
    with open(data / "split_train.txt", "a") as file:
        file.write("video_train_99\n")
    return [], ["split_train.txt", "video_train_99"]


def unknown_key(data):
    return ["train.learning_rat=0.1"], ["train.learning_rat", "train.learning_rate"]


def wrong_value(data):
    return ["train.batch_size=-3"], ["train.batch_size", "-3"]


def wrong_choice(data):
    return ["loss.class_loss=hinge"], ["loss.class_loss", "hinge"]


def no_data(data):
    return ["--data", str(data / "nowhere")], ["nowhere"]


def unknown_device(data):
    return ["--device", "tpu"], ["cpu or cuda"]


ROW = {"label": "Jump", "score": 1, "segment": [2.56, 5.12]}
CASES = (missing_file, wrong_width, one_odd_width, not_a_number, empty_video, unknown_class, absent_video, unknown_key,
         wrong_value, wrong_choice, no_data, unknown_device)


def refused(words_, capsys, output, expected):
    assert run(words_) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for text in expected:
        assert text in error, error
    assert not output.exists()


@pytest.mark.parametrize("spoil", CASES, ids=lambda case: case.__name__)
def test_training_refuses(spoil, data, tmp_path, capsys):
    extra, expected = spoil(data)
    refused(train(data, tmp_path / "run", *extra), capsys, tmp_path / "run", expected)


def test_training_refuses_a_click_outside_the_video(data, tmp_path, capsys):
    extra, expected = click_outside(data)
    refused(train(data, tmp_path / "run", *extra, method="backtal"), capsys, tmp_path / "run", expected)


def test_training_refuses_a_click_method_without_clicks(data, tmp_path, capsys):
    words_ = train(data, tmp_path / "run", "data.clicks=null", method="backtal")
    refused(words_, capsys, tmp_path / "run", ["data.clicks=FILE or simulated", "data.click_kinds=none"])
    assert run([*words_, "data.click_kinds=none"]) == 0


def test_training_refuses_a_folder_that_holds_a_run(data, tmp_path, capsys):
    output = tmp_path / "run"
    assert run(train(data, output)) == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert run(train(data, output)) == 2
    assert "--resume" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


@pytest.mark.parametrize("preset", ["basnet/thumos15/official", "basnett/thumos14/official", "nothing"])
def test_an_unknown_preset_names_a_near_one(preset, data, tmp_path, capsys):
    assert run(["train", preset, "--data", str(data), "--output", str(tmp_path / "run")]) == 2
    assert "basnet/thumos14" in capsys.readouterr().err or preset == "nothing"
    assert not (tmp_path / "run").exists()


def test_localize_refuses_what_is_not_a_checkpoint(data, tmp_path, capsys):
    wrong = tmp_path / "wrong.pkl"
    wrong.write_bytes(b"cos\nsystem\n(S'touch /tmp/should_not_exist'\ntR.")
    output = tmp_path / "found.json"
    refused(["localize", str(wrong), "--data", str(data), "--output", str(output)], capsys, output, ["wrong.pkl"])
    words_ = ["localize", str(tmp_path), "--data", str(data), "--output", str(output)]
    refused(words_, capsys, output, ["no checkpoint"])


def test_localize_refuses_what_would_not_change_the_weights(data, tmp_path, capsys):
    assert run(train(data, tmp_path / "run")) == 0
    output = tmp_path / "found.json"
    words_ = ["localize", str(tmp_path / "run"), "--data", str(data), "--output", str(output)]
    capsys.readouterr()
    refused([*words_, "--preset", "basnet/thumos14/official"], capsys, output, ["--preset", "records its own"])
    for key in ("model.hidden_dim", "loss.class_loss", "train.seed", "evaluation.tiou", "seed"):
        refused([*words_, f"{key}=1"], capsys, output, [f"setting {key}", "train.precision"])
    refused([*words_, "data.class_names=[Throw, Jump]"], capsys, output, ["data.class_names", "Jump, Throw"])
    assert run([*words_, "train.precision=bf16", "localization.class_threshold=0"]) == 0
    assert "preset basnet/thumos14/official: recorded in the checkpoint" in capsys.readouterr().err


def test_class_names_of_a_released_file_are_given(data, tmp_path, capsys):
    torch.save(UncertaintyModel(feature_dim=6, hidden_dim=8, num_classes=3).state_dict(), tmp_path / "net.pkl")
    output = tmp_path / "found.json"
    words_ = ["localize", str(tmp_path / "net.pkl"), "--data", str(data), "--output", str(output)]
    refused([*words_, "data.class_names=[a, b]"], capsys, output, ["data.class_names", "3 names"])
    assert run([*words_, "data.class_names=[c, b, a]"]) == 0
    error = capsys.readouterr().err
    assert "3 classes: c, b, a" in error and "chosen by the number of classes" in error


def test_outputs_are_checked_before_any_work(data, tmp_path, capsys):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("kept")
    nowhere = str(tmp_path / "nowhere")
    for words_ in (["localize", nowhere, "--data", nowhere], ["evaluate", nowhere, nowhere]):
        for output, expected in ((data, "a file to write"), (in_the_way / "x.json", str(in_the_way))):
            assert run([*words_, "--output", str(output)]) == 2
            error = capsys.readouterr().err
            assert expected in error and nowhere not in error
    for output in (in_the_way, in_the_way / "demo"):
        assert run(["demo", "--output", str(output)]) == 2
        assert "expected a folder" in capsys.readouterr().err
    assert in_the_way.read_text() == "kept"


def test_an_output_without_permission_is_refused(tmp_path, capsys, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: str(closed) not in str(path))  # root may write everywhere
    for words_ in (["localize", "x", "--data", "x", "--output", str(closed / "x.json")],
                   ["demo", "--output", str(closed / "a" / "b")]):
        assert run(words_) == 2
        assert "permission" in capsys.readouterr().err


def test_an_early_interrupt_says_stopped(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("wtal_fast.engine.methods.load_plugins", interrupt)
    assert run(["train", "basnet/streams", "--data", "x", "--output", "x"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_the_version_is_shown(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"wtal-fast {wtal_fast.__version__}\n"


def test_a_damaged_checkpoint_is_named(data, tmp_path, capsys):
    assert run(train(data, tmp_path / "run")) == 0
    path = tmp_path / "run/checkpoint/last/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert run(["localize", str(tmp_path / "run"), "--data", str(data), "--output", str(tmp_path / "x.json")]) == 2
    assert "SHA-256" in capsys.readouterr().err


def test_evaluate_refuses_bad_files(data, tmp_path, capsys):
    found = tmp_path / "found.json"
    for content, expected in (('{"results": {"v": [{"label": "Jump", "score": NaN, "segment": [0, 1]}]}}', "NaN"),
                              ('{"results": {}, "results": {}}', "results"), ("{", "valid JSON"), ("[]", "found.json"),
                              (json.dumps({"results": {"v": [ROW | {"segment": [5, 2]}]}}), "start <= end"),
                              (json.dumps({"results": {"v": [ROW | {"segment": [1, 2, 3]}]}}), "[start, end]"),
                              (json.dumps({"results": {"v": [ROW | {"score": "high"}]}}), "a finite score"),
                              (json.dumps({"results": {"v": [ROW | {"label": 7}]}}), "a label")):
        found.write_text(content)
        assert run(["evaluate", str(found), str(data / "gt.json")]) == 2
        assert expected in capsys.readouterr().err
    found.write_text(json.dumps({"results": {"video_test_0": [ROW]}}))
    assert run(["evaluate", str(found), str(data / "gt.json"), "--subset", "nothing"]) == 2
    assert run(["evaluate", str(found), str(data / "gt.json"), "--tiou", "0.7:0.1:0.1"]) == 2
    assert run(["evaluate", str(found), str(data / "gt.json"), "--output", str(tmp_path / "metrics.json")]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["num_videos"] == 3 and metrics["per_class"]["Jump"][0] == 0.5


def test_evaluate_refuses_a_bad_ground_truth(data, tmp_path, capsys):
    found, truth = tmp_path / "found.json", tmp_path / "truth.json"
    found.write_text(json.dumps({"results": {"v": [ROW]}}))
    entry = {"subset": "test", "annotations": [{"label": "Jump", "segment": [0, 1]}]}
    for content, expected in (({"results": {}}, "detections (key 'results')"), ({"database": {}}, "no videos"),
                              ({"database": {"v": entry | {"subset": None}}}, "a subset"),
                              ({"database": {"v": entry | {"annotations": [{"label": "Jump", "segment": [3, 1]}]}}},
                               "0 <= start <= end"),
                              ({"database": {"v": entry | {"annotations": []}}}, "at least one instance")):
        truth.write_text(json.dumps(content))
        assert run(["evaluate", str(found), str(truth)]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert expected in error and "Traceback" not in error
    truth.write_text('{"database": {"v": {"subset": "test", "annotations": [{"label": "Jump", "segment": [0, NaN]}]}}}')
    assert run(["evaluate", str(found), str(truth)]) == 2
    assert "NaN" in capsys.readouterr().err


def test_evaluate_says_what_it_does_not_score(data, tmp_path, capsys):
    found = tmp_path / "found.json"
    found.write_text(json.dumps({"results": {"video_test_0": [ROW, ROW | {"label": "Fly"}], "elsewhere": [ROW]}}))
    with pytest.warns(UserWarning) as warned:
        assert run(["evaluate", str(found), str(data / "gt.json")]) == 0
    said = " ".join(str(one.message) for one in warned)
    assert "ignored 1 detections of 1 labels without ground truth: Fly" in said
    assert "counted as false positives 1 detections of 1 videos that are not annotated" in said


def test_the_installed_command_and_evaluate_without_torch(data, tmp_path):
    found = tmp_path / "found.json"
    found.write_text(json.dumps({"results": {"video_test_0": [ROW]}}))
    script = ("import sys; from wtal_fast.cli.main import run; code = run(sys.argv[1:]); "
              "assert 'torch' not in sys.modules; sys.exit(code)")
    result = subprocess.run([sys.executable, "-c", script, "evaluate", str(found), str(data / "gt.json")],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "average" in result.stdout


def test_a_warning_is_one_line_of_words(tmp_path):
    truth = {"database": {"a": {"subset": "test", "annotations": [{"segment": [0, 1], "label": "wave"}]}}}
    found = {"results": {"b": [{"segment": [0, 1], "label": "wave", "score": 1.0}]}}
    for name, content in (("gt.json", truth), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(content))
    command = [sys.executable, "-m", "wtal_fast", "evaluate", "found.json", "gt.json", "--subset", "test"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert done.stderr == "warning: counted as false positives 1 detections of 1 videos that are not annotated\n"
