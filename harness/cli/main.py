"""The command `reward-harness`: collects the verbs, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys

import typer

from harness.cli import (
    board,
    compare,
    demo,
    doctor,
    label,
    listing,
    plot,
    recompute,
    rewrite,
    score,
    show,
    store,
    validate,
)
from harness.cli import run as run_verb
from harness.errors import HarnessError

app = typer.Typer(
    help="Measures what a reward model has learned to reward.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_verb.run)
app.command("label")(label.label)
app.command("rewrite")(rewrite.rewrite)
app.command("score")(score.score)
app.command("doctor")(doctor.doctor)
app.command("recompute")(recompute.recompute)
app.command("compare")(compare.compare)
app.command("show")(show.show)
app.command("plot")(plot.plot)
app.command("list")(listing.list_)
app.command("validate")(validate.validate)
app.command("demo")(demo.demo)
app.add_typer(board.app, name="leaderboard")
app.add_typer(store.app, name="store")


def run() -> None:
    """Entry point. Errors a user can mend are printed as one line on standard error; anything else is a bug and shows its trace."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except HarnessError as error:
        print(f"reward-harness: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(
            "reward-harness: interrupted; what was scored or answered is kept, the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
