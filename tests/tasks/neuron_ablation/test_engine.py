"""The whole task through a real engine: a transformer whose neurons are known, and what is stored when it is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.models.base import Resolved
from harness.preference import PreferenceItem
from harness.results.result import Result
from harness.testing.planted_scenes import Truth
from harness.testing.planted_transformer import WIDTH, K, marked_items, planted_transformer
from tests.datasets.conftest import hh_row, write

DATA = ["hh-rlhf/helpful-base", "hh-rlhf/helpful-online", "hh-rlhf-train/harmless-base", "xstest"]
PARAMS: dict[str, Any] = {"percents": "5", "pairs": 24, "corpus_pairs": 60, "controls": 12, "draws": 200, "skip": 0}
FILES = {
    ("hh-rlhf", "helpful-base"): "Anthropic/hh-rlhf/helpful-base/test.jsonl.gz",
    ("hh-rlhf", "helpful-online"): "Anthropic/hh-rlhf/helpful-online/test.jsonl.gz",
    ("hh-rlhf-train", "harmless-base"): "preference/train-only.harmless-base.all.jsonl.gz",
}


def transcript(item: PreferenceItem) -> dict[str, Any]:
    return hh_row(item.prompt[0].content, item.chosen[0], item.rejected[0])


def pair(item: PreferenceItem) -> dict[str, Any]:
    prompt = [{"role": m.role, "content": m.content} for m in item.prompt]
    return {
        "id": item.id,
        "subset": item.subset,
        "prompt": prompt,
        "chosen": item.chosen[0],
        "rejected": item.rejected[0],
    }


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """At this size more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data laid out as on the Hub, words that the planted transformers know."""
    path = tmp_path_factory.mktemp("neurons")
    items = marked_items(np.random.default_rng(0), 30, 60)
    for (dataset, subset), name in FILES.items():
        write(path / "data" / name, [transcript(i) for i in items if (i.dataset, i.subset) == (dataset, subset)])
    write(path / "data/preference/xstest.jsonl.gz", [pair(i) for i in items if i.dataset == "xstest"])
    return path


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return planted_transformer(folder / "model")


@pytest.fixture(scope="module")
def run(folder: Path, truth: Truth) -> Callable[..., Result]:
    def call(roles: dict[str, Path] | None = None, **more: Any) -> Result:
        (result,) = harness.run(
            None if roles else folder / "model",
            ["neuron_ablation"],
            roles=roles,
            data=DATA,
            data_dir=folder / "data",
            params={"neuron_ablation": PARAMS | more},
            results=folder / "results",
            store=folder / "store.sqlite",
        )
        return result

    return call


@pytest.fixture(scope="module")
def result(run: Callable[..., Result]) -> Result:
    return run()


def test_it_succeeds(result: Result) -> None:
    assert result.record.status == "success"
    assert {m.dims["set"] for m in result.record.metrics if m.name == "k"} >= {"only_helpful", "only_harmless"}


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_planted_neurons_are_found(result: Result, truth: Truth, objective: str) -> None:
    score = result.arrays[f"score/model.0/{objective}"]
    best = {(int(n) // WIDTH, int(n) % WIDTH) for n in np.argsort(-score.ravel())[:K]}
    planted = getattr(truth, objective)
    assert len(best & planted) >= 0.95 * len(planted)


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_they_carry_their_own_objective_alone(result: Result, objective: str) -> None:
    assert result.metric(f"tension_{objective}").value != 1.0
    own, other = ("helpful", "harmless") if objective == "helpful" else ("harmless", "helpful")
    dims = {"set": f"only_{objective}", "p": "5"}
    kept = {o: result.metric(f"kappa_{o}", **dims).value for o in (own, other)}
    assert kept[own] < 0.6 < kept[other]  # type: ignore[operator]


def test_specificity_is_found_and_a_set_that_nothing_random_matches_is_said_to_be_so(result: Result) -> None:
    found = result.metric("specificity_helpful")
    assert found.value is not None
    assert found.value < -0.3
    assert found.ci is not None
    assert found.ci.high < -0.1
    assert (found.p is None) == ("control draws: a p needs 10" in (found.reason or ""))
    # The harmless set carries all of two groups of three: no random set of this small model damages as much.
    other = result.metric("specificity_harmless")
    assert other.value is None
    assert "unmatched" in (other.reason or "")


def test_a_result_that_was_deleted_is_made_again_from_what_is_stored(
    run: Callable[..., Result], result: Result, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {(m.name, tuple(sorted(m.dims.items()))): (m.value, m.p, m.reason) for m in result.record.metrics}
    arrays = {name: array.copy() for name, array in result.arrays.items()}
    shutil.rmtree(folder / "results")

    def refuse(self: Resolved) -> None:
        raise AssertionError("a model was loaded although everything is stored")

    monkeypatch.setattr(Resolved, "load", refuse)
    again = run()
    assert {(m.name, tuple(sorted(m.dims.items()))): (m.value, m.p, m.reason) for m in again.record.metrics} == before
    assert all(np.array_equal(again.arrays[name], array) for name, array in arrays.items())


SMALL: dict[str, Any] = {"percents": "10", "headline": 10, "pairs": 20, "corpus_pairs": 30, "controls": 2, "draws": 50}


@pytest.mark.parametrize(
    "more", [{"site": "attention", "mode": "resample"}, {"profile": "paper"}], ids=["heads", "paper"]
)
def test_other_sites_and_profiles_run(run: Callable[..., Result], more: dict[str, Any]) -> None:
    found = run(**SMALL | more)
    assert found.record.status == "success"
    layers, width = found.arrays["chosen_by/model.0/helpful"].shape
    lost = [m for m in found.record.metrics if m.name == "d_acc_helpful" and m.dims["set"] == "own_helpful"]
    assert [m.value is not None for m in lost] == [True]
    assert found.metric("k", set="own_helpful").value == round(layers * width / 10)


@pytest.mark.parametrize("site", ["mlp", "attention"])
def test_change_against_a_base_and_the_overlap_with_it(
    run: Callable[..., Result], truth: Truth, folder: Path, site: str
) -> None:
    if not (folder / "base").exists():
        planted_transformer(folder / "base", seed=1)
    found = run({"model": folder / "model", "base": folder / "base"}, **SMALL | {"score": "rms_change", "site": site})
    assert found.record.status == "success"
    assert found.metric("k", set="own_helpful").value
    assert {m.dims["b"] for m in found.record.metrics if m.name == "jaccard" and "score" in m.dims} == {
        "base/helpful",
        "base/harmless",
    }
