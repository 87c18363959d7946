"""What every edit owes, shown on edits made here."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.registry import UnknownNameError
from harness.text.edits import EDITS, Edit, edit


def made(function, feature: str = "exclamation", direction: int = 1) -> Edit:
    return Edit("made", "1", feature, direction, function)


def test_an_edit_applies_where_its_feature_moves_as_declared_and_only_there():
    shout = made(lambda prompt, reply: reply + "!")
    assert shout.apply("p", "So.") == "So.!"
    assert shout.apply("p", "So!") is None
    assert made(shout.function, direction=-1).apply("p", "So.") is None


@pytest.mark.parametrize("answer", [None, "", " \n"])
def test_an_edit_that_leaves_nothing_does_not_apply(answer):
    assert made(lambda prompt, reply: answer, "log_words", -1).apply("p", "Some words.") is None


def test_a_feature_that_reads_the_prompt_reads_the_same_one_before_and_after():
    asked = []

    def copy(prompt: str, reply: str) -> str:
        asked.append(prompt)
        return f"{reply} {prompt}"

    assert made(copy, "overlap").apply("potatoes", "Bake them.") == "Bake them. potatoes"
    assert asked == ["potatoes"]


def test_an_edit_is_registered_under_its_functions_name():
    def whisper(prompt: str, reply: str) -> str:
        return reply.replace("!", ".")

    try:
        assert edit("exclamation", -1, version="3")(whisper) is whisper
        found = EDITS.get("whisper")
        assert (found.name, found.version, found.feature, found.direction) == ("whisper", "3", "exclamation", -1)
        assert found.variant == "edit/whisper@3"
        edit("exclamation", -1)(whisper)
        with pytest.raises(InputError, match="two edits are called 'whisper'"):
            edit("exclamation", -1)(_namesake())
    finally:
        EDITS._objects.pop("whisper", None)


def _namesake():
    def whisper(prompt: str, reply: str) -> str:
        return reply

    return whisper


def test_a_direction_is_up_or_down():
    with pytest.raises(ValueError, match="found direction 0"):
        edit("exclamation", 0)


def test_an_edit_of_a_feature_nobody_registered_says_so():
    with pytest.raises(UnknownNameError, match="exclamation"):
        made(lambda prompt, reply: reply + "!", "exclamations").apply("p", "So.")
