"""Presets: YAML files in which every value carries its source, and the overrides `key=value` laid over them.

A preset `<method>/<dataset>/<variant>` is one file presets/<method>/<dataset>/<variant>.yaml:

    about: one line
    extends: [<other presets or presets/datasets/*.yaml, later ones over earlier ones>]
    method: <name>                       (where no parent names it)
    values:
      train.learning_rate: [1.0e-4, "where this value comes from"]
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from wtal_fast.config import Config
from wtal_fast.errors import InputError, nearest_name

PRESET_FOLDERS = [Path(__file__).parent / "presets"]  # register_method appends the folders of other packages
VARIANTS = ("official", "paper", "recommended")
EXCLUSIVE = {"train.iterations": "train.epochs", "train.epochs": "train.iterations"}


@dataclass(frozen=True)
class Sourced:
    """A value, where it comes from, and the preset that set it."""

    value: Any
    source: str
    preset: str


@dataclass(frozen=True)
class Preset:
    """A preset as read: its dotted settings, each with its source, parents laid under it."""

    name: str
    method: str
    about: str
    values: dict[str, Sourced] = field(default_factory=dict)


def preset_names() -> list[str]:
    """Every preset `<method>/<dataset>/<variant>`, sorted."""
    return sorted(
        str(path.relative_to(folder).with_suffix("")) for folder in PRESET_FOLDERS for path in folder.glob("*/*/*.yaml")
    )


def load_preset(name: str) -> Preset:
    """The preset called `name`; `<method>/<dataset>` means its recommended variant."""
    if name.count("/") == 1:
        name += "/recommended"
    names = preset_names()
    if name not in names:
        of_method = [known for known in names if known.startswith(name.partition("/")[0] + "/")]
        fix = nearest_name(name, of_method or names)
        raise InputError(f"preset {name}", expected="a preset name", found=name, fix=fix)
    return _read(name)


def _read(name: str) -> Preset:
    path = next(folder / f"{name}.yaml" for folder in PRESET_FOLDERS if (folder / f"{name}.yaml").is_file())
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    method, values = content.get("method", ""), {}
    for parent in map(_read, content.get("extends", [])):
        method = parent.method or method
        _lay_over(values, parent.values)
    own = {key: Sourced(value, source, name) for key, (value, source) in (content.get("values") or {}).items()}
    _lay_over(values, own)
    return Preset(name, method, content["about"], values)


def _lay_over(values: dict[str, Any], upper: dict[str, Any]) -> None:
    for key, value in upper.items():
        if value is not None:
            values.pop(EXCLUSIVE.get(key), None)
        values[key] = value


def resolve(preset: Preset, arguments: dict[str, Any], overrides: dict[str, Any] | None = None) -> Config:
    """The Config of `preset` with `overrides` (dotted key -> value) laid over it.

    arguments: {"model": callable, "loss": callable}; their signatures are the keys of those two sections.
    Raises InputError for an unknown key (with the nearest name) and for a value of the wrong type or range.
    """
    values = {key: sourced.value for key, sourced in preset.values.items()}
    _lay_over(values, overrides or {})
    known = known_keys(arguments)
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"setting {key}", expected="a known key", found=key, fix=nearest_name(key, known))
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = _checked(key, value, known[key])
    try:
        return Config(method=preset.method, preset=preset.name, **sections)
    except ValidationError as error:
        raise _in_words(error, preset.name) from None


def _in_words(error: ValidationError, preset: str) -> InputError:
    """The first error: key, rule and value; a value of several types has a rule for each."""
    first, *others = error.errors()
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return cause
    messages = [first["msg"], *(other["msg"] for other in others if other["loc"][:2] == first["loc"][:2]
                                and other["input"] is first["input"])]
    expected = " or ".join(dict.fromkeys(map(_rule, messages)))
    key = ".".join(map(str, first["loc"][:2]))  # a later part is an index or a type of a union
    return InputError(f"setting {key}", expected=expected, found=repr(first["input"]),
                      fix=f"wtal-fast explain {preset}")


def _rule(message: str) -> str:
    """What a message of pydantic says is expected."""
    return message.removeprefix("Value error, ").removeprefix("Input should be ")


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """`key=value` words of a command line as a table; values are read as YAML scalars or lists."""
    table = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"argument {word}", expected="key=value", found=word, fix="for example train.seed=1")
        try:
            table[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            table[key.strip()] = text
    return table


def known_keys(arguments: dict[str, Any]) -> dict[str, Any]:
    """Every key of a method's configuration -> its type annotation, or None where its section checks it."""
    keys: dict[str, Any] = {}
    for section, info in Config.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= {f"{section}.{name}": None for name in kind.model_fields}
    for section, function in arguments.items():
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
        names = [name for name in inspect.signature(function).parameters if name != "num_classes"]
        keys |= {f"{section}.{name}": hints.get(name, Any) for name in names}
    return keys


def default_values(arguments: dict[str, Any]) -> dict[str, Any]:
    """Every key of a method's configuration that has a default -> that default."""
    values = {}
    for section, info in Config.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            values |= {f"{section}.{name}": value for name, value in kind().model_dump().items()}
    for section, function in arguments.items():
        parameters = inspect.signature(function).parameters.values()
        values |= {f"{section}.{p.name}": p.default for p in parameters if p.default is not p.empty}
    values.pop("model.num_classes", None)
    return values


def default_reason(key: str) -> str:
    """What `explain` says of a key that no preset sets: "default", and why where the section says so."""
    section, _, name = key.partition(".")
    kind = Config.model_fields[section].annotation
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    reason = fields[name].description if name in fields else None
    return f"default: {reason}" if reason else "default"


def _checked(key: str, value, annotation):
    if annotation is None:
        return value
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        raise InputError(f"setting {key}", expected=_rule(error.errors()[0]["msg"]), found=repr(value),
                         fix="see wtal-fast explain") from None


def describe(values: dict[str, Any]) -> str:
    """A configuration section as YAML text."""
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120)
