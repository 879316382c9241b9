"""`wtal-fast`: one file a subcommand; errors in words, exit codes 0 done, 1 failed, 2 bad input, 130 stopped."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from wtal_fast import __version__
from wtal_fast.cli import bench, check, clicks, convert, cost, demo, env, evaluate, explain, localize, train
from wtal_fast.errors import InputError

ClickException = typer.BadParameter.__mro__[2]  # click's, or that of the copy which newer typer carries

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for module in (demo, train, localize, evaluate, explain, cost, check, convert, bench, env):
    app.command(module.__name__.rpartition(".")[2])(module.command)
app.add_typer(clicks.app, name="clicks")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wtal-fast {__version__}")
        raise typer.Exit()


@app.callback()
def options(version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True,
                                                  callback=_show_version)] = False) -> None:
    """Weakly-supervised temporal action localization: train, localize, evaluate."""


def run(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code; no bare traceback unless WTAL_FAST_TRACEBACK is set."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="wtal-fast", standalone_mode=False) or 0
        return _fail("stopped", 130) if code == 130 else code  # newer typer catches Ctrl-C and returns 130
    except InputError as error:
        return _fail(f"error: {error}", 2)
    except ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", 130)
    except Exception as error:
        if os.environ.get("WTAL_FAST_TRACEBACK"):
            raise
        return _fail(f"failed: {type(error).__name__}: {error} (WTAL_FAST_TRACEBACK=1 shows where)", 1)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Runs the command line of this process, with warnings in words only, and exits with its code."""
    warnings.showwarning = _show_warning
    sys.exit(run())
