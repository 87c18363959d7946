"""Labels of replies by a language model: who is asked what, and what becomes of each answer.

Every text is asked once in the pass `first`. Since what counts in the end are differences between the replies of a
pair, the other passes take whole pairs: a seeded share is asked again (`retest`), another model labels another
share (`second`). A question asked again is put in other bytes (no server's cache can answer it) and in another order
of fields (the order of questions is part of what an answer may hang on); four orders in all, because a server prepares
itself for every new schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from harness.errors import InputError
from harness.labels import PASSES, Label, LabelRow, Pass, text_id
from harness.llm import repair
from harness.llm.answer import read_answer
from harness.llm.ask import Ask, Asker
from harness.llm.prompt import FIXED, PROMPT_VERSION, Order, mend, orders, question
from harness.llm.repair import Report
from harness.llm.schema import answer_schema, schema_sha256
from harness.preference import Conversation, PreferenceItem, units
from harness.rewrites import NO_REWRITES, Rewrites

ORDERS = 4
"""Orders of fields in which texts are asked again."""

FIRST: Mapping[Pass, float] = {"first": 1.0, "retest": 0.05}
SECOND: Mapping[Pass, float] = {"second": 0.10}
"""Share of the items in each pass of the first labeler, and of another one."""

COLONS_OF_TWICE = 3
"""As in `style:formal:up:down`, whose reply is a rewrite of a rewrite."""


@dataclass(frozen=True)
class Labeler:
    """A language model that labels: its name, as it is written to the file, and what carries questions to it."""

    name: str
    asker: Asker


def label(
    items: Iterable[PreferenceItem],
    labeler: Labeler,
    shares: Mapping[Pass, float] = FIRST,
    *,
    seed: int = 0,
    rewrites: Rewrites = NO_REWRITES,
    report: Report = lambda told: None,
) -> list[LabelRow]:
    """A row for every text of every pass, sorted by both: a label, or the reason why there is none.

    `shares` says which share of the items each pass takes, `rewrites` what else the first pass asks about (`questions`).
    What is asked depends on the texts, the items' ids and the seed alone: with a cache a second call is free, and one that
    was stopped goes on. Raises InputError where no reply has a valid rewrite, HarnessError where no question can be
    answered (`Asker.ask`).
    """
    known = tuple(items)
    asks = [ask for name, share in shares.items() for ask in questions(known, name, share, seed, rewrites)]
    return sorted(answers(asks, labeler, report), key=lambda row: (PASSES.index(row.labeled_by), row.text))


def questions(
    items: Iterable[PreferenceItem],
    labeled_by: Pass = "first",
    share: float = 1.0,
    seed: int = 0,
    rewrites: Rewrites = NO_REWRITES,
) -> tuple[Ask, ...]:
    """What a pass asks: every text once, of the items it takes, sorted by text; `id` is `{pass}/{text_id}`.

    An item is taken by a digest of its id and the seed, whichever others there are: more data never changes who was
    asked again. Rewrites are asked about in the first pass alone: how often a label changes by itself is counted where no
    text has changed. Raises InputError where none of them is a valid one of a reply (`with_rewritten`).
    """
    asked = with_rewritten(items, rewrites) if rewrites and labeled_by == "first" else items
    taken = (item for item in asked if _place(item.id, labeled_by, seed) < share)
    texts = {text_id(unit.conversation): unit.conversation for unit in units(taken)}
    return tuple(_ask(labeled_by, text, texts[text], seed) for text in sorted(texts))


def with_rewritten(items: Iterable[PreferenceItem], rewrites: Rewrites) -> tuple[PreferenceItem, ...]:
    """The items with the rewrites of their replies as further replies.

    Rewrites that failed a check or never came are left out, and those of rewrites, which no flip is counted from.
    Raises InputError where no reply has a rewrite that is left.
    """
    known = tuple(items)
    ways = [way for way in rewrites.ways if way[0].count(":") < COLONS_OF_TWICE]
    more: dict[str, list[str]] = {}
    for unit in units(known):
        found = (rewrites.of(unit, way) for way in ways)
        texts = [row.rewritten for row in found if row and row.rewritten is not None and not row.problems]
        more.setdefault(unit.item_id, []).extend(texts)
    if not any(more.values()):
        raise InputError(
            f"none of the {len(rewrites.rows)} rewrites is a valid one of a reply to be labelled; make them with "
            "reward-harness rewrite from the same --data and --max-pairs, or label without --rewrites"
        )
    # What is asked has no sides, so it does not matter where the further replies stand; a matrix of styles has no place.
    return tuple(replace(item, chosen=(*item.chosen, *more[item.id]), meta={}) for item in known)


def answers(asks: Iterable[Ask], labeler: Labeler, report: Report = lambda told: None) -> list[LabelRow]:
    """A row for every question: a label, or why there is none (`harness.llm.repair`)."""
    found = repair.answers(asks, labeler.asker, read_answer, mend, report)
    return [_row(labeler, id, answer.value, answer.error) for id, answer in found.items()]


def _ask(labeled_by: Pass, text: str, conversation: Conversation, seed: int) -> Ask:
    order, repeat = FIXED, 0
    if labeled_by == "retest":
        order, repeat = _orders(seed)[int(text[:8], 16) % ORDERS], 1
    turns = question(conversation, order, nonce=repeat)
    return Ask(f"{labeled_by}/{text}", turns, _schema(order), schema_name="label", repeat=repeat)


@lru_cache(maxsize=8)
def _orders(seed: int) -> tuple[Order, ...]:
    return orders(np.random.default_rng(seed), ORDERS)


@lru_cache(maxsize=64)
def _schema(order: Order) -> Mapping[str, Any]:
    # One object for all questions: there may be several hundred thousand.
    return answer_schema(order)


def _row(labeler: Labeler, id: str, labels: Label | None, error: str | None) -> LabelRow:
    labeled_by, _, text = id.partition("/")
    return LabelRow(
        text=text,
        labeled_by=cast(Pass, labeled_by),
        labeler=labeler.name,
        schema_sha256=schema_sha256(),
        prompt=PROMPT_VERSION,
        labels=labels,
        error=error,
    )


def _place(item: str, labeled_by: Pass, seed: int) -> float:
    """Where between 0 and 1 an item lies for a pass."""
    digest = hashlib.sha256(f"{seed}/{labeled_by}/{item}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
