"""What the checks find beside the twelve defects, what they let pass, and what they leave alone."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from harness.doctor import Examination, examine
from harness.doctor.reading import _another, _without
from harness.errors import InputError
from harness.models.base import Adapter, Encoded, Forwarded
from harness.models.resolve import resolve
from tests.doctor import wild
from tests.engine.fakes import Longer
from tests.engine.fakes import resolved as handed_over
from tests.models.kinds import KINDS

OTHERS = {
    "replies that are refused": ("outputs", "warn", wild.NoBlanks, {}),
    "texts without a score": ("outputs", "warn", wild.NotAlways, {}),
    "scores over the batch": ("padding", "fail", wild.OverTheBatch, {}),
    "ties that last digits break": ("order", "warn", wild.LastDigits, {}),
    "batches that are not sorted back": ("order", "fail", wild.Sorted, {}),
    "one dimension too few": ("outputs", "fail", wild.Flat, {}),
    "an exception": ("outputs", "fail", wild.Raises, {}),
    "a model that knows the side": ("swap", "fail", wild.ReadsTheSide, {}),
    "scores of a few steps": ("scale", "fail", wild.Tied, {}),
    "rows that are not kept apart": ("sharing", "fail", wild.OneRow, {}),
    "a pooling that the spec chose": ("end_token", "warn", wild.OffByOne, {"pooling": "native"}),
    "a limit below short texts": ("truncation", "warn", "sequence-classification", {"max_length": 64}),
    "the reply's end goes first": ("reply_end", "fail", "sequence-classification", {"truncation": "right"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_is_found(checkpoint, name):
    check, status, adapter, spec = OTHERS[name]
    found = examine(wild.resolved(checkpoint(wild.decoder), adapter, **spec), full=False).finding(check)
    assert found.status == status, found
    assert found.advice


def test_a_text_without_a_score_is_no_number(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), wild.NotAlways), full=False)
    assert found.failed == ()
    outputs, finite = found.finding("outputs"), found.finding("finite")
    assert "too odd" in outputs.reason
    assert outputs.measured["n_failed"] + finite.measured["n_texts"] == 64


def test_a_random_head_is_found_whatever_the_seed(checkpoint):
    before = torch.get_rng_state()
    found = examine(wild.resolved(checkpoint(wild.language_model), wild.ForkedHead))
    assert "random_head" in found.failed
    assert torch.equal(torch.get_rng_state(), before)


def test_the_last_token_is_replaced_by_another_one():
    text = Encoded(np.array([1, 2, 3, 9, 9, 0, 4, 9]), np.zeros(8))
    changed = _another(text, pad=0)
    assert changed.ids.tolist() == [1, 2, 3, 9, 9, 0, 4, 4]
    assert len(_without(text).ids) == len(_without(text).type_ids) == 7


def test_a_kernel_that_leaves_something_out(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), wild.SdpaForgets, attn_implementation="sdpa"))
    assert found.finding("attention").status == "warn"
    assert found.passed


def test_two_bos_tokens_that_a_spec_chose_are_right(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), wild.DoubledBos, bos="double"), full=False)
    assert found.finding("bos").status == "ok"
    assert dict(found.finding("bos").measured)["found"] == 2
    none = examine(wild.resolved(checkpoint(wild.decoder), wild.Script, bos="none"), full=False)
    assert none.failed == ("bos",)


def test_a_model_that_raises_has_no_numbers_to_check(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), wild.Raises))
    assert found.failed == ("outputs",)
    assert "IndexError: list index out of range" in found.finding("outputs").reason
    assert found.finding("direction").reason == "the model gives no outputs"


def test_scores_that_are_meant_to_be_probabilities_have_no_sigmoid_too_many(checkpoint):
    class Meant(wild.SigmoidLeftOn):
        bounded = True

    assert examine(wild.resolved(checkpoint(wild.decoder), Meant), full=False).finding("scale").status == "ok"


def test_small_scores_between_0_and_1_are_only_a_warning(checkpoint):
    class Small(wild.Script):
        def logits(self, ids, mask):
            return super().logits(ids, mask) * 0.01 + 0.5

    assert examine(wild.resolved(checkpoint(wild.decoder), Small), full=False).finding("scale").status == "warn"


def test_overflow_that_was_cut_is_found(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.large_numbers), wild.Clamped), full=False).finding("finite")
    assert found.status == "fail"
    assert found.measured["n_at_edge"] > 0
    assert "bfloat16" in found.advice


def test_a_model_without_direction_is_warned_of(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), wild.Coin), full=False)
    assert found.finding("direction").status == "warn"
    assert found.passed


# --- probes -----------------------------------------------------------------------------------------


def probes(checkpoint, expected, shift=0.0):
    talk = [{"role": "user", "content": "Is water wet?"}, {"role": "assistant", "content": "Yes."}]
    given = [{"messages": talk, "expected": e if e is None else e + shift, "atol": 1e-3} for e in expected]
    return examine(wild.resolved(checkpoint(wild.decoder), wild.Script, probe=given), full=False).finding("probe")


def test_a_probe_is_shown_held_or_broken(checkpoint):
    unknown = probes(checkpoint, [None])
    assert unknown.status == "skipped"
    assert "fill in" in unknown.reason
    (row,) = unknown.measured["probes"]
    right, wrong = (probes(checkpoint, [row["found"], None], shift) for shift in (0.0, 0.01))
    assert (right.status, wrong.status) == ("ok", "fail")
    assert "1 of 1" in wrong.reason


# --- loading ----------------------------------------------------------------------------------------


def test_what_cannot_be_loaded_fails_and_the_rest_is_skipped(checkpoint):
    class Broken(wild.Script):
        @classmethod
        def load(cls, resolved):
            raise InputError("no tensor score.weight; use the checkpoint with its head")

    class Odd(wild.Script):
        @classmethod
        def load(cls, resolved):
            raise ZeroDivisionError("planted")

    found, odd = (examine(wild.resolved(checkpoint(wild.decoder), a)) for a in (Broken, Odd))
    assert found.failed == odd.failed == ("load",)
    assert "score.weight" in found.finding("load").reason
    assert "ZeroDivisionError: planted" in odd.finding("load").reason
    assert {f.status for f in found.findings[1:]} == {"skipped"}


def test_an_adapter_object_is_not_loaded_again(checkpoint):
    found = examine(handed_over(wild.Script(wild.resolved(checkpoint(wild.decoder)))))
    assert "handed over" in found.finding("random_head").reason
    assert "handed over" in found.finding("attention").reason


# --- models that only compare, and those that read something else -------------------------------------


class Logit(Longer):
    """A difference of lengths, which is no probability."""

    def forward(self, batch, capture=frozenset()):
        return Forwarded(np.array([[float(e.ids[0]) - float(e.ids[1])] for e in batch], np.float32))


class First(Longer):
    """The first reply is the better one, whatever it says."""

    def forward(self, batch, capture=frozenset()):
        return Forwarded(np.array([[0.9]] * len(batch), np.float32))


class ReadsOneReply(Longer):
    """Only one of the two replies is in the text."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def encode_pairs(self, pairs):
        texts = [f"{p[0].conversation[:-1]} {p[self.place].conversation[-1].content}" for p in pairs]
        return [Encoded(np.frombuffer(text.encode(), np.uint8).astype(np.int32)) for text in texts]


