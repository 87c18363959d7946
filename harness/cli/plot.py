"""`plot`: the figures of a result as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o

DPI = 160
METRICS = "metrics"
"""The file of the figure that every result has: its metrics with their intervals."""


def plot(
    result_dir: Annotated[Path, typer.Argument(help="A result folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files [default: RESULT_DIR/figures].")] = None,
    plugin: o.Plugin = None,
) -> None:
    """Draw a result as PNG: its task's own figures, or its metrics with their intervals where the task offers none."""
    from harness.errors import HarnessError, InputError
    from harness.results.plot import need_matplotlib
    from harness.results.result import Result
    from harness.results.store import read_record

    need_matplotlib()
    o.load_plugins(plugin)
    result = Result(read_record(result_dir), result_dir if result_dir.is_dir() else result_dir.parent, written=False)
    folder, drawn = out or result.folder / "figures", 0
    for name in result.figures or (None,):
        try:
            figure = result.plot(figure=name)
        except InputError as error:
            print(f"{name or METRICS}: not drawn: {error}")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{_safe(name or METRICS)}.png"
            figure.savefig(file, dpi=DPI)
        except OSError as error:
            raise HarnessError(f"cannot write to {folder}: {error.strerror or error}; name another --out") from error
        print(file)
        drawn += 1
    if not drawn:
        raise InputError(f"no figure of {result_dir} can be drawn; reward-harness show {result_dir} prints its metrics")


def _safe(name: str) -> str:
    """A figure's name as a file name: names are third-party data and can neither leave the folder nor hide."""
    import re

    return re.sub(r"[^\w-]", "-", name).strip("-") or "figure"
