"""`wtal-fast explain`: every value of a preset with its source, and where the other variants differ."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    preset: Annotated[str, typer.Argument(help="method/dataset/variant; without it the presets are listed")] = "",
) -> None:
    """Print every value of PRESET, where it comes from, and what the other variants use instead."""
    from rich.console import Console

    from wtal_fast.preset_files import load_preset, preset_names

    console = Console(soft_wrap=True)
    if not preset:
        for name in preset_names():
            console.print(f"{name}  [dim]{load_preset(name).about}[/dim]", highlight=False)
        return
    chosen = load_preset(preset)
    console.print(_table(chosen))


def _table(chosen):
    from rich.table import Table

    from wtal_fast.preset_files import VARIANTS, load_preset, preset_names

    method, dataset, own = chosen.name.split("/")
    names = [f"{method}/{dataset}/{variant}" for variant in VARIANTS if variant != own]
    others = {name.rpartition("/")[2]: load_preset(name) for name in names if name in preset_names()}
    table = Table(title=f"{chosen.name}: {chosen.about}", title_justify="left")
    for title in ("setting", "value", "source", *others):
        table.add_column(title, overflow="fold")
    for key in sorted(chosen.values.keys() | {key for other in others.values() for key in other.values}):
        entry = chosen.values.get(key)
        row = [key, _text(entry), entry.source if entry else "default"]
        for other in others.values():
            theirs = other.values.get(key)
            same = (theirs.value if theirs else None) == (entry.value if entry else None)
            row.append("" if same else _text(theirs))
        table.add_row(*row)
    return table


def _text(entry) -> str:
    return "default" if entry is None else str(entry.value)
