"""Options that several verbs share, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.config import LoadOptions

ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Folder, Hub id, null/NAME, scores:FILE or endpoint:FILE.")
]
Revision = Annotated[str | None, typer.Option(help="Commit, tag or branch of a Hub model.")]
Spec = Annotated[Path | None, typer.Option(help="A reward_model.yaml to use instead of the model's own.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
MaxLength = Annotated[int | None, typer.Option(help="Token limit; longer texts lose the oldest of their prompt.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model's repository.")]
AllowPickle = Annotated[bool, typer.Option("--allow-pickle", help="Load weights that are not safetensors.")]
Workers = Annotated[
    int, typer.Option(help="Copies of the model, each on a GPU or a share of the CPUs; RAY_ADDRESS names a cluster.")
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        help="A Python file or folder to run first: it enters tasks, adapters, features, transforms or styles."
    ),
]
Store = Annotated[
    Path | None, typer.Option(help="Score store file [default: $REWARD_HARNESS_STORE or the user's cache].")
]
DataDir = Annotated[
    Path | None, typer.Option(help="Local mirror of the datasets [default: $REWARD_HARNESS_DATA; else the Hub].")
]
Results = Annotated[Path, typer.Option(help="Folder below which results lie.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a finished result that has other content.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]

Pairs = Annotated[str, typer.Option(help="Dataset names or files of pairs, separated by commas.")]
MaxPairs = Annotated[int | None, typer.Option(help="Items a subset, those that a task's max_pairs takes.")]
Batch = Annotated[bool, typer.Option("--batch", help="Use the Batch API: half the price, within a day.")]
Replay = Annotated[bool, typer.Option("--replay", help="Send nothing: stored replies alone.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print requests, tokens and cost; send nothing.")]
MaxCost = Annotated[float | None, typer.Option(min=0.0, help="Dollars that may be spent, in all.")]
Replies = Annotated[Path | None, typer.Option(help="Replies [default: $REWARD_HARNESS_LLM_CACHE or the user's cache].")]


def load_options(given: Mapping[str, Any]) -> LoadOptions:
    """The options of a verb that concern loading, as one object; imported late, so that --help stays quick."""
    import dataclasses

    from harness.config import LoadOptions

    return LoadOptions(**{f.name: given[f.name] for f in dataclasses.fields(LoadOptions)})


def load_plugins(plugins: list[Path] | None) -> None:
    """Run the files named by --plugin."""
    from harness.registry import load_plugin

    for path in plugins or []:
        load_plugin(path)
