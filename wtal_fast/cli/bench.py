"""`wtal-fast bench`: the benchmarks of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from wtal_fast.errors import InputError

CHECKOUT = Path(__file__).resolve().parents[2]


def command(names: Annotated[list[str] | None, typer.Argument(help="Cases to run; all without one.")] = None,
            list_names: Annotated[bool, typer.Option("--list", help="Print the cases and stop.")] = False,
            quick: Annotated[bool, typer.Option("--quick", help="Smaller shapes, minutes in all.")] = False,
            threads: Annotated[int | None, typer.Option(min=1, help="Threads of PyTorch.")] = None,
            device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu") -> None:
    """Time the ops, training steps, localization and evaluation against their baselines (checkout only)."""
    if not (CHECKOUT / "bench" / "run.py").is_file():
        raise InputError("wtal-fast bench", expected="a checkout of the repository, which holds bench/",
                         found=f"the installed package in {CHECKOUT}",
                         fix="clone the repository and run scripts/bench there")
    if device not in ("cpu", "cuda"):
        raise InputError("--device", expected="cpu or cuda", found=device)
    words = [*(names or []), "--device", device]
    words += [flag for flag, given in (("--list", list_names), ("--quick", quick)) if given]
    words += [] if threads is None else ["--threads", str(threads)]
    raise typer.Exit(subprocess.run([sys.executable, "-m", "bench.run", *words], cwd=CHECKOUT).returncode)
