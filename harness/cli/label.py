"""`label`: what a language model says of every reply, as a file that `run --labels` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options as o
from harness.cli.asking import check_failed, print_failed, print_foreseen, print_spent, short

if TYPE_CHECKING:
    from harness.llm.carrier import Foreseen
    from harness.llm.reliability import Reliability
    from harness.llm.rounds import Done
    from harness.stats.estimate import Estimate


def label(
    data: o.Pairs,
    endpoint: Annotated[Path, typer.Option(help="The labeler: a YAML file with model, base_url, api_key_env, prices.")],
    out: Annotated[Path, typer.Option(help="JSON lines to write, for run --labels.")],
    data_dir: o.DataDir = None,
    max_pairs: o.MaxPairs = None,
    second: Annotated[Path | None, typer.Option(help="Another model, which labels 10 % of the pairs too.")] = None,
    gold: Annotated[Path | None, typer.Option(help="Labels by people, added to the file and compared.")] = None,
    rewrites: Annotated[
        Path | None, typer.Option(help="Rewrites, as `rewrite` writes them: label the valid too, once.")
    ] = None,
    retest: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the pairs to label twice.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Decides which pairs those are.")] = 0,
    batch: o.Batch = False,
    replay: o.Replay = False,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    cache: o.Replies = None,
    as_json: o.Json = False,
) -> None:
    """Label every reply of some pairs with a language model. Exit code 1 where more than 2 % of the answers are missing."""
    from harness import datasets
    from harness.cli.progress import Reporter
    from harness.labels import write_labels
    from harness.llm.cache import ReplyCache
    from harness.llm.carrier import Carrier
    from harness.llm.gold import read_gold
    from harness.llm.reliability import reliability
    from harness.llm.rounds import carry_out, foresee, rounds
    from harness.rewrites import NO_REWRITES, read_rewrites

    suite = datasets.load(data.split(","), data_dir)
    items = datasets.restrict(suite, max_pairs).items
    rewritten = read_rewrites(rewrites) if rewrites else NO_REWRITES
    people = read_gold(gold, suite.items) if gold else []
    todo = rounds(endpoint, second, retest)
    carrier = Carrier(ReplyCache(cache), batch, replay, max_cost)
    if dry_run:
        show_foreseen(foresee(items, todo, seed, carrier, rewritten), as_json)
        return
    with Reporter() as reporter:
        done = carry_out(items, todo, seed, carrier, reporter.told, rewritten)
    write_labels(out, [*done.rows, *people])
    show_done(out, done, reliability([*done.rows, *people], items), as_json)
    check_failed(out, len(done.rows), done.failed, "answers are no labels")


def show_foreseen(passes: Sequence[Foreseen], as_json: bool) -> None:
    """Print what would be sent: requests, tokens and dollars a pass, and dollars in all."""
    import json
    from dataclasses import asdict

    if as_json:
        said = [{"labeled_by": p.stage, "model": p.model, "cost": asdict(p.cost), "most": p.most} for p in passes]
        print(json.dumps({"passes": said}, ensure_ascii=False))
        return
    print_foreseen(passes, "texts")


def show_done(out: Path, done: Done, found: Sequence[Reliability], as_json: bool) -> None:
    """Print what came of a run: rows, failures by reason with a server's words on them, what was paid, and kappas."""
    import json
    from dataclasses import asdict

    labelled = sum(row.labels is not None for row in done.rows)
    if as_json:
        said: dict[str, Any] = {
            "out": str(out),
            "labelled": labelled,
            "failed": done.failed,
            "words": {reason: short(words) for reason, words in done.words.items()},
            "spent": {name: asdict(cost) for name, cost in done.spent.items()},
            "reliability": [asdict(r) | {"weak": r.weak} for r in found],
        }
        print(json.dumps(said, ensure_ascii=False))
        return
    print(f"{out}: {labelled} of {len(done.rows)} labelled")
    print_failed(done.failed, done.words)
    print_spent(done.spent)
    for r in (r for r in found if r.kappa.n):
        flag = "  below 0.4: not to be ranked" if r.weak else ""
        values = f"{number(r.kappa)} on {r.kappa.n} texts, r of differences {number(r.differences)} on {r.differences.n} pairs"
        print(f"{r.field}, first against {r.against}: kappa {values}{flag}")
    for against in dict.fromkeys(r.against for r in found):
        if unjudged := [r.field for r in found if r.against == against and not r.kappa.n]:
            print(f"{', '.join(unjudged)}, first against {against}: no text has the label in both passes")


def number(estimate: Estimate) -> str:
    """An estimate's value, or why there is none."""
    return f"{estimate.value:.2f}" if estimate.value is not None else f"null ({estimate.reason})"
