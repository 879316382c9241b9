"""`wtal-fast env`: versions, what was built, and which kernel runs each op."""

from __future__ import annotations

import json
import platform
from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for bug reports and scripts.")] = False,
) -> None:
    """Show versions, the libraries that were built and the kernel that runs each op on each device."""
    import wtal_fast
    from wtal_fast.ops import _library

    report = {"wtal_fast": wtal_fast.__version__, "python": platform.python_version(), **_library.build_report()}
    if as_json:
        print(json.dumps(report, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    for key, value in report.items():
        if key != "ops":
            console.print(f"{key}: {value}", highlight=False)
    table = Table("op", *next(iter(report["ops"].values())))
    for name, kernels in report["ops"].items():
        table.add_row(name, *kernels.values())
    console.print(table)
