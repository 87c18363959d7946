"""What a transform owes and how one is registered, shown on transforms made here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from harness.errors import InputError
from harness.registry import UnknownNameError, load_plugin
from harness.text.rewritten import Rewritten
from harness.text.transform import Transform, noise, transform
from harness.text.transforms import TRANSFORMS

from .transforms.texts import TEXTS

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


@pytest.fixture(autouse=True)
def _registered_here_only(monkeypatch):
    monkeypatch.setattr(TRANSFORMS, "_objects", dict(TRANSFORMS._objects))


def made(function, preserves=(), **other) -> Transform:
    facts = {"name": "made", "version": "1", "kind": "core", "idempotent": True, "family": "made", **other}
    return Transform(preserves=frozenset(preserves), function=function, **facts)


def plus(suffix):
    return lambda prompt, reply, rng: reply + suffix


# --- what becomes of a reply ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Rewritten(None), "none"),
        (Rewritten("x"), "valid"),
        (Rewritten("x", ("digits", "edit_ratio")), "digits+edit_ratio"),
        (Rewritten(None, ("missing",)), "missing"),
        (Rewritten(""), "valid"),
    ],
)
def test_the_status_of_an_outcome(outcome, status):
    assert outcome.status == status


def test_a_transform_that_changes_nothing_does_not_apply():
    assert made(lambda prompt, reply, rng: None).apply("p", "So.", "i", 0) == Rewritten(None)
    assert made(lambda prompt, reply, rng: reply).apply("p", "So.", "i", 0) == Rewritten(None)
    assert made(plus("!")).apply("p", " \n", "i", 0) == Rewritten(None)
    assert made(plus("!")).apply("p", "So.", "i", 0) == Rewritten("So.!")


def test_what_fails_a_check_is_named_and_keeps_its_text():
    assert made(plus(" 3"), ("digits", "urls")).apply("p", "So.", "i", 0) == Rewritten("So. 3", ("digits",))
    assert made(plus(" 3"), ("urls",)).apply("p", "So.", "i", 0).status == "valid"
    blank = made(lambda prompt, reply, rng: "\n", ("words",), most=0.5)
    assert blank.apply("p", "So.", "i", 0).status == "words+edit_ratio+empty"


def test_the_edit_ratio_may_be_as_large_as_declared():
    assert made(plus("!"), most=0.25).apply("p", "So.", "i", 0).status == "valid"
    assert made(plus("!!"), most=0.25).apply("p", "So.", "i", 0).status == "edit_ratio"


def test_a_transform_sees_the_prompt():
    assert made(lambda prompt, reply, rng: prompt[::-1]).apply("ab", "So.", "i", 0).text == "ba"


def test_what_is_drawn_depends_on_item_seed_family_and_version_alone():
    def draw(item="i", seed=0, reply="So.", **facts):
        return made(lambda prompt, reply, rng: str(rng.integers(10**9)), **facts).apply("p", reply, item, seed).text

    assert draw() == draw() == draw(reply="Else.") == draw(name="other", rate=0.1)
    assert (
        len(
            {
                draw(),
                draw(item="j"),
                draw(seed=1),
                draw(family="other"),
                draw(version="2"),
                draw("\ud83d"),
                draw("\ud83e"),
            }
        )
        == 7
    )


# --- registration ---------------------------------------------------------------------------------


def test_a_transform_is_registered_under_its_functions_name():
    def whisper(prompt, reply, rng):
        return reply.replace("!", ".")

    assert transform("core", ("words", "digits"), idempotent=True, most=0.4, version="3")(whisper) is whisper
    found = TRANSFORMS.get("whisper")
    assert (found.name, found.version, found.kind, found.idempotent) == ("whisper", "3", "core", True)
    assert (found.family, found.rate, found.most, found.variant) == ("whisper", None, 0.4, "rewrite/whisper@3")
    assert found.preserves == {"words", "digits"}
    transform("stress", (), idempotent=False)(whisper)
    assert TRANSFORMS.get("whisper").variant == "rewrite/whisper"
    with pytest.raises(InputError, match="two transforms are called 'whisper'; rename one of them"):
        transform("core", (), idempotent=True)(_namesake())


def _namesake():
    def whisper(prompt, reply, rng):
        return reply

    return whisper


def test_noise_is_registered_at_every_rate_with_one_generator_so_that_more_holds_the_less():
    @noise(("digits",), per_cent=(1, 20, 50), most=0.9)
    def starred(reply, rng, rate):
        return "".join(
            "*" if draw < rate else letter for letter, draw in zip(reply, rng.random(len(reply)), strict=True)
        )

    reply = "abcdefgh" * 30
    found = [TRANSFORMS.get(f"starred_{percent}") for percent in (1, 20, 50)]
    assert [(one.family, one.rate, one.kind, one.idempotent, one.most) for one in found] == [
        ("starred", rate, "noise", False, 0.9) for rate in (0.01, 0.2, 0.5)
    ]
    hit = [
        {at for at, letter in enumerate(one.apply("p", reply, "i", 0).text or reply) if letter == "*"} for one in found
    ]
    assert hit[0] < hit[1] < hit[2]
    assert 0.1 < len(hit[1]) / len(reply) < 0.3
    with pytest.raises(InputError, match="two transforms are called 'starred_1'"):
        noise((), per_cent=(1,))(_starred())


def _starred():
    def starred(reply, rng, rate):
        return reply

    return starred


def test_an_invariant_that_does_not_exist_is_refused_before_anything_is_registered():
    known = "they are digits, urls, code, quotes, negations, words"
    with pytest.raises(ValueError, match=f"no invariant is called 'verbs'; {known}"):
        transform("core", ("digits", "verbs"), idempotent=True)
    with pytest.raises(ValueError, match="no invariant is called 'verbs'"):
        noise(("verbs",))


def test_an_unknown_transform_is_told_its_neighbours():
    with pytest.raises(UnknownNameError, match="unknown transform 'contrct'; did you mean contract"):
        TRANSFORMS.get("contrct")


@pytest.fixture
def guided(tmp_path) -> Transform:
    """The transform that CONTRIBUTING shows, loaded as a plugin, twice."""
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    [example] = [text for text in examples if "@transform(" in text]
    plugin = tmp_path / "unhurried.py"
    plugin.write_text(example, encoding="utf-8")
    load_plugin(plugin)
    load_plugin(plugin)
    return TRANSFORMS.get("one_ellipsis")


@given(TEXTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_example_of_the_guide_does_what_it_declares(guided, text):
    once = guided.apply("p", f"{text}...", "i", 0)
    assert once.problems == ()
    assert once.text is None or guided.apply("p", once.text, "i", 0) == Rewritten(None)


def test_the_example_of_the_guide_on_known_replies(guided):
    assert guided.apply("p", "Well... so.", "i", 0) == Rewritten("Well… so.")
    assert guided.apply("p", "Well, `...` at http://a.b/...", "i", 0) == Rewritten(None)
