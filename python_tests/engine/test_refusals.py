"""What a training run refuses before it writes, and what a resumed one must not accept."""

from __future__ import annotations

import pytest

from python_tests.engine.tiny import interrupt_after, overrides, write_folder
from wtal_fast.engine.experiment import train_folder
from wtal_fast.errors import InputError

HEADER = "URLID,URL,TagID,Tag,Start,End,Time,State\n"


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


def attempt(method, data, output, resume=False, **more):
    settings = overrides(method, **more)
    return train_folder(f"{method}/thumos14/official", data, output, settings, resume=resume, show=False)


@pytest.mark.parametrize(("method", "setting", "value"), [
    ("basnet", "localization.gate", "bounded"),
    ("basnet", "localization.magnitude_thresholds", [0.5]),
    ("uncertainty", "localization.gate", "none"),
    ("basnet", "model.pool_divisor", 0),
    ("basnet", "model.dropout", 3),
    ("basnet", "train.iterations", None),
    ("backtal", "model.kernel_size", 4),
    ("basnet", "train.selection", "best_on_test"),
    ("basnet", "data.clicks", "nofile.txt"),
])
def test_settings_that_do_not_fit_together_leave_no_folder(method, setting, value, data, tmp_path):
    with pytest.raises(InputError):
        attempt(method, data, tmp_path / "run", **{setting.replace(".", "__"): value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("second", ["nofile.txt", "late.txt", ""])
def test_every_click_file_is_read_before_the_first_run(second, data, tmp_path):
    (data / "good.txt").write_text(HEADER + "video_train_0,x,2,background_background,1,1,1,1\n")
    (data / "late.txt").write_text(HEADER + "video_train_0,x,2,background_background,9000,9000,1,1\n")
    with pytest.raises(InputError):
        attempt("backtal", data, tmp_path / "run", data__clicks=f"good.txt,{second}")
    assert not (tmp_path / "run").exists()


def test_one_run_and_several_do_not_share_a_folder(data, tmp_path):
    (data / "a.txt").write_text(HEADER + "video_train_0,x,2,background_background,1,1,1,1\n")
    attempt("backtal", data, tmp_path / "one", data__clicks="a.txt")
    attempt("backtal", data, tmp_path / "two", data__clicks="a.txt,a.txt")
    for folder, clicks in (("one", "a.txt,a.txt"), ("two", "a.txt")):
        before = (tmp_path / folder / "metrics.json").read_bytes()
        for resume in (False, True):
            with pytest.raises(InputError):
                attempt("backtal", data, tmp_path / folder, resume=resume, data__clicks=clicks)
        assert (tmp_path / folder / "metrics.json").read_bytes() == before


def test_other_data_are_not_resumed(data, tmp_path, monkeypatch):
    interrupt_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        attempt("basnet", data, tmp_path / "run", train__save_every=1)
    monkeypatch.undo()
    names = (data / "split_train.txt").read_text().split()
    (data / "split_train.txt").write_text("\n".join(names[:-1]) + "\n")
    with pytest.raises(InputError, match="the classes and videos the run was started with"):
        attempt("basnet", data, tmp_path / "run", resume=True, train__save_every=1)
    (data / "split_train.txt").write_text("\n".join(names) + "\n")
    attempt("basnet", data, tmp_path / "run", resume=True, train__save_every=1)


def test_damaged_settings_of_a_run_are_named(data, tmp_path):
    attempt("basnet", data, tmp_path / "run")
    for text in ("[", "[1]", ""):
        (tmp_path / "run/config.yaml").write_text(text)
        with pytest.raises(InputError, match="config.yaml"):
            attempt("basnet", data, tmp_path / "run", resume=True)
