"""The click tools of the command line."""

import json

import numpy as np
import pytest

from python_tests.data import layout_cases as cases
from wtal_fast.cli.main import run
from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.click_agreement import agreement, matched
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.clicks import clicks_of_rows
from wtal_fast.structures import Annotations


@pytest.fixture
def truth(tmp_path):
    cases.write_json(tmp_path / "gt.json", cases.database())
    return tmp_path / "gt.json"


def clicks_in(path, truth):
    known = read_annotations(truth)
    return read_clicks(path, known.class_names, known.video_ids, known.durations, fps=known.fps)


@pytest.mark.parametrize("form", ["backtal", "sfnet", "lacp", "json"])
def test_simulated_clicks_in_every_form(tmp_path, truth, form):
    path = tmp_path / f"clicks.{'json' if form == 'json' else 'csv'}"
    assert run(["clicks", "simulate", str(truth), "--output", str(path), "--to", form, "--kinds", "both"]) == 0
    found = clicks_in(path, truth)
    assert found.of_kind("action").video_index.tolist() == [0, 1, 2]  # one instance begins after its video
    assert found.of_kind("background").video_index.tolist() == [0, 0, 1, 1, 2, 2]
    other = tmp_path / f"other.{'csv' if form == 'json' else 'json'}"
    to = "backtal" if form == "json" else "json"
    assert run(["clicks", "convert", str(path), "--ground-truth", str(truth), "--output", str(other), "--to", to]) == 0
    again = clicks_in(other, truth)
    np.testing.assert_allclose(np.sort(again.seconds), np.sort(found.seconds), rtol=1e-12)


def test_noise_misses_and_seeds(tmp_path, truth):
    def simulate(*options):
        path = tmp_path / "clicks.csv"
        assert run(["clicks", "simulate", str(truth), "--output", str(path), "--kinds", "action", *options]) == 0
        return clicks_in(path, truth).seconds

    plain = simulate()
    assert np.array_equal(plain, simulate("--seed", "0")) and not np.array_equal(plain, simulate("--seed", "1"))
    noisy = simulate("--noise", "0.01")
    assert 0 < np.abs(noisy - plain).max() < 0.05
    assert len(simulate("--miss", "1")) == 0
    assert 0 < sum(len(simulate("--miss", "0.5", "--seed", str(seed))) for seed in range(10)) < 40


BAD = {
    "no durations": (["simulate", "{bare}", "--output", "{out}"], "expected a duration .* --durations FILE"),
    "kinds": (["simulate", "{truth}", "--output", "{out}", "--kinds", "all"], "--kinds"),
    "form": (["simulate", "{truth}", "--output", "{out}", "--to", "xml"], "--to · expected backtal, sfnet, lacp, json"),
    "ending": (["simulate", "{truth}", "--output", "{out}", "--to", "json"], "an ending .json"),
    "subset": (["simulate", "{truth}", "--output", "{out}", "--subset", "dev"], "videos of subset 'dev'"),
    "absent": (["convert", "{out}", "--ground-truth", "{truth}", "--output", "{other}"], "expected a click file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_words_are_refused(tmp_path, truth, name, capsys):
    import re

    bare = {video: {key: value for key, value in entry.items() if key != "duration"}
            for video, entry in cases.database()["database"].items()}
    cases.write_json(tmp_path / "bare.json", {"database": bare})
    words, message = BAD[name]
    places = {"truth": truth, "bare": tmp_path / "bare.json", "out": tmp_path / "o.csv", "other": tmp_path / "p.json"}
    assert run(["clicks", *(word.format(**places) for word in words)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "o.csv").exists()


def test_contradicted_clicks_can_be_dropped(tmp_path, truth):
    path, out = tmp_path / "clicks.txt", tmp_path / "kept.json"
    path.write_text("vid_a,0.7,jump\nvid_a,0.7,background\nvid_a,2,background\n")
    assert run(["clicks", "convert", str(path), "--ground-truth", str(truth), "--output", str(out),
                "--drop-contradicted"]) == 0
    assert clicks_in(out, truth).seconds.tolist() == [0.7, 2]


def test_agreement_by_hand(tmp_path, truth, capsys):
    known = Annotations(np.array([[2.0, 4], [6, 8]]), np.array([0, 1]), np.array([0, 0]), ("run", "jump"), ("a",),
                        ("train",), np.array([10.0]), np.array([25.0]))
    rows = {"first": [(1, 2, 0), (5, 2, 0), (3, 2, 0)], "second": [(1.5, 2, 0), (9, 2, 0)], "third": [(3, 0, 0)]}
    clicks = {name: clicks_of_rows(row, known.class_names, known.video_ids) for name, row in rows.items()}
    report = agreement(clicks, known, known.durations, 1.0)
    first = report["annotators"]["first"]
    assert (first["clicks"], first["contradicted"], first["intervals"], first["covered"]) == (3, 1, 3, 0.6667)
    assert first["position"] == 0.5 and first["position_deviation"] == 0.0
    assert report["annotators"]["third"]["intervals"] == 2 and report["annotators"]["third"]["covered"] == 0.5
    pair = report["pairs"]["first, second"]
    assert pair["near"] == 0.4  # one partner: 2 * 1 / (3 + 2)
    assert pair["kappa"] == -0.5  # clicked 110 and 101: agree on 1 of 3, by chance 5 of 9
    assert report["pairs"]["first, third"] == {"near": 0.0, "kappa": None}
    for name, text in (("a", "vid_a,0.7,jump\n"), ("b", "vid_a,0.9,jump\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    words = ["clicks", "agreement", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--ground-truth", str(truth)]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"]["a, b"]["near"] == 1.0
    assert run(words) == 0 and "within 1 s" in capsys.readouterr().out


def test_matching_is_the_largest_there_is():
    def one(*seconds):
        return clicks_of_rows([(second, 0, 0) for second in seconds], ("run",), ("a",))

    assert matched(one(1, 2), one(2, 3), 1) == 2 and matched(one(1, 1.5), one(2), 1) == 1
    assert matched(one(0, 1, 2, 3), one(0.9, 1.1, 5), 0.5) == 1 and matched(one(), one(1), 1) == 0


@pytest.mark.parametrize("people", ["background_clicks", "action_clicks"])
def test_the_annotators_of_thumos14(shared, capsys, people):
    folder = shared / "data/thumos14"
    files = [str(path) for path in sorted((folder / people).glob("*.txt"))]
    assert run(["clicks", "agreement", *files, "--ground-truth", str(folder / "gt_backtal.json"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = list(report["annotators"].values())
    if people == "background_clicks":  # people click anywhere in the background: near uniform places
        assert [row["contradicted"] for row in rows] == [175, 52, 175] and rows[0]["intervals"] == 2880
        assert all(abs(row["position"] - 0.5) < 0.02 for row in rows)
        assert all(abs(row["position_deviation"] - 12**-0.5) < 0.02 for row in rows)
    else:
        assert all(row["covered"] > 0.94 for row in rows)
    assert all(0.3 < pair["near"] < 0.9 for pair in report["pairs"].values())