@pytest.mark.parametrize("place", [0, 1])
def test_both_replies_must_be_in_the_text(place):
    found = examine(handed_over(ReadsOneReply(place)), full=False)
    assert set(found.failed) >= {"reply", "reply_end"}
    assert found.finding("reply").measured["unseen"] == ["reply"]


def test_pairs_have_checks_of_their_own():
    longer, logit, first = (examine(handed_over(a)) for a in (Longer(), Logit(), First()))
    assert logit.failed == ("reply", "probability")  # lengths are all that these encode: two prompts are one
    assert longer.finding("probability").status == "ok"
    assert longer.finding("orders").measured["flipped"] == 0
    assert longer.finding("swap").measured["accuracy"] + longer.finding("swap").measured["exchanged"] == 1
    assert longer.finding("scale").status == "skipped"
    assert first.finding("orders").status == "warn"
    assert first.finding("orders").measured["flipped"] == 1
    assert first.finding("direction").measured["accuracy"] == 0.5


@pytest.mark.parametrize("model", ["null/random", "null/longest"])
def test_what_knows_nothing_is_asked_little(model):
    found = examine(resolve(model))
    assert found.passed
    assert {f.check for f in found.findings if f.status != "skipped"} == {"load", "outputs", "finite"}


def test_a_model_without_a_head_is_not_asked(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder), "backbone"))
    assert {f.check for f in found.findings if f.status != "skipped"} == {"load"}
    assert "judges no text" in found.finding("direction").reason


