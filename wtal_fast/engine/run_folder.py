"""The folder of a run: settings, metrics, log, checkpoints and results; one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import warnings
import zlib
from pathlib import Path

import yaml

from wtal_fast.config import Config
from wtal_fast.data.formats import read_yaml
from wtal_fast.engine.checkpoint import CheckpointFolder
from wtal_fast.engine.methods import restore_config
from wtal_fast.errors import InputError
from wtal_fast.files import save_text
from wtal_fast.seals import sealed_yaml

FREE = {"data.resident", "train.cuda_graph"}  # settings that change no result: a run may be resumed with others


class RunFolder:
    """RUN/: config.yaml, metrics.jsonl, log.txt, checkpoint/{last,best}, detections.json, metrics.json."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.checkpoints = CheckpointFolder(self.folder / "checkpoint")
        self._lock = None

    def refuse_if_occupied(self) -> None:
        if any((self.folder / name).exists() for name in ("config.yaml", "checkpoint", "metrics.json")):
            raise InputError(self.folder, expected="a folder without a run", found="a run",
                             fix="--resume continues it; or choose another --output")

    def refuse_other_settings(self, config: Config) -> None:
        """Raises unless `config` is what the run in this folder was started with."""
        recorded = self.config()
        if recorded is None:
            return
        old, new = flatten(recorded), flatten(config)
        rows = [f"{key}: {old.get(key)} -> {new.get(key)}" for key in sorted((old.keys() | new.keys()) - FREE)
                if old.get(key) != new.get(key)]
        if not rows:
            return
        raise InputError(self.folder / "config.yaml", expected="the settings the run was started with",
                         found="; ".join(rows), fix="resume with the same settings, or start a new --output")

    def config(self) -> Config | None:
        path = self.folder / "config.yaml"
        if not path.is_file():
            return None
        values = read_yaml(path, "restore it", sealed=True)
        if not isinstance(values, dict):
            raise InputError(path, expected="YAML settings", found=type(values).__name__, fix="restore it")
        return restore_config(values, str(path))

    def open(self, config: Config) -> None:
        """Creates the folder, takes its lock (freed by the system when the process ends) and records the settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / ".lock", "a+")  # noqa: SIM115 (held until the process ends)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            raise InputError(self.folder, expected="a folder no other process writes", found=self._lock.read().strip(),
                             fix="wait for that process or choose another --output") from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._lock.flush()
        for stale in self.folder.glob(".*.tmp"):
            stale.unlink(missing_ok=True)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        save_text(self.folder / "config.yaml", sealed_yaml(text))

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def forget_after(self, step: int) -> None:
        """Drops the rows of metrics.jsonl past `step`, which a resumed run writes again, and damaged ones."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            steps = [_step_of(line) for line in lines]
            if None in steps[:-1]:  # the last one may have been cut by a crash
                warnings.warn(f"{path}: line {steps.index(None) + 1} is damaged and left out", stacklevel=3)
            kept = [line for line, at in zip(lines, steps, strict=True) if at is not None and at <= step]
            save_text(path, "".join(line + "\n" for line in kept))

    def record(self, row: dict) -> None:
        """Appends one row to metrics.jsonl, with the CRC-32 of the row's text without it as last key."""
        text = json.dumps(row)
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(f'{text[:-1]}, "crc32": {zlib.crc32(text.encode())}}}\n')

    def log(self, line: str) -> None:
        with open(self.folder / "log.txt", "a", encoding="utf-8") as file:
            file.write(line + "\n")


def flatten(config: Config) -> dict:
    """Dotted key -> value of a whole configuration."""
    flat = {}
    for section, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{section}.{key}": item for key, item in value.items()}
        else:
            flat[section] = value
    return flat


def _step_of(line: str) -> int | None:
    """The step of a row of metrics.jsonl, None where the row is not as it was written."""
    text, _, checksum = line.rpartition(', "crc32": ')
    if checksum != f"{zlib.crc32(f'{text}}}'.encode())}}}":
        return None
    return json.loads(text + "}")["step"]
