"""Any conversation at every kind of model: a finite score or a failure that is counted, and no text that changes a prompt's form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.models.base import Adapter, Encoded, PairwiseAdapter, Unencodable
from harness.models.resolve import resolve
from harness.preference import Message, Unit
from tests.models.kinds import KINDS

MARKS = [
    "<s>", "</s>", "<pad>", "<|start|>", "<|end|>", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "<extra_0>", "<unk>", "[UNK]",
    "<|source|>", "<|candidate1|>", "<|candidate2|>", "[[A]]", "+", " ки",
]  # fmt: skip
"""Texts that are special tokens to some of the models, or marks of a prompt."""

WORD = "word"
TURN = st.one_of(
    st.just(""),
    st.text(max_size=12),
    st.lists(st.sampled_from([*MARKS, "a cat", "é 你", "\n\n", "\ud800", "  "]), max_size=5).map(" ".join),
    st.just("rain fell on red and green leaves " * 60),
)
TURNS = st.one_of(st.lists(TURN, min_size=1, max_size=5), st.lists(TURN, min_size=40, max_size=40))


def conversation(turns: list[str]) -> tuple[Message, ...]:
    """User and assistant in turn, the assistant last."""
    roles = ["user", "assistant"] * len(turns)
    return tuple(Message(r, t) for r, t in zip(roles[len(turns) % 2 :], turns, strict=False))


def asked(adapter: Adapter, talks: list[tuple[Message, ...]]) -> list[Encoded | Unencodable]:
    """The conversations as the adapter encodes them: of one that only compares against a short reply, in both orders."""
    units = [Unit(f"i{i}#chosen", f"i{i}", "c", "d", "s", "helpful", "chosen", talk) for i, talk in enumerate(talks)]
    if not isinstance(adapter, PairwiseAdapter):
        return adapter.encode(units)
    other = [Unit(u.unit_id, u.item_id, "c", "d", "s", "helpful", "rejected", (*u.conversation[:-1], Message("assistant", "no"))) for u in units]  # fmt: skip
    return adapter.encode_pairs([pair for u, o in zip(units, other, strict=True) for pair in ((u, o), (o, u))])


@pytest.fixture(scope="module", params=list(KINDS))
def adapter(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """A loaded model of every kind, one after the other."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("kind")
        patch.setenv("REWARD_HARNESS_LLM_CACHE", str(folder / "replies"))
        yield resolve(KINDS[request.param](folder / "model", stack), trust_remote_code=True).load()


@given(st.lists(TURNS, min_size=1, max_size=3))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_a_finite_score_or_a_counted_failure(adapter: Adapter, talks: list[list[str]]) -> None:
    encoded = asked(adapter, [conversation(turns) for turns in talks])
    assert all(one.error for one in encoded if isinstance(one, Unencodable)), "a refusal says why"
    usable = [one for one in encoded if isinstance(one, Encoded)]
    limit = adapter.spec.max_length
    assert all(len(one) <= limit for one in usable if limit is not None and not adapter.remote)
    if usable:
        found = adapter.forward(usable)
        scores = np.asarray(adapter.raw_score(adapter.spec, found.outputs))
        assert scores.shape == (len(usable),)
        assert all(np.isfinite(score) or found.errors.get(i) for i, score in enumerate(scores))


@given(st.lists(st.sampled_from(MARKS), min_size=1, max_size=4), st.sampled_from(["user", "assistant"]))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_what_a_text_says_never_changes_the_form_of_the_prompt(adapter: Adapter, marks: list[str], where: str) -> None:
    tokenizer = getattr(adapter, "tokenizer", None) or getattr(getattr(adapter, "voice", None), "tokenizer", None)
    if tokenizer is None:
        pytest.skip("ids are no tokens here: a server tokenises")
    special = {int(i) for i in tokenizer.all_special_ids} - {tokenizer.unk_token_id}

    def structure(text: str) -> list[list[int]]:
        turns = [f"what {text} is", "yes"] if where == "user" else ["what is", f"yes {text} no"]
        found = asked(adapter, [conversation(turns)])
        assert all(isinstance(one, Encoded) for one in found)
        return [[int(i) for i in one.ids if int(i) in special] for one in found if isinstance(one, Encoded)]

    assert structure(" ".join(marks)) == structure(" ".join(WORD for _ in marks))
