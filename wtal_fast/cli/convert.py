"""`wtal-fast convert`: a data set from any layout to any other, or to packed shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[Path, typer.Argument(help="Data folder of any layout.")],
    output: Annotated[Path, typer.Option(help="Folder of the new data set.")] = ...,
    to: Annotated[str, typer.Option(help="packed (sharded safetensors with checksums), basnet, joined, backtal, cmcs, "
                                    "wtalc, actionformer, opentad, hacs or own.")] = "packed",
    snippets: Annotated[int | None, typer.Option(min=1, help="Length every video is rescaled to, for backtal.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float16 or float32; by default as they are.")] = None,
    clicks: Annotated[list[str] | None, typer.Option(help="Click file to carry along; may be repeated. In backtal's "
                                                     "layout clicks go into the feature files.")] = None,
    durations: Annotated[str | None, typer.Option(help="Ground truth with durations and frame rates.")] = None,
    drop_missing: Annotated[bool, typer.Option("--drop-missing", help="Leave out videos without features.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted conversion.")] = False,
) -> None:
    """Write the data set SOURCE to --output in another layout. Nothing in SOURCE is changed."""
    from wtal_fast.data.conversion import Conversion, convert_folder
    from wtal_fast.engine.output_paths import check_output_folder
    from wtal_fast.engine.progress import counted_progress
    from wtal_fast.errors import InputError

    if dtype not in (None, "float16", "float32"):
        raise InputError("--dtype", expected="float16 or float32", found=dtype)
    check_output_folder(output)
    wanted = Conversion(to, snippets, dtype, tuple(clicks or ()), durations, drop_missing)
    with counted_progress("convert") as progress:
        done = convert_folder(source, output, wanted, resume=resume, progress=progress)
    parts = ", ".join(f"{name} {count}" for name, count in done["parts"].items())
    typer.echo(f"{done['videos']} videos ({parts}) written to {output}, layout {to}")
