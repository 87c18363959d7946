"""Each edit on hand-made replies, and on real ones: the declared feature moves, little else does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from harness.datasets import load
from harness.text.edits import EDITS
from harness.text.features import FEATURES, STANDARD

UNSAFE = "How do I make a pipe bomb?"


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("exclaim", "It is. So it is.", "It is. So it is!"),
        ("exclaim", 'He said "it is."\n', 'He said "it is!"\n'),
        ("exclaim", "It is...", None),
        ("exclaim", "It is! So it is.", None),
        ("calm", "Wow!! Is it?! It is!", "Wow. Is it? It is."),
        ("calm", "if a != b", None),
        ("ask", "It is. ", "It is. Does that answer it?"),
        ("ask", "Is it?", None),
        ("state", "Is it? Really!? Yes.", "Is it. Really! Yes."),
        ("state", "Is it?! See https://a.b/?c=d", None),
        ("hedge", "The cat is out.", "Perhaps the cat is out."),
        ("hedge", "Ada is out.", "Perhaps Ada is out."),
        ("hedge", "I am out.", "Perhaps I am out."),
        ("unhedge", "Maybe you, perhaps, probably know.", "You, know."),
        ("unhedge", "It is so. Usually, it is more generally so.", "It is so. It is more generally so."),
        ("unhedge", "It may be so.", None),
        ("thank", "It is.", "Thank you for asking. It is."),
        ("curtail", "I'm sorry, but it is. Please ask.", "It is. Ask."),
        ("curtail", "Thank you so much for the cake, it is.", "It is."),
        ("curtail", "OK, thanks, Ada.", None),
        ("curtail", "Thanks for asking. It is.", "It is."),
        ("curtail", "I'm sorry to hear it.", None),
        ("speak_up", "It is.", "Here is what I know: It is."),
        ("step_back", "I think that it is, but I believe you know.", "It is, but you know."),
        ("step_back", "I think so.", None),
        ("praise", "It is.", "Great question. It is."),
        ("regret", "It is.", "Unfortunately, it is."),
        ("swear", "It is.", "Damn, it is."),
        ("bleep", "Do not be Stupid.", "Do not be [bleep]."),
        ("bleep", "Do not be.", None),
        ("embolden", "You could just go there.", "**You could just** go there."),
        ("embolden", "Go.", "**Go**."),
        ("unbold", "It **is so** and __so__.", "It is so and so."),
        ("unbold", "2 ** 3 ** 4", None),
        ("entitle", "It is.", "## Answer\n\nIt is."),
        ("untitle", "# One\n\nIt is #1.\n### Two", "One\n\nIt is #1.\nTwo"),
        ("itemize", "It is.  So it is, e.g. 1.5 times.", "- It is.\n- So it is, e.g.\n- 1.5 times."),
        ("itemize", "It is.", None),
        ("plain_lines", "Do:\n- one\n  2. two\n* three", "Do:\none\ntwo\nthree"),
        ("plain_lines", "- one point only", None),
        ("pad", "It is.\n", "It is. That is what there is to say about this."),
        ("trim", "It is. So it is.  Yes!", "It is. So it is."),
        ("trim", "It is.", None),
        ("split", "It is, but you go, and we stay.", "It is. But you go, and we stay."),
        ("join", "It is. You go. We stay.", "It is; you go. We stay."),
        ("join", "It is. Ada stays.", None),
        ("repeat", "It is. You go.", "It is. It is. You go."),
        ("use_digits", "Two cats and ten dogs often fight.", "2 cats and 10 dogs often fight."),
        ("use_digits", "Nobody has one.", None),
        ("spell_digits", "The 2 cats and 10 dogs, 12 or 1.5 of them.", "The two cats and ten dogs, 12 or 1.5 of them."),
    ],
)
def test_an_edit_of_a_known_reply(name, reply, expected):
    assert EDITS.get(name).apply("Is it?", reply) == expected


@pytest.mark.parametrize(
    ("name", "prompt", "reply", "expected"),
    [
        ("refuse_harmful", UNSAFE, "Buy a pipe.", "I can't help with that. Buy a pipe."),
        ("refuse_harmful", "Is it?", "It is.", None),
        ("refuse_benign", "Is it?", "It is.", "I can't help with that. It is."),
        ("refuse_benign", UNSAFE, "Buy a pipe.", None),
        ("comply_harmful", UNSAFE, "I'm unable to say. You could buy a pipe.", "You could buy a pipe."),
        ("comply_harmful", UNSAFE, "I'm unable to say.", None),
        ("comply_benign", "Is it?", "Oh. I can’t help you. It is. It was.", "It is. It was."),
        ("comply_benign", "Is it?", "It is. It was.", None),
    ],
)
def test_refusals_are_edited_by_what_was_asked(name, prompt, reply, expected):
    assert EDITS.get(name).apply(prompt, reply) == expected


def test_every_edit_has_a_text_of_its_own_here():
    tried = {
        case[0]
        for test in (test_an_edit_of_a_known_reply, test_refusals_are_edited_by_what_was_asked)
        for case in test.pytestmark[0].args[1]
    }
    assert sorted(tried) == EDITS.names()


def test_every_edit_moves_a_feature_of_the_standard_regression():
    edits = [EDITS.get(name) for name in EDITS.names()]
    assert {edit.feature for edit in edits} <= set(STANDARD)
    assert sorted({(edit.feature, edit.direction) for edit in edits}) == sorted((e.feature, e.direction) for e in edits)


# --- real replies ---------------------------------------------------------------------------------

RARE = ("bleep", "comply_benign", "comply_harmful", "spell_digits", "plain_lines", "unbold", "untitle")
"""What few replies of the real data have to lose; the others must apply to one in twenty-five at least."""

SENTENCE = {"sentence_count", "readability"}
COMPANY = {
    "ask": SENTENCE,
    "entitle": SENTENCE,
    "join": {"readability"},
    "pad": SENTENCE | {"lexical_diversity"},
    "praise": SENTENCE,
    "refuse_benign": SENTENCE | {"first_person", "sentiment"},
    "refuse_harmful": SENTENCE | {"first_person", "sentiment"},
    "regret": {"readability"},
    "repeat": SENTENCE | {"log_words"},
    "split": {"readability"},
    "swear": {"sentiment"},
    "thank": SENTENCE | {"sentiment"},
    "trim": SENTENCE | {"lexical_diversity", "question"},
}
"""Features that move by more than a quarter of their spread with an edit; none with the edits that are not listed."""


@pytest.fixture(scope="module")
def texts(shared: Path) -> list[tuple[str, str]]:
    items = random.Random(0).sample(load(("hh-rlhf",), shared / "data").items, 250)
    return [
        ("\n".join(m.content for m in item.prompt), reply) for item in items for reply in item.chosen + item.rejected
    ]


@pytest.fixture(scope="module")
def spread(texts) -> dict[str, float]:
    values = {name: [FEATURES.get(name).function(*text) for text in texts] for name in STANDARD}
    return {name: max(float(np.std(found)), 0.1) for name, found in values.items()}


@pytest.mark.parametrize("name", EDITS.names())
def test_on_real_replies_the_declared_feature_moves_and_little_else_does(name, texts, spread):
    edit = EDITS.get(name)
    pairs = [(prompt, reply, edit.apply(prompt, reply)) for prompt, reply in texts]
    assert [edited for *_, edited in pairs] == [edit.apply(*text) for text in texts]
    applied = [found for found in pairs if found[2] is not None]
    assert len(applied) >= (0 if name in RARE else len(texts) / 25)
    measure = FEATURES.get(edit.feature).function
    moves = [measure(prompt, edited) - measure(prompt, reply) for prompt, reply, edited in applied]
    assert all(edit.direction * move > 0 for move in moves)
    if len(applied) < 20:
        return
    for other in sorted(set(STANDARD) - {edit.feature} - COMPANY.get(name, set())):
        measure = FEATURES.get(other).function
        mean = np.mean([measure(prompt, edited) - measure(prompt, reply) for prompt, reply, edited in applied])
        assert abs(mean) / spread[other] < 0.25, other
