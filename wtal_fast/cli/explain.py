"""`wtal-fast explain`: every value of a preset with its source, and where the other variants differ."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    preset: Annotated[str, typer.Argument(help="method/dataset/variant; without it the presets are listed")] = "",
) -> None:
    """Print every value of PRESET, where it comes from, and what the other variants use instead.

    A table on a terminal; elsewhere one line a value, its fields separated by tabs.
    """
    from rich.console import Console
    from rich.table import Table

    from wtal_fast.engine.methods import configure, load_plugins
    from wtal_fast.preset_files import load_preset, preset_names

    load_plugins()
    if preset:
        chosen = load_preset(preset)
        configure(chosen)
        title, header, rows = f"{chosen.name}: {chosen.about}", *_rows(chosen)
    else:
        title, header = "presets", ("preset", "what it is")
        rows = [(name, load_preset(name).about) for name in preset_names()]
    console = Console()
    if not console.is_terminal:
        print("\n".join("\t".join(row) for row in (header, *rows)))
        return
    table = Table(*header, title=title, title_justify="left")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _rows(chosen) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Column titles, and for each key its value, its source and the other variants' value where it differs."""
    from wtal_fast.engine.methods import find_method
    from wtal_fast.preset_files import VARIANTS, default_reason, default_values, load_preset, preset_names

    method, dataset, own = chosen.name.split("/")
    names = [f"{method}/{dataset}/{variant}" for variant in VARIANTS if variant != own]
    others = {name.rpartition("/")[2]: load_preset(name).values for name in names if name in preset_names()}
    defaults = default_values(find_method(chosen.method).arguments)
    rows = []
    for key in sorted(defaults.keys() | chosen.values.keys()):
        own_value = _text(chosen.values, defaults, key)
        source = chosen.values[key].source if key in chosen.values else default_reason(key)
        theirs = [_text(values, defaults, key) for values in others.values()]
        rows.append((key, own_value, source, *("" if text == own_value else text for text in theirs)))
    return ("setting", "value", "source", *others), rows


def _text(values: dict, defaults: dict, key: str) -> str:
    return str(values[key].value if key in values else defaults.get(key))
