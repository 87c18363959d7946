"""The registry of features, and the words they count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import registry
from harness.errors import InputError
from harness.registry import UnknownNameError, load_plugin
from harness.text.feature import Feature, feature, vocabulary, words
from harness.text.features import FEATURES

PLUGIN = """
from harness.text.features import feature
@feature("spoiler", "binary", desired_sign=-1, version="3")
def ellipsis(prompt, reply):
    return float("..." in reply)
"""


@pytest.fixture(autouse=True)
def _features_as_they_were(monkeypatch):
    monkeypatch.setattr(FEATURES, "_objects", dict(FEATURES._objects))


def test_a_plugin_adds_a_feature_and_may_run_twice(tmp_path):
    (tmp_path / "dots.py").write_text(PLUGIN)
    load_plugin(tmp_path / "dots.py")
    load_plugin(tmp_path / "dots.py")
    found = FEATURES.get("ellipsis")
    assert (found.name, found.column, found.version) == ("ellipsis", "x_ellipsis@3", "3")
    assert (found.kind, found.form, found.desired_sign) == ("spoiler", "binary", -1)
    assert found.function("", "well...") == 1.0


def test_a_built_in_feature_keeps_its_name(tmp_path):
    (tmp_path / "thief.py").write_text(PLUGIN.replace("ellipsis", "log_words"))
    with pytest.raises(InputError, match="two features are called 'log_words'"):
        load_plugin(tmp_path / "thief.py")
    assert FEATURES.get("log_words").kind == "control"


def test_names_are_not_stolen_by_a_decorator_either():
    with pytest.raises(InputError, match="two features are called 'bold'"):

        @feature("control", "log")
        def bold(prompt: str, reply: str) -> float:
            return 0.0


def test_a_misspelt_name_suggests_the_right_one():
    with pytest.raises(UnknownNameError, match="unknown feature 'exclamations'; did you mean exclamation"):
        FEATURES.get("exclamations")


def test_an_entry_point_brings_a_feature(monkeypatch):
    theirs = Feature("shouting", "1", "spoiler", "binary", 0, lambda prompt, reply: float(reply.isupper()))
    point = SimpleNamespace(name="shouting", dist=SimpleNamespace(name="acme"), load=lambda: theirs)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "reward_harness.features" else [])
    assert "acme/shouting" in FEATURES.names()
    assert FEATURES.get("acme/shouting").function("", "HEY") == 1.0


def test_words_are_lower_case_with_straight_apostrophes():
    assert words("Don’t STOP_it: 2 go‘s, well-known!") == ("don't", "stop", "it", "2", "go's", "well", "known")
    assert vocabulary("A a b") == {"a", "b"}
    assert words("") == ()
