from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from harness.tasks.neuron_ablation.params import PROFILES, Params
from harness.tasks.neuron_ablation.task import NeuronAblation

from harness.config import split_params, task_params
from harness.errors import InputError

TASK = NeuronAblation()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_sets_what_it_names_and_the_default_the_rest(profile: str) -> None:
    params = task_params(TASK, {"profile": profile})
    for name, value in {**PROFILES["default"], **PROFILES[profile]}.items():
        assert getattr(params, name) == value
    assert None not in dataclasses.asdict(params).values()


def test_every_profile_sets_known_parameters() -> None:
    fields = {f.name for f in dataclasses.fields(Params)}
    assert all(set(values) <= fields for values in PROFILES.values())


def test_what_is_given_beats_the_profile() -> None:
    params = Params(profile="paper", mode="mean", controls=0, strict=False, percents=(5.0,))
    assert (params.mode, params.controls, params.strict, params.percents) == ("mean", 0, False, (5.0,))
    assert params.score == "signed_mean"


@pytest.mark.parametrize("profile", PROFILES)
def test_recorded_parameters_give_the_same_run_again(profile: str) -> None:
    params = task_params(TASK, {"profile": profile, "controls": "7", "seed": "3"})
    recorded = json.loads(json.dumps(dataclasses.asdict(params)))
    assert task_params(TASK, recorded) == params


def test_the_numbers_of_the_methods() -> None:
    default, rigorous, quick, paper = (Params(profile=p) for p in ("default", "rigorous", "quick", "paper"))  # type: ignore[arg-type]
    assert (default.levels, default.headline, default.controls, default.pairs) == ((1, 2, 5, 10), 5, 20, 300)
    assert (default.score, default.mode, default.corpus_pairs, default.draws) == ("attr", "mean", 2000, 10_000)
    assert rigorous == dataclasses.replace(default, profile="rigorous", controls=199)
    assert (quick.levels, quick.controls, quick.pairs) == ((5,), 5, 60)
    assert (paper.site, paper.span, paper.skip, paper.ties, paper.strict) == ("activation", "text", 0, "keep", True)
    assert paper.levels == (*range(2, 6, 2), 5, *range(6, 31, 2))


@pytest.mark.parametrize(("text", "levels"), [("1,2,5", (1, 2, 5)), ("7", (5, 7)), ("0.5,10", (0.5, 5, 10))])
def test_percents_from_the_command_line(text: str, levels: tuple[float, ...]) -> None:
    given = split_params([f"neuron_ablation.percents={text}"], [TASK])["neuron_ablation"]
    assert task_params(TASK, given).levels == levels


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"percents": "0,5"}, "above 0"),
        ({"percents": "60"}, "up to 50"),
        ({"percents": "a"}, "percents"),
        ({"percents": ()}, "percents"),
        ({"headline": "nan"}, "above 0"),
        ({"score": "magic"}, "attr, abs_mean"),
        ({"controls": "-1"}, "controls=-1: expected at least 0"),
        ({"pairs": "1"}, "pairs=1: expected at least 2"),
        ({"corpus_pairs": "0"}, "corpus_pairs=0: expected at least 2"),
        ({"profile": "fast"}, "profile=fast"),
        ({"sets": "other"}, "sets=other"),
        ({"ties": "keep", "rank": "layer"}, "ties=exact"),
    ],
)
def test_wrong_parameters_are_named_with_what_was_expected(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        task_params(TASK, given)
