"""`run`: evaluate a subject on tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import options as o


def run(
    model: o.ModelOption = None,
    role: Annotated[list[str] | None, typer.Option(help="MEMBER=MODEL; repeat a member for its seeds.")] = None,
    family: Annotated[Path | None, typer.Option(help="A family file: {name, members: {helpful: [...], ...}}.")] = None,
    tasks: Annotated[str, typer.Option(help="Task names, separated by commas.")] = "",
    data: Annotated[str | None, typer.Option(help="Dataset names or files instead of the tasks' own suites.")] = None,
    data_dir: o.DataDir = None,
    param: Annotated[list[str] | None, typer.Option("-P", help="TASK.PARAM=VALUE.")] = None,
    limit: Annotated[int | None, typer.Option(help="Items a subset; such a result is never ranked.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels of the replies, as `label` writes them.")] = None,
    rewrites: Annotated[Path | None, typer.Option(help="Rewrites of the replies, as `rewrite` writes them.")] = None,
    results: o.Results = Path("results"),
    overwrite: o.Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print units, tokens and seconds to expect.")] = False,
    as_json: o.Json = False,
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
    """Evaluate a model, or a family of models, on tasks, and write the results."""
    given = dict(locals())
    from harness.cli.progress import Reporter
    from harness.cli.reproduce import command_line
    from harness.config import resolve_tasks, split_params
    from harness.runner import run as evaluate

    o.load_plugins(plugin)
    found = resolve_tasks([t for t in tasks.split(",") if t])
    request: dict[str, Any] = {
        "roles": read_roles(role or []),
        "family": family,
        "data": data.split(",") if data else None,
        "data_dir": data_dir,
        "params": split_params(param or [], found),
        "limit": limit,
        "labels": labels,
        "rewrites": rewrites,
        "store": store,
        "options": o.load_options(given),
    }
    if dry_run:
        from harness.dry_run import dry_run as rehearse

        print(rehearse(model, found, **request))
        return
    with Reporter() as reporter:
        done = evaluate(
            model, found, **request, results=results, overwrite=overwrite, report=reporter, command=command_line()
        )
    show(done, as_json)
    warn(done)
    if any(r.record.status in ("error", "partial") for r in done):
        raise typer.Exit(1)


def read_roles(roles: list[str]) -> dict[str, list[str]]:
    """`MEMBER=MODEL` strings by member, in order; raises InputError for another form."""
    from harness.errors import InputError

    found: dict[str, list[str]] = {}
    for text in roles:
        member, equals, model = text.partition("=")
        if not equals or not model:
            raise InputError(f"--role {text}: expected MEMBER=MODEL, such as --role helpful=path/to/model")
        found.setdefault(member, []).append(model)
    return found


def warn(done: list) -> None:
    """A line on standard error for every model in which a doctor found something that makes its scores wrong."""
    for warning in dict.fromkeys(text for result in done for text in result.failed_checks):
        print(f"warning: {warning}. See: reward-harness doctor", file=sys.stderr)


def show(done: list, as_json: bool) -> None:
    """Print results: their main rows and where they lie (`show` prints all rows), or all of it as JSON."""
    import json

    if as_json:
        print(json.dumps([r.to_dict() | {"folder": str(r.folder)} for r in done], ensure_ascii=False))
        return
    for result in done:
        print(result.summary(main=True))
        print(("written to " if result.written else "up to date: ") + str(result.folder) + "\n")
