"""The folder of a run: settings, metrics, log, checkpoints and results; one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

import yaml

from wtal_fast.config import Config
from wtal_fast.engine.checkpoint import CheckpointFolder
from wtal_fast.engine.methods import restore_config
from wtal_fast.errors import InputError
from wtal_fast.files import save_text

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
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            found = str(error).splitlines()[0]
            raise InputError(path, expected="YAML settings", found=found, fix="restore it") from None
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
        save_text(self.folder / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def forget_after(self, step: int) -> None:
        """Drops the rows of metrics.jsonl past `step`: a resumed run writes them again."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            rows = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
            save_text(path, "".join(row + "\n" for row in rows))

    def record(self, row: dict) -> None:
        """Appends one row to metrics.jsonl."""
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

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


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # a row cut short by a crash
        return float("inf")