@pytest.mark.parametrize("name", [k for k in KINDS if k[:2].strip() in ("D2", "E", "G1", "K") or k[:3] == "I1 "])
def test_other_kinds_have_no_failed_check_but_what_they_say(name, tmp_path):
    with ExitStack() as stack:
        found = examine(resolve(KINDS[name](tmp_path / "model", stack), device="cpu"), full=False)
    assert set(found.failed) <= {"direction", "scale"}  # random weights may prefer anything
    assert found.finding("load").status == "ok"
    assert ("ends of steps" in found.finding("end_token").reason) == name.startswith("G1")


@pytest.mark.parametrize(
    ("name", "check", "why"),
    [("I3 judge of one reply", "padding", "in words"), ("K scalar endpoint", "random_head", "server")],
)
def test_what_a_costly_model_is_not_asked_in_the_full_form_either(name, check, why, tmp_path):
    with ExitStack() as stack:
        found = examine(resolve(KINDS[name](tmp_path / "model", stack), device="cpu"))
    assert why in found.finding(check).reason
    assert found.finding("swap").status == "ok"


@pytest.mark.parametrize("name", ["I1 judge of two replies", "K scalar endpoint"])
def test_a_costly_model_is_asked_nothing_in_the_short_form(name, tmp_path, monkeypatch):
    with ExitStack() as stack:
        resolved = resolve(KINDS[name](tmp_path / "model", stack), device="cpu")
        adapter = resolved.load()
        monkeypatch.setattr(adapter, "forward", lambda *_: pytest.fail("it was asked"))
        found = examine(resolved, full=False, adapter=adapter)
    assert {f.check for f in found.findings if f.status != "skipped"} == {"load"}
    assert "type reward-harness doctor" in found.finding("direction").reason


def test_an_examination_is_data(checkpoint):
    found = examine(wild.resolved(checkpoint(wild.decoder)), full=False)
    assert Examination.from_dict(found.to_dict()) == found
    frame = found.to_frame()
    assert list(frame.columns) == ["check", "status", "reason", "measured", "advice"]
    assert len(frame) == len(found.findings)
    assert all(f.reason for f in found.findings if f.status in ("warn", "fail", "skipped"))


def test_the_examination_asks_through_the_interface_alone(checkpoint):
    """Nothing but what every adapter has is touched: a bare one behind a wrapper is examined alike."""

    class Bare(Adapter):
        def __init__(self, inner):
            self._inner, self.spec = inner, inner.spec

        @classmethod
        def load(cls, resolved):
            return cls(wild.Script(resolved))

        def encode(self, units):
            return self._inner.encode(units)

        def forward(self, batch, capture=frozenset()):
            return self._inner.forward(batch, capture)

    found = examine(wild.resolved(checkpoint(wild.decoder), Bare, attn_implementation="eager"))
    assert found.failed == ()
    assert "eager already" in found.finding("attention").reason
    assert found.finding("bos").status == "skipped"


@pytest.mark.parametrize(("member", "full"), [("helpful", False), ("harmless", False), ("mixed", True)])
def test_real_models_pass(shared, member, full):
    found = examine(resolve(str(shared / "models" / f"minilm-hh-{member}-s0"), device="cpu"), full)
    assert found.failed == ()
    done = {f.check for f in found.findings if f.status == "ok"}
    assert done >= {"padding", "bos", "reply_end", "pooling", "end_token", "swap", "scale", "truncation", "probe"}
    assert ({"random_head", "attention"} <= done) == full
