"""YAML files of users: plain values only, each key once, nothing referred to twice."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from wtal_fast.data.formats.source import open_file, read_exactly
from wtal_fast.errors import InputError
from wtal_fast.seals import check_seal

MAX_YAML_BYTES = 2**20


def read_yaml(path: str | os.PathLike, fix: str = "check the path", sealed: bool = False):
    """The content of a YAML file: mappings, lists, text, numbers, dates.

    Raises InputError for tags that make objects, for aliases (a file of some lines can stand for gigabytes of them),
    keys that occur twice, deep nesting and files above MAX_YAML_BYTES. fix: what to do about a missing or bad file.
    A seal at its end is checked (wtal_fast.seals); sealed: there must be one."""
    path = Path(path)
    with open_file(path, "a YAML file", fix) as (file, size):
        if size > MAX_YAML_BYTES:
            raise InputError(path, expected=f"at most {MAX_YAML_BYTES} bytes", found=f"{size} bytes", fix=fix)
        content = bytearray(size)
        read_exactly(file, 0, content)
    check_seal(content, path, needed=sealed)
    loader = None
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        found = error.problem or error.context or "damage"
        raise InputError(path, line, expected="YAML", found=found, fix=fix) from None
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason,
                         fix="save the file as UTF-8") from None
    except RecursionError:
        raise InputError(path, expected="moderate nesting", found="nesting too deep to parse", fix=fix) from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:  # dates and numbers that do not exist
        raise InputError(path, expected="YAML", found=str(error).splitlines()[0][:120], fix=fix) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases and without a key twice."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, f"the alias *{event.anchor} (write the value out)",
                                              event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)
