"""`rewrite`: every reply in other words, or another style, by a language model, as a file that `run --rewrites` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.cli.asking import check_failed, print_failed, print_foreseen, print_spent, short

if TYPE_CHECKING:
    from harness.llm.carrier import Foreseen
    from harness.llm.rejections import Tally
    from harness.llm.rewriting import Done


def rewrite(
    data: o.Pairs,
    endpoint: Annotated[
        Path, typer.Option(help="The rewriter: a YAML file with model, base_url, api_key_env, prices.")
    ],
    out: Annotated[Path, typer.Option(help="JSON lines to write, for run --rewrites.")],
    kinds: Annotated[str, typer.Option(help="paraphrase and style:NAME, separated by commas.")] = "paraphrase",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Rewrites of a reply and kind [default: 2; 1 at temperature 0].")
    ] = None,
    data_dir: o.DataDir = None,
    max_pairs: o.MaxPairs = None,
    encoder: Annotated[
        str | None, typer.Option(help="A sentence encoder, folder or Hub id: similarity of each.")
    ] = None,
    judge: Annotated[
        Path | None, typer.Option(help="Another model, which says whether each keeps the meaning.")
    ] = None,
    batch: o.Batch = False,
    replay: o.Replay = False,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    cache: o.Replies = None,
    plugin: o.Plugin = None,
    as_json: o.Json = False,
) -> None:
    """Rewrite every reply of some pairs with a language model. Exit code 1 where more than 2 % of the answers are missing."""
    from harness import datasets
    from harness.cli.progress import Reporter
    from harness.llm.cache import ReplyCache
    from harness.llm.carrier import Carrier
    from harness.llm.kinds import kinds as named
    from harness.llm.rejections import tallies
    from harness.llm.rewriting import carry_out, foresee, plan
    from harness.llm.similarity import encoder as load
    from harness.rewrites import write_rewrites

    o.load_plugins(plugin)
    asked = plan(endpoint, named(kinds), samples, judge, load(encoder) if encoder and not dry_run else None)
    items = datasets.restrict(datasets.load(data.split(","), data_dir), max_pairs).items
    carrier = Carrier(ReplyCache(cache), batch, replay, max_cost)
    if dry_run:
        show_foreseen(foresee(items, asked, carrier), as_json)
        return
    with Reporter() as reporter:
        done = carry_out(items, asked, carrier, reporter.told)
    write_rewrites(out, done.rows)
    show_done(out, done, tallies(done.rows, items), as_json)
    check_failed(out, len(done.rows), done.failed, "replies are not rewritten")


def show_foreseen(stages: Sequence[Foreseen], as_json: bool) -> None:
    """Print what would be sent: requests, tokens and dollars a stage, and dollars in all."""
    import json
    from dataclasses import asdict

    if as_json:
        print(json.dumps({"stages": [asdict(stage) for stage in stages]}, ensure_ascii=False))
        return
    print_foreseen(stages, "questions")


def show_done(out: Path, done: Done, found: Sequence[Tally], as_json: bool) -> None:
    """Print what came of a run: rows, failures with a server's words on them, what is valid by kind and side, what was paid."""
    import json
    from dataclasses import asdict

    rewritten = sum(row.rewritten is not None for row in done.rows)
    if as_json:
        said = {
            "out": str(out),
            "rewritten": rewritten,
            "failed": done.failed,
            "words": {reason: short(words) for reason, words in done.words.items()},
            "unjudged": done.unjudged,
            "spent": {name: asdict(cost) for name, cost in done.spent.items()},
            "tallies": [asdict(tally) for tally in found],
        }
        print(json.dumps(said, ensure_ascii=False))
        return
    print(f"{out}: {rewritten} of {len(done.rows)} rewritten")
    print_failed(done.failed, done.words)
    for tally in found:
        problems = ", ".join(f"{name} {n}" for name, n in tally.problems.items())
        print(f"{tally.kind}, {tally.side}: {tally.valid} of {tally.n} valid" + (f"; {problems}" if problems else ""))
    if done.unjudged is not None:
        print(f"{done.unjudged} rewrites without a verdict: nothing is held against them")
    print_spent(done.spent)
