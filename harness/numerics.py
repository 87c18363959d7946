"""How exact the scores of a run are: how far they move in other company, by which kernels, what was cut and what shared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.models.base import PARSED
from harness.preference import Unit
from harness.subject import Member, Subject
from harness.task import Score, ScoreTable

LEAST, MOST, SHARE = 64, 256, 0.05
"""Units scored again: this share of a task's, so that checking costs little, but within these bounds, so that it says something."""

DESCRIBED = ("dtype", "attn_implementation", "attention_kernels", "float32_matmul_precision")
"""What a loaded model says of itself that decides its last digits."""

COMPARED = ("n_compared", "order_flips", "unparsed")
"""What is counted of models that only compare."""

Numerics = dict[str, Any]


def numerics(subject: Subject, tasks: Mapping[str, tuple[Sequence[Unit], ScoreTable]]) -> dict[str, Numerics]:
    """By task, from its units and the table gathered for it: numbers over all members, and the same of each under `members`.

    `batch_delta_max`: largest difference of a score from that of the same text in a batch drawn at random,
    without sharing prefixes; `pair_flips` of `n_pairs` pairs of an item changed their order by it; over
    `n_checked` scores. `truncated` of `n_texts` scored texts were cut. `tokens_shared`: share of the tokens
    computed in this run that prefix sharing saved, null where all scores were remembered. Of models that only
    compare: `order_flips` of `n_compared` comparisons had another side in the other order, and `unparsed` answers (two a
    comparison) held no verdict, null where a model has none to parse. With them what the models said in `DESCRIBED`.
    Null is what is not known.
    """
    # Before the check, whose rows share nothing.
    shared = {(m.member, m.seed): (m.engine.timing.tokens, m.engine.timing.packed) for m in subject.members}
    return {
        name: _of_task(subject, _scored_twice(subject, sample(units)), table, shared)
        for name, (units, table) in tasks.items()
    }


def sample(units: Sequence[Unit]) -> list[Unit]:
    """Whole items in an order that is random but the same everywhere, until there are as many units as `SHARE` says."""
    by_item: dict[str, list[Unit]] = {}
    for unit in sorted(units, key=lambda u: u.unit_id):
        by_item.setdefault(unit.item_id, []).append(unit)
    wanted = min(MOST, max(LEAST, int(SHARE * len(units))))
    found: list[Unit] = []
    for item in sorted(by_item, key=lambda i: hashlib.sha256(i.encode("utf-8", "surrogatepass")).digest()):
        if len(found) >= wanted:
            break
        found += by_item[item]
    return found


def _scored_twice(subject: Subject, units: Sequence[Unit]) -> pd.DataFrame:
    """A row a unit, member and seed with `score` and `score_again`; none where a member only compares."""
    on = ["unit_id", "item_id", "member", "seed"]
    if subject.lacks({"scores"}):
        return pd.DataFrame(columns=[*on, "score", "score_again"])
    requests = [Score(tuple(units)), Score(tuple(units), replicate=1)]
    subject.ensure(requests)
    first, second = (subject.answer(request)[[*on, "score"]].dropna() for request in requests)
    return first.merge(second, on=on, suffixes=("", "_again"))


def _of_task(
    subject: Subject, twice: pd.DataFrame, table: ScoreTable, shared: Mapping[tuple[str, int], tuple[int, int]]
) -> Numerics:
    rows = table[(table["status"] == "ok") & (table["replicate"] == 0)]
    texts = rows.drop_duplicates(["member", "seed", "ids_hash"])
    members: list[Numerics] = [
        {"member": m.member, "seed": m.seed}
        | _numbers(_of_member(twice, m), _of_member(texts, m), [shared[m.member, m.seed]])
        | _compared(m, _of_member(rows, m))
        | {key: m.engine.description().get(key) for key in DESCRIBED}
        for m in subject.members
    ]
    together = {key: _together(member[key] for member in members) for key in DESCRIBED}
    together |= {key: _sum(member[key] for member in members) for key in COMPARED}
    return _numbers(twice, texts, shared.values()) | together | {"members": members}


def _of_member(rows: pd.DataFrame, member: Member) -> pd.DataFrame:
    return rows[(rows["member"] == member.member) & (rows["seed"] == member.seed)]


def _numbers(twice: pd.DataFrame, texts: ScoreTable, shared: Iterable[tuple[int, int]]) -> Numerics:
    pairs, flips = _flips(twice)
    tokens, packed = (sum(numbers) for numbers in zip(*shared, strict=True))
    return {
        "batch_delta_max": float((twice["score"] - twice["score_again"]).abs().max()) if len(twice) else None,
        "pair_flips": flips,
        "n_pairs": pairs,
        "n_checked": len(twice),
        "truncated": int(texts["truncated"].sum()),
        "n_texts": len(texts),
        "tokens_shared": round(1 - packed / tokens, 4) if tokens else None,
    }


def _flips(twice: pd.DataFrame) -> tuple[int, int]:
    """Pairs of the same item, member and seed, and how many of them are in another order (or tied in one of the two)."""
    pairs = flips = 0
    for _, item in twice.groupby(["item_id", "member", "seed"]):
        order, again = (
            np.sign(np.subtract.outer(item[c].to_numpy(), item[c].to_numpy())) for c in ("score", "score_again")
        )
        pairs += len(item) * (len(item) - 1) // 2
        flips += int((order != again).sum() // 2)
    return pairs, flips


def _compared(member: Member, rows: ScoreTable) -> dict[str, int | None]:
    """Counts of the member's comparisons, whose rows hold the outputs of both orders; nulls for a model that scores.

    A tie has no side, so it is no flip.
    """
    if "compares" not in member.capabilities or "scores" in member.capabilities:
        return dict.fromkeys(COMPARED)
    resolved, n = member.resolved, len(rows)
    if not n:
        return dict.fromkeys(COMPARED) | {"n_compared": 0}
    outputs = np.array(rows["head_outputs"].tolist(), np.float32).reshape(2 * n, -1)
    first, other = np.sign(resolved.adapter.raw_score(resolved.spec, outputs).reshape(n, 2) - 0.5).T
    names = resolved.spec.heads.names if resolved.spec.heads else ()
    unparsed = int((outputs[:, names.index(PARSED)] == 0).sum()) if PARSED in names else None
    return {"n_compared": n, "order_flips": int((first * other > 0).sum()), "unparsed": unparsed}


def _sum(counts: Iterable[int | None]) -> int | None:
    """Sum of what is known; null where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _together(said: Iterable[Any]) -> Any:
    """What several models said of one thing: the words, each once, or such words by kind; null if none said anything."""
    known = [s for s in said if s is not None]
    if any(isinstance(s, Mapping) for s in known):
        return {kind: sorted({x for s in known for x in s.get(kind, ())}) for kind in sorted(set().union(*known))}
    return ", ".join(sorted(set(known))) or None
