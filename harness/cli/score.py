"""`score`: a file of pairs in, the same file with scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def score(
    model: Annotated[str, typer.Option("--model", "-m", help="Folder, Hub id, null/NAME or endpoint:FILE.")],
    input_: Annotated[Path, typer.Option("--input", "-i", help="JSONL, CSV or Parquet with prompt, chosen, rejected.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL to write; each line gains the scores.")],
    revision: o.Revision = None,
    spec: o.Spec = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    max_length: o.MaxLength = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    workers: o.Workers = 1,
    plugin: o.Plugin = None,
    store: o.Store = None,
) -> None:
    """Score every pair of a file. One line out for every line in, in order; null with an error where there is no score."""
    given = dict(locals())
    from harness.cli.progress import Reporter
    from harness.score import score_file

    o.load_plugins(plugin)
    loading = o.load_options(given)
    with Reporter() as reporter:
        lines, failed = score_file(model, input_, output, options=loading, store=store, report=reporter)
    print(f"{output}: {lines} lines, {failed} without a score")
