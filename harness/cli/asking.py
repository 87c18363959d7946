"""What the verbs that ask language models print alike: what would be sent, what failed and whether
that is too much, what was paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.llm.carrier import Foreseen
    from harness.llm.cost import Cost

WORDS = 200
"""Characters that are shown of a server's words."""


def check_failed(out: Path, rows: int, failed: Mapping[str, int], what: str) -> None:
    """Raise HarnessError where more than 2 % of the rows failed; `what` is said of those."""
    from harness.errors import HarnessError
    from harness.runner import MAX_FAILED

    n = sum(failed.values())
    if n > MAX_FAILED * rows:
        raise HarnessError(
            f"{n} of {rows} {what}, at most {MAX_FAILED:.0%} may be; {out} is written with what there is, and the same "
            "command without --replay asks again for what may pass (unreachable, expired, not_asked)"
        )


def print_foreseen(stages: Sequence[Foreseen], what: str) -> None:
    """Print requests, tokens and dollars a stage, and dollars in all; `what` a stage asks about, in the plural."""
    for stage in stages:
        print(f"{stage.stage} by {stage.model}: {stage.cost.requests + stage.cost.cached} {what}, {used(stage.cost)}")
    known = [stage for stage in stages if stage.cost.dollars is not None and stage.most is not None]
    if len(known) == len(stages):
        about, most = sum(stage.cost.dollars or 0.0 for stage in known), sum(stage.most or 0.0 for stage in known)
        print(f"in all about {money(about)} dollars, at most {money(most)} before repairs; nothing was sent")
    else:
        print("in all an unknown cost: give the endpoints price_in and price_out; nothing was sent")


def print_failed(failed: Mapping[str, int], words: Mapping[str, str]) -> None:
    """Print failures by reason, with a server's words on them."""
    for reason, n in failed.items():
        print(f"  {reason}: {n}" + (f", such as: {short(words[reason])}" if reason in words else ""))


def print_spent(spent: Mapping[str, Cost]) -> None:
    """Print what each model was sent and paid."""
    for name, cost in spent.items():
        print(f"{name}: {used(cost)}")


def used(cost: Cost) -> str:
    """Requests, tokens and dollars in words."""
    about = "about " if cost.approximate else ""
    price = "unknown cost" if cost.dollars is None else f"{about}{money(cost.dollars)} dollars"
    tokens = f"{about}{cost.prompt_tokens:,} tokens in and {cost.completion_tokens:,} out"
    return f"{cost.requests} requests ({cost.cached} replies are cached), {tokens}, {price}"


def money(dollars: float) -> str:
    """Dollars to the cent; what is less than one and not nothing is called that."""
    return f"{dollars:,.2f}" if dollars == 0 or dollars >= 0.01 else "less than 0.01"


def short(words: str) -> str:
    """The beginning of a server's words, in one line."""
    line = " ".join(words.split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"
