"""The bundled streams: what they hold and how they were packed."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from python_tests.conftest import ROOT
from wtal_fast.config import DataConfig
from wtal_fast.data import streams
from wtal_fast.data.clicks import contradicted_clicks
from wtal_fast.data.streams import load_streams, snippet_features
from wtal_fast.errors import InputError
from wtal_fast.evaluation import detection_map
from wtal_fast.structures import Detections

TIOU = np.arange(0.1, 0.75, 0.1)
sys.path.insert(0, str(ROOT / "scripts"))
import pack_streams  # noqa: E402


@pytest.fixture(scope="module")
def parts():
    return load_streams()


def test_what_the_streams_are(parts):
    train, test = parts
    assert (len(train), len(test), train.feature_dim) == (200, 80, streams.FEATURE_DIM)
    for part in parts:
        counts = np.bincount(part.annotations.video_index, minlength=len(part))
        assert counts.min() >= 2 and counts.max() <= 6
        assert part.raw_lengths.min() >= 30 and part.raw_lengths.max() <= 230
        assert part.labels.sum(0).min() > len(part) / 5 and set(part.labels.sum(1).tolist()) == {1, 2, 3}
        assert part.features.values.isfinite().all() and part.features.values.abs().max() <= streams.OUTLIER
        assert torch.equal(part.durations, part.raw_lengths.double() * 16 / 25)
        segments = part.annotations.segments
        lengths = segments[:, 1] - segments[:, 0]
        assert lengths.min() >= 3.9 and lengths.max() <= 12.1
        assert (segments[:, 1] <= part.durations.numpy()[part.annotations.video_index]).all()
        same = part.annotations.video_index[1:] == part.annotations.video_index[:-1]
        assert (segments[1:, 0] - segments[:-1, 1])[same].min() > 4.9  # background between all actions
        assert 0.3 < lengths.sum() / part.durations.sum() < 0.5


def test_training_features_are_standardised_with_the_training_people(parts):
    values = parts[0].features.values
    torch.testing.assert_close(values.mean(0), torch.zeros(72), atol=0.1, rtol=0)
    assert ((values.std(0) > 0.7) & (values.std(0) < 1.1)).all()


def test_no_person_is_in_both_parts(monkeypatch):
    used = {"train": set(), "test": set()}
    original = streams._cut
    owners = {id(samples): subject for (subject, _, _), samples in streams._recordings().items()}
    current = []

    def spy(samples, seconds, random):
        current.append(owners[id(samples)])
        return original(samples, seconds, random)

    monkeypatch.setattr(streams, "_cut", spy)
    stream = streams._stream

    def remember(recordings, subjects, number, random):
        current.clear()
        found = stream(recordings, subjects, number, random)
        assert len(set(current)) == 1
        used["test" if len(subjects) == 3 else "train"].add(current[0])
        return found

    monkeypatch.setattr(streams, "_stream", remember)
    load_streams(num_train=14, num_test=6)
    assert used == {"train": set(range(1, 8)), "test": {8, 9, 10}}


def test_equal_seeds_give_equal_streams_and_others_do_not():
    first, second, other = (load_streams(seed=seed, num_train=4, num_test=2)[0] for seed in (0, 0, 1))
    assert torch.equal(first.features.values, second.features.values)
    np.testing.assert_array_equal(first.annotations.segments, second.annotations.segments)
    assert first.features.values.shape != other.features.values.shape or not torch.equal(
        first.features.values, other.features.values)


def test_simulated_clicks_of_the_training_part():
    train, test = load_streams(DataConfig(clicks="simulated", click_kinds="background"), num_train=10, num_test=4)
    assert test.clicks is None and train.clicks.is_background.all()
    assert not contradicted_clicks(train.clicks, train.annotations).any()
    assert len(train.clicks) == len(train.annotations) + len(train)  # one more background piece than actions


def test_snippet_features_by_hand():
    samples = np.zeros((48, 6))
    samples[:, 0] = 3
    samples[:, 1] = 4
    samples[:, 3] = np.cos(2 * np.pi * np.arange(48) / 16)  # bin 2 of 32 samples
    found = snippet_features(samples).reshape(3, 9, 8)
    mean, deviation, least, greatest, steps, *bands = found.transpose(1, 0, 2)
    np.testing.assert_allclose(mean[1], [3, 4, 0, 0, 0, 0, 5, np.abs(samples[8:40, 3]).mean()], atol=1e-12)
    np.testing.assert_allclose(deviation[1, :6], [0, 0, 0, 0.5**0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose([least[1, 3], greatest[1, 3]], [-1, 1])
    np.testing.assert_allclose(steps[1, 3], np.abs(np.diff(samples[8:40, 3])).mean())
    np.testing.assert_allclose([band[1, 3] for band in bands], [0, np.log1p(16**2 / 32), 0, 0], atol=1e-12)
    assert snippet_features(samples[:47]).shape == (2, 72) and snippet_features(samples[:16]).shape == (1, 72)


def linear_detector(train):
    """A linear layer trained by top-k pooling of video labels, the weakest form of the methods in this package."""
    batch = train.batch(torch.arange(len(train)), 128, "linear")
    weight = torch.zeros(train.feature_dim, 5, requires_grad=True)
    bias = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=0.03)
    for _ in range(150):
        scores = (batch.features @ weight + bias).topk(16, dim=1).values.mean(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, batch.labels) + 1e-3 * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach(), bias.detach()


def detections(dataset, segments_of):
    rows = [(start, end, score, number, video) for video in range(len(dataset)) for number in range(5)
            for start, end, score in segments_of(video, number)]
    table = np.array(rows)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(int), table[:, 4].astype(int), dataset.class_names,
                      dataset.video_ids)


def test_weak_supervision_solves_it_and_chance_does_not(parts):
    train, test = parts
    weight, bias = linear_detector(train)
    random = np.random.default_rng(0)

    def learned(video, number):
        curve = (test.features.video(video) @ weight + bias)[:, number].sigmoid()
        curve = np.convolve(np.pad(curve.numpy(), 2, mode="edge"), np.full(5, 0.2), mode="valid")
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (curve > 0.4).astype(int), [0]]))).reshape(-1, 2)
        return [(start * 0.64, end * 0.64, curve[start:end].mean()) for start, end in edges]

    def guessed(video, number):
        lengths = random.uniform(4, 12, 20) * float(test.labels[video, number] > 0)
        starts = random.uniform(0, float(test.durations[video]) - lengths)
        return [row for row in zip(starts, starts + lengths, random.random(20), strict=True) if row[1] > row[0]]

    found = detection_map(test.annotations, detections(test, learned), TIOU).average_map
    chance = detection_map(test.annotations, detections(test, guessed), TIOU).average_map
    print(found,chance)
    assert found > 0.5 and chance < 0.2


def test_packed_file_holds_the_original_recordings(shared):
    """Against an independent copy in float32: equal to the last digit of float16 (its rounding may differ by one)."""
    original = np.load(shared / "data/watch_exercises/seglearn_watch.npz")
    with safe_open(streams.PATH, "numpy") as file:
        samples = np.split(file.get_tensor("samples"), file.get_tensor("lengths").cumsum()[:-1])
        for name, key in (("exercise", "y"), ("subject", "subject"), ("side", "side")):
            np.testing.assert_array_equal(file.get_tensor(name), original[key])
        assert len(samples) == 140
        for number, packed in enumerate(samples):
            full = original[f"x{number:03d}"].astype(np.float64)
            wanted = (full[0 : len(full) // 2 * 2 : 2] + full[1::2]) / 2
            np.testing.assert_array_less(np.abs(packed - wanted), 1.01 * np.spacing(np.abs(packed)).astype(np.float64))


def test_the_bundled_file_is_small_and_its_licence_is_beside_it():
    assert streams.PATH.stat().st_size < 2_000_000
    licence = (streams.PATH.parent / "LICENSE-seglearn").read_text()
    assert "Copyright (c) 2018, David M. Burns" in licence and "Redistributions in binary form" in licence


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"x", None])
def test_a_damaged_bundled_file_is_named(tmp_path, monkeypatch, damage):
    path = tmp_path / "watch.safetensors"
    if damage is not None:
        path.write_bytes(damage(streams.PATH.read_bytes()))
    monkeypatch.setattr(streams, "PATH", path)
    with pytest.raises(InputError, match="watch.safetensors · expected the bundled .*SHA.*install wtal_fast again"):
        streams._recordings.__wrapped__()


def test_packing_the_same_recordings_gives_the_same_bytes(tmp_path, shared):
    recordings = pack_streams.read_recordings(shared / "data/watch_exercises/seglearn_watch.npz")
    for name in ("first", "second"):
        pack_streams.pack(recordings, tmp_path / name)
    hashes = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("first", "second")}
    assert len(hashes) == 1


class Evil:
    def __reduce__(self):
        return print, ("ran",)


def object_file(path, value):
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117)
                     + b"\n" + pickle.dumps(value, protocol=2))
    return path


def test_the_unpickler_runs_nothing(tmp_path, capsys):
    with pytest.raises(pickle.UnpicklingError, match="refused: __builtin__.print"):
        pack_streams.read_recordings(object_file(tmp_path / "evil.npy", Evil()))
    assert capsys.readouterr().out == ""
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        pack_streams.read_recordings(object_file(tmp_path / "path.npy", tmp_path))


def test_the_unpickler_reads_arrays_lists_text_and_numbers(tmp_path):
    value = {"X": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(4, dtype=np.int32).reshape(2, 2))],
             "y_labels": ["PEN"], "n": 3}
    path = tmp_path / "watch.npy"
    renamed = pickle.dumps(value, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(object_file(path, None).read_bytes()[:128] + renamed)
    found = pack_streams.read_recordings(path)
    np.testing.assert_array_equal(found["X"][0], value["X"][0])
    np.testing.assert_array_equal(found["X"][1], value["X"][1])
    assert found["y_labels"] == ["PEN"] and found["n"] == 3


def test_importing_the_data_package_stays_light():
    code = "import sys, wtal_fast.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
