"""Every transform does what it declares, on every text: exactly those invariants, once or again, pure."""

from __future__ import annotations

import pytest
from harness.tasks.rewrite_robustness.params import Params
from harness.tasks.rewrite_robustness.variants import attempts
from harness.tasks.rewrite_robustness.variants import rewritten as rewritten_units
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.preference import Message, PreferenceItem
from harness.task import TaskData
from harness.text.invariants import INVARIANTS, broken
from harness.text.transforms import SETS, TRANSFORMS

from .texts import CORPUS, TEXTS

NAMES = sorted({name for names in SETS.values() for name in names})
STANDARD = sorted(SETS["standard"])
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ITEMS = tuple(f"item-{number}" for number in range(5))


def rewritten(name: str, text: str, item: str = "item", prompt: str = "Is it so?"):
    return TRANSFORMS.get(name).apply(prompt, text, item, 0)


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, item=st.sampled_from(ITEMS))
@QUICK
def test_what_is_declared_holds(name, text, item):
    transform = TRANSFORMS.get(name)
    made = rewritten(name, text, item)
    if made.text is None:
        assert made.problems == ()
        return
    assert made.text != text
    assert broken(text, made.text, transform.preserves) == ()
    assert rewritten(name, text, item) == made
    if name in STANDARD:
        assert made.problems in ((), ("edit_ratio",))
    again = rewritten(name, made.text, item).text
    if transform.idempotent:
        assert again in (None, made.text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_declared_is_broken_somewhere(name):
    transform = TRANSFORMS.get(name)
    pairs = [(text, rewritten(name, text, item).text) for text in CORPUS for item in ITEMS]
    made = [(text, changed) for text, changed in pairs if changed is not None]
    seen = {invariant for text, changed in made for invariant in broken(text, changed, INVARIANTS)}
    assert sorted(seen) == sorted(set(INVARIANTS) - transform.preserves)


@pytest.mark.parametrize("name", [name for name in NAMES if not TRANSFORMS.get(name).idempotent])
def test_what_is_not_idempotent_changes_more_the_second_time(name):
    once = [changed for text in CORPUS if (changed := rewritten(name, text).text) is not None]
    assert any(rewritten(name, text).text is not None for text in once)


@pytest.mark.parametrize("name", NAMES)
def test_every_transform_applies_to_some_text_and_not_to_a_blank_one(name):
    assert any(rewritten(name, text).text is not None for text in CORPUS)
    assert [rewritten(name, blank).text for blank in ("", " ", "\n\t")] == [None] * 3


@pytest.mark.parametrize("name", NAMES)
def test_a_result_depends_on_item_and_seed_and_on_nothing_drawn_before(name):
    transform = TRANSFORMS.get(name)
    backwards = [rewritten(name, text, item) for text in reversed(CORPUS) for item in reversed(ITEMS)]
    assert [rewritten(name, text, item) for text in CORPUS for item in ITEMS] == backwards[::-1]
    assert all(transform.apply("p", text, ITEMS[0], 0) == transform.apply("p", text, ITEMS[0], 0) for text in CORPUS)


def test_prompts_are_the_same_messages_before_and_after():
    prompt = (Message("user", "Sum  1\r\n?\u0301"), Message("assistant", "It's 2."), Message("user", "Don't you `x`? "))
    items = tuple(
        PreferenceItem(str(number), prompt, (text,), (f"{text} No.",), "made", "all", "helpful", str(number))
        for number, text in enumerate(CORPUS)
    )
    data = TaskData(items)
    before = {unit.unit_id: unit for unit in data.units()}
    made = rewritten_units(attempts(data, Params(transforms=",".join(NAMES))))
    assert {unit.variant for unit in made} == {TRANSFORMS.get(name).variant for name in NAMES}
    for unit in made:
        original = before[unit.unit_id.partition("@")[0]]
        assert unit.conversation[-1] != original.conversation[-1]
        assert all(a is b for a, b in zip(unit.conversation[:-1], prompt, strict=True))
        assert original.conversation[:-1] == prompt
