"""The bundled default input: sensor streams joined from real smartwatch recordings.

What it is. 140 recordings of ten people doing seven shoulder exercises, 20 repetitions each, with a smartwatch on the
left or right wrist: acceleration and angular rate, six channels (PyPI package seglearn 1.2.5, BSD-3, see
streams/LICENSE-seglearn; the study is arXiv 1802.01489). The signals are real; the streams are not: a recording holds
one exercise, so each stream is made by joining trimmed pieces of one person's recordings of one wrist, with hard cuts.
Five exercises are the actions. The two gentlest, the pendulum (PEN) and the trapezius extension (TRAP), play
background, as an arm that idles between sets would. Joined pieces are easier to tell apart than a person moving on from
one exercise to the next, so scores here say that a method works, not how well it does on video.

Why it is not trivial. People are split: seven train, three test. Abduction and forward elevation, and internal and
external rotation, are easily confused in a window of a second; labels only say which actions occur in a stream.

What to expect (test, mean mAP at tIoU 0.1 to 0.7): a linear classifier trained by top-k pooling of video labels reaches
about 0.69; randomly placed segments with the true labels 0.12; one whole-stream segment for each true label 0.03.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import safe_open

from wtal_fast.config import DataConfig
from wtal_fast.data.dataset import Dataset, from_arrays
from wtal_fast.data.training_clicks import training_clicks
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations

PATH = Path(__file__).parent / "streams" / "watch.safetensors"
SHA256 = "3f5ffdfafc5b441d49ee5b303a590449720320cd3fa2e861c2e984399a83efb9"
SAMPLE_RATE = 25  # per second
SNIPPET = 16  # samples between snippets: 0.64 s, as in video features of 16 frames at 25 per second
WINDOW = 32  # samples a snippet's features are computed of, centred on it: 1.28 s, a third to half of a repetition
TEST_SUBJECTS = (8, 9, 10)
BACKGROUND = ("PEN", "TRAP")
ACTION_NAMES = {"ABD": "abduction", "FEL": "forward_elevation", "IR": "internal_rotation", "ER": "external_rotation",
                "ROW": "row"}
ACTION_SECONDS, BACKGROUND_SECONDS = (4.0, 12.0), (5.0, 14.0)
ACTIONS_PER_STREAM = (2, 6)
OUTLIER = 6.0  # standardised features are clipped here: a few recordings hold knocks of the watch
FEATURE_DIM = 72


def load_streams(config: DataConfig | None = None, seed: int = 0, num_train: int = 200,
                 num_test: int = 80) -> tuple[Dataset, Dataset]:
    """(train, test) streams, equal for equal seeds: 5 classes, 72 features, about 40 to 220 snippets of 0.64 s each.

    The true boundaries are in the annotations, for scoring and for simulated clicks (config.clicks="simulated", train
    only). No person is in both parts.
    """
    recordings = _recordings()
    parts = []
    for subset, count in (("train", num_train), ("test", num_test)):
        subjects = sorted({subject for subject, _, _ in recordings if (subject in TEST_SUBJECTS) == (subset == "test")})
        random = np.random.default_rng([seed, len(parts)])
        parts.append((subset, [_stream(recordings, subjects, number, random) for number in range(count)]))
    features = {subset: [snippet_features(samples) for samples, _ in streams] for subset, streams in parts}
    known = np.concatenate(features["train"])
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    datasets = []
    for subset, streams in parts:
        scaled = [np.clip((array - mean) / deviation, -OUTLIER, OUTLIER) for array in features[subset]]
        datasets.append(_dataset(subset, scaled, [truth for _, truth in streams], config or DataConfig()))
    return datasets[0], datasets[1]


def snippet_features(samples: np.ndarray) -> np.ndarray:
    """[T, 72] float64 of samples [n, 6] (acceleration, angular rate): T = n // 16 snippets, each of the 32 samples
    around it.

    For each of 8 signals, the six channels and the two vector lengths: mean, standard deviation, least, greatest, mean
    absolute difference of neighbouring samples, and log(1 + power) at 0.8, 1.6, 2.3 to 3.1 and 3.9 to 12.5 Hz.
    """
    signals = np.concatenate([samples, np.linalg.norm(samples[:, :3], axis=1, keepdims=True),
                              np.linalg.norm(samples[:, 3:], axis=1, keepdims=True)], axis=1)
    margin = (WINDOW - SNIPPET) // 2
    padded = np.pad(signals, ((margin, WINDOW), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)[::SNIPPET][: len(samples) // SNIPPET]
    mean = windows.mean(2)  # windows [T, 8, 32]
    power = np.abs(np.fft.rfft(windows - mean[:, :, None], axis=2)) ** 2 / WINDOW
    bands = [power[:, :, low:high].sum(2) for low, high in ((1, 2), (2, 3), (3, 5), (5, WINDOW // 2 + 1))]
    steps = np.abs(np.diff(windows, axis=2)).mean(2)
    return np.concatenate([mean, windows.std(2), windows.min(2), windows.max(2), steps, *map(np.log1p, bands)], axis=1)


@cache
def _recordings() -> dict[tuple[int, int, str], np.ndarray]:
    """{(subject, side, exercise): samples [n, 6] float64}, one recording for each wrist."""
    found = hashlib.sha256(PATH.read_bytes()).hexdigest() if PATH.is_file() else "nothing there"
    if found != SHA256:
        raise InputError(PATH, expected=f"the bundled streams, SHA-256 {SHA256[:12]}...", found=found[:13],
                         fix="install wtal_fast again")
    with safe_open(PATH, "numpy") as file:
        exercises = json.loads(file.metadata()["about"])["exercises"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    pieces = np.split(tensors["samples"].astype(np.float64), tensors["lengths"].cumsum()[:-1])
    keys = zip(tensors["subject"].tolist(), tensors["side"].tolist(), tensors["exercise"].tolist(), strict=True)
    return {(subject, side, exercises[exercise]): piece
            for (subject, side, exercise), piece in zip(keys, pieces, strict=True)}


def _stream(recordings, subjects: list[int], number: int, random: np.random.Generator):
    """(samples [n, 6], [(start, end, class name)] s) of one person and wrist: background around each action."""
    subject, side = subjects[number % len(subjects)], int(random.integers(2))
    names = list(ACTION_NAMES)
    others = [name for name in names if name != names[number % len(names)]]
    present = [names[number % len(names)], *random.permutation(others)[: random.integers(3)]]
    count = max(int(random.integers(ACTIONS_PER_STREAM[0], ACTIONS_PER_STREAM[1] + 1)), len(present))
    actions = [*present, *random.choice(present, count - len(present))]
    pieces, truth, position = [], [], 0
    for action in [*random.permutation(actions), None]:
        background = BACKGROUND[int(random.integers(len(BACKGROUND)))]
        for exercise, seconds in ((background, BACKGROUND_SECONDS), (action, ACTION_SECONDS)):
            if exercise is None:
                continue
            piece = _cut(recordings[subject, side, str(exercise)], seconds, random)
            if exercise == action:
                truth.append((position / SAMPLE_RATE, (position + len(piece)) / SAMPLE_RATE, ACTION_NAMES[exercise]))
            pieces.append(piece)
            position += len(piece)
    samples = np.concatenate(pieces)
    return samples[: len(samples) // SNIPPET * SNIPPET], truth


def _cut(samples: np.ndarray, seconds: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    length = min(round(random.uniform(*seconds) * SAMPLE_RATE), len(samples))
    start = int(random.integers(len(samples) - length + 1))
    return samples[start : start + length]


def _dataset(subset: str, features: list[np.ndarray], truth: list[list], config: DataConfig) -> Dataset:
    names = tuple(sorted(ACTION_NAMES.values()))
    ids = tuple(f"{subset}_{number:03d}" for number in range(len(features)))
    rows = [(start, end, names.index(name), number) for number, video in enumerate(truth) for start, end, name in video]
    durations = np.array([len(array) * SNIPPET / SAMPLE_RATE for array in features])
    annotations = Annotations(
        segments=np.array([row[:2] for row in rows], dtype=np.float64), classes=np.array([row[2] for row in rows]),
        video_index=np.array([row[3] for row in rows]), class_names=names, video_ids=ids, subsets=(subset,) * len(ids),
        durations=durations, fps=np.full(len(ids), float(SAMPLE_RATE)))
    clicks = training_clicks(config, annotations, durations) if subset == "train" else None
    return from_arrays(features, annotations=annotations, clicks=clicks, video_ids=ids, durations=durations,
                       config=config)
