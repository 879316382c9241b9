"""From a method's name to its model, its loss and its checked configuration."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from wtal_fast.config import Config
from wtal_fast.errors import InputError, nearest_name
from wtal_fast.preset_files import PRESET_FOLDERS, Preset, load_preset, resolve


@dataclass(frozen=True)
class Method:
    """model: class called with the `model:` settings and num_classes. loss: class called with the `loss:` settings."""

    name: str
    model: type
    loss: type

    @property
    def arguments(self) -> dict[str, type]:
        return {"model": self.model, "loss": self.loss}


_registered: dict[str, Method] = {}


def register_method(name: str, model: type, loss: type, presets: str | Path | None = None) -> None:
    """Makes a method defined outside this package trainable as `<name>/<dataset>/<variant>`.

    presets: a folder with <name>/<dataset>/<variant>.yaml. A package that lists a function calling this under the entry
    point group `wtal_fast.methods` is registered by every command.
    """
    _registered[name] = Method(name, model, loss)
    if presets is not None and Path(presets) not in PRESET_FOLDERS:
        PRESET_FOLDERS.append(Path(presets))


def method_names() -> list[str]:
    """The built-in methods (one file each in models/ and losses/) and the registered ones."""
    folder = Path(__file__).parents[1] / "losses"
    built_in = (path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "mil"))
    return sorted({*built_in, *_registered})


def load_plugins() -> None:
    """Calls the entry points of group wtal_fast.methods: other packages register their methods there."""
    for point in entry_points(group="wtal_fast.methods"):
        point.load()()


def find_method(name: str) -> Method:
    """The registered method `name`, else wtal_fast.models.<name> with wtal_fast.losses.<name>; else InputError."""
    if name in _registered:
        return _registered[name]
    if name not in method_names():
        near = nearest_name(name, method_names())
        raise InputError(f"method {name}", expected="a known method", found=name, fix=near)
    model = importlib.import_module(f"wtal_fast.models.{name}").MODEL
    loss = importlib.import_module(f"wtal_fast.losses.{name}").LOSS
    return Method(name, model, loss)


def configure(preset: str | Preset, overrides: dict | None = None) -> Config:
    """The checked configuration of a preset, by name, with dotted-key overrides."""
    preset = load_preset(preset) if isinstance(preset, str) else preset
    return resolve(preset, find_method(preset.method).arguments, overrides)


def restore_config(values: dict, source: str) -> Config:
    """The configuration a run or checkpoint recorded, checked again against today's method."""
    flat = {f"{section}.{key}": value for section, table in values.items() if isinstance(table, dict)
            for key, value in table.items()}
    try:
        recorded = Preset(values.get("preset", ""), values["method"], "")
    except KeyError:
        raise InputError(source, "method", expected="the name of a method", found="no such key") from None
    return resolve(recorded, find_method(recorded.method).arguments, flat)


def build_model(config: Config, num_classes: int):
    """A fresh model of the configured method."""
    return find_method(config.method).model(num_classes=num_classes, **config.model)


def build_loss(config: Config):
    """The loss of the configured method."""
    return find_method(config.method).loss(**config.loss)
