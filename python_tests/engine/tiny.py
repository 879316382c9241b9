"""A data folder so small that a step takes milliseconds: 6 training and 3 test videos, 2 classes, 6 channels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wtal_fast.engine.train import Trainer

CLASSES = ("Jump", "Throw")
WIDTHS = {"model.feature_dim": 6, "model.hidden_dim": 8, "data.num_snippets": 16, "data.class_names": None}
NARROW = {
    "basnet": {"model.filter_dim": 4},
    "uncertainty": {},
    "backtal": {"model.filter_dim": 4, "model.embedding_hidden_dim": 4, "model.embedding_dim": 4,
                "data.clicks": "simulated"},
}


def overrides(method: str, **more) -> dict:
    """Settings of a tiny run of `method`: widths, two steps, batches of four; `more` with __ for the dot."""
    settings = {**WIDTHS, **NARROW[method], "train.iterations": 4, "train.batch_size": 4, "train.learning_rate": 1e-2}
    for key, value in more.items():
        settings[key.replace("__", ".")] = value
    return settings


def words(settings: dict) -> list[str]:
    """The settings as `key=value` words of a command line."""
    return [f"{key}={'null' if value is None else value}" for key, value in settings.items()]


def interrupt_after(step: int, monkeypatch) -> None:
    """Training raises KeyboardInterrupt once `step` optimizer steps are done, until monkeypatch.undo()."""
    advance = Trainer.advance

    def interrupted(trainer):
        if trainer.step == step:
            raise KeyboardInterrupt
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", interrupted)


def write_folder(root: Path, seed: int = 0) -> Path:
    """The data folder, in the layout of BaS-Net and UM, with rgb and flow of 3 channels each."""
    random = np.random.default_rng(seed)
    database = {}
    for subset, count in (("train", 6), ("test", 3)):
        names = [f"video_{subset}_{number}" for number in range(count)]
        for number, name in enumerate(names):
            length = 12 + 3 * number
            label = CLASSES[number % 2]
            features = random.normal(0, 0.3, (length, 6)).astype(np.float32)
            features[4:8, number % 2] += 2
            for stream, columns in (("rgb", slice(0, 3)), ("flow", slice(3, 6))):
                path = root / "features" / subset / stream / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, features[:, columns])
            segment = [str(4 * 0.64), str(8 * 0.64)]
            database[name] = {"subset": subset, "annotations": [{"segment": segment, "label": label}]}
        (root / f"split_{subset}.txt").write_text("\n".join(names) + "\n")
    (root / "gt.json").write_text(json.dumps({"database": database}))
    return root
