"""`doctor`: is a model fit to be measured?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o

if TYPE_CHECKING:
    from harness.doctor import Examination

STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}


def doctor(
    model: Annotated[
        str, typer.Option("--model", "-m", help="Folder, Hub id, null/NAME, scores:FILE or endpoint:FILE.")
    ],
    as_json: o.Json = False,
    revision: o.Revision = None,
    spec: o.Spec = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    max_length: o.MaxLength = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    plugin: o.Plugin = None,
    store: o.Store = None,
) -> None:
    """Check how a model is loaded, written to, batched, read and directed. Exit code 1 if a check fails.

    About a hundred short texts go through the model, which is loaded three times. A model that is there and cannot score
    fails the check `load`; one that is not there, or a wrong option, is exit code 2.
    """
    given = dict(locals()) | {"workers": 1}
    import json

    from harness.doctor.named import examine_named
    from harness.engine.store import ScoreStore

    o.load_plugins(plugin)
    found = examine_named(model, o.load_options(given), ScoreStore(store))
    if as_json:
        print(json.dumps(found.to_dict() | {"passed": found.passed}, ensure_ascii=False))
    else:
        show(found)
    if not found.passed:
        raise typer.Exit(1)


def show(found: Examination) -> None:
    """Print a row a check: its outcome, what was found or measured, and what to do."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "", "found", title=escape(found.model), title_justify="left", show_lines=False)
    for f in found.findings:
        lines = [text for text in (f.reason, f.advice and f"-> {f.advice}") if text] or [measured(f.measured)]
        table.add_row(f.check, f"[{STYLES[f.status]}]{f.status}[/]", escape("\n".join(lines)))
    Console(highlight=False).print(table)
    counts = {status: sum(f.status == status for f in found.findings) for status in STYLES}
    print(", ".join(f"{n} {status}" for status, n in counts.items() if n))


def measured(values: object) -> str:
    """What a check measured, in a line: `name value, name value`, and a semicolon between several of a kind."""
    if isinstance(values, Mapping):
        return ", ".join(f"{k.replace('_', ' ')} {measured(v)}" for k, v in values.items() if v not in (None, [], {}))
    return "; ".join(map(measured, values)) if isinstance(values, list) else str(values)
