"""Checkpoints: safetensors with checksums, written whole or not at all; released .pkl and .pth files read safely."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from wtal_fast.config import Config
from wtal_fast.data.formats import ArrayRef, open_tree
from wtal_fast.data.problems import ProblemList
from wtal_fast.engine.methods import build_model, configure, find_method, method_names, restore_config
from wtal_fast.errors import InputError
from wtal_fast.files import sync_folder

FORMAT = "wtal_fast/1"
DATASETS_BY_CLASSES = {20: "thumos14", 100: "activitynet12", 200: "activitynet13", 34: "beoid", 7: "gtea"}


@dataclass
class TrainedModel:
    """A model in eval mode with what is needed to run it: its configuration, class order and training step."""

    model: torch.nn.Module
    config: Config
    class_names: tuple[str, ...]
    step: int | None = None
    named: bool = True  # False: class_names are class_0, class_1, ... for want of better


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict) -> None:
    """Writes tensors and JSON metadata to a safetensors file; equal content gives equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    digests = {name: _digest(tensor) for name, tensor in tensors.items()}
    header = json.dumps({"format": FORMAT, "sha256": digests, **metadata}, sort_keys=True)
    signed = hashlib.sha256(header.encode()).hexdigest() + header
    save_file(tensors, path, metadata={"wtal_fast": signed})  # one key: the order of several is not fixed
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """(tensors, metadata) of a file of save_tensors, every tensor checked against its SHA-256."""
    try:
        with safe_open(path, framework="pt") as file:
            signed = (file.metadata() or {})["wtal_fast"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(path, expected="a wtal_fast checkpoint (safetensors)", found=found,
                         fix="the file is damaged or was not written by this package") from None
    if hashlib.sha256(signed[64:].encode(errors="replace")).hexdigest() != signed[:64]:
        raise InputError(path, "metadata", expected="the text that was saved", found="another SHA-256",
                         fix="the file is damaged: take an older checkpoint")
    header = json.loads(signed[64:])
    if header.get("format") != FORMAT:
        raise InputError(path, "format", expected=FORMAT, found=str(header.get("format")), fix="update wtal_fast")
    for name in tensors.keys() | header["sha256"].keys():
        if name not in tensors or header["sha256"].get(name) != _digest(tensors[name]):
            raise InputError(path, f"tensor {name}", expected="the bytes that were saved", found="another SHA-256",
                             fix="the file is damaged: take an older checkpoint")
    return tensors, header


def _digest(tensor: torch.Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class CheckpointFolder:
    """RUN/checkpoint: one folder a saved step; `last`, `previous` (what `last` was before) and `best` are links, moved
    once that folder is on disk."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, step: int, files: dict[str, tuple[dict, dict]], names: tuple[str, ...]) -> None:
        """Writes {file name: (tensors, metadata)} for `step` and points the links `names` ("last", "best") to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step-{step:08d}"
        if not target.is_dir():
            temporary = self.folder / f".{target.name}.{os.getpid()}.tmp"
            temporary.mkdir()
            for name, (tensors, metadata) in files.items():
                save_tensors(temporary / name, tensors, metadata)
            sync_folder(temporary)
            os.rename(temporary, target)
        before = self.path("last")
        if "last" in names and before is not None and before.name != target.name:
            self._link("previous", before.name)
        for name in names:
            self._link(name, target.name)
        sync_folder(self.folder)
        self._remove_unused()

    def fall_back(self) -> None:
        """Makes `previous` the last checkpoint and removes the damaged one."""
        damaged = self.path("last")
        self._link("last", self.path("previous").name)
        sync_folder(self.folder)
        shutil.rmtree(damaged, ignore_errors=True)

    def _link(self, name: str, target: str) -> None:
        link = self.folder / f".{name}.tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        os.replace(link, self.folder / name)

    def path(self, name: str) -> Path | None:
        """The folder `last`, `previous` or `best` points to, or None."""
        link = self.folder / name
        return link.resolve() if link.exists() else None

    def _remove_unused(self) -> None:
        used = {self.path(name) for name in ("last", "previous", "best")}
        for path in [*self.folder.glob("step-*"), *self.folder.glob(".step-*.tmp")]:
            if path.resolve() not in used:
                shutil.rmtree(path, ignore_errors=True)


def model_metadata(config: Config, class_names: tuple[str, ...], step: int | None, named: bool = True) -> dict:
    """What a checkpoint says of its model besides the tensors."""
    return {"config": config.model_dump(mode="json"), "class_names": list(class_names), "named": named,
            "step": step}


def load_checkpoint(path: str | os.PathLike, preset: str | None = None) -> TrainedModel:
    """A trained model from a run folder, one of our safetensors files, or a .pkl/.pth file of the released code.

    Of a released file the method is recognised by its parameter names and the widths by their shapes; the preset is
    the official one of the data set with that number of classes unless `preset` names another.
    """
    path = Path(path)
    if path.is_dir():
        return _load_ours(_model_file(path))
    if not path.is_file():
        raise InputError(path, expected="a run folder or checkpoint file", found="nothing there", fix="check the path")
    return _load_ours(path) if path.suffix == ".safetensors" else _load_released(path, preset)


def _model_file(folder: Path) -> Path:
    candidates = [folder / "checkpoint" / name / "model.safetensors" for name in ("best", "last")]
    candidates.append(folder / "model.safetensors")
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise InputError(folder, expected="a run with checkpoint/last/model.safetensors", found="no checkpoint",
                         fix="train first, or name the file")
    return found


def _load_ours(path: Path) -> TrainedModel:
    tensors, header = load_tensors(path)
    config = restore_config(header["config"], str(path))
    class_names = tuple(header["class_names"])
    model = build_model(config, len(class_names))
    _load_weights(model, tensors, path)
    return TrainedModel(model.eval(), config, class_names, header["step"], header["named"])


def _load_weights(model: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        rows = ", ".join(f"{name}: expected {wanted.get(name)}, found {found.get(name)}" for name in different[:10])
        raise InputError(path, "parameters", expected="those of the model", found=rows, fix="another preset or widths?")
    model.load_state_dict(tensors)


def _load_released(path: Path, preset: str | None) -> TrainedModel:
    tensors = read_released_state(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in method_names():
        widths = find_method(name).model.widths_of(shapes)
        if widths is not None:
            break
    else:
        raise InputError(path, "parameters", expected="those of " + ", ".join(method_names()),
                         found=", ".join(sorted(shapes)[:6]), fix="is this a checkpoint of another method?")
    num_classes = widths.pop("num_classes")
    dataset = DATASETS_BY_CLASSES.get(num_classes, "thumos14")
    config = configure(preset or f"{name}/{dataset}/official", {f"model.{key}": value for key, value in widths.items()})
    class_names = config.data.class_names
    named = class_names is not None and len(class_names) == num_classes
    if not named:
        class_names = tuple(f"class_{index}" for index in range(num_classes))
    model = build_model(config, num_classes)
    _load_weights(model, tensors, path)
    return TrainedModel(model.eval(), config, class_names, named=named)


def read_released_state(path: Path) -> dict[str, torch.Tensor]:
    """The dense tensors of a torch-saved state_dict, or of {"state_dict": ...}; nothing in the file is executed, and
    no unpickler, torch's neither, meets it."""
    content = open_tree(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise InputError(path, expected="a state_dict", found=type(content).__name__, fix="save model.state_dict()")
    problems = ProblemList(path)
    for name, value in state.items():
        if not isinstance(value, ArrayRef) or value.dtype.kind not in "biuf":
            problems.add(ascii(name)[:80], expected="a dense tensor", found=type(value).__name__,
                         fix="save model.state_dict()")
    problems.raise_any()
    return {str(name).removeprefix("module."): torch.from_numpy(value.read()) for name, value in state.items()}
