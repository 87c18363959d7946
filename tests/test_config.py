"""A base beside a reward model, from what a user types to the record and to what a task gets of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness import datasets
from harness.config import LoadOptions
from harness.dry_run import dry_run
from harness.errors import InputError
from harness.models.adapters.backbone import Backbone
from harness.reading import Reading
from harness.results.store import read_record
from harness.task import TASKS, Accumulate, Attach, Metric, Score, Task, TaskData, TaskMeta
from harness.testing.tiny import tiny_model
from tests.engine.bases import base, differences, pretrained, reward_model

PAIRS = [
    {
        "id": f"p{i}",
        "prompt": "how do i bake bread",
        "chosen": "mix flour " * (1 + i % 4),
        "rejected": "no " * (1 + i % 3),
    }
    for i in range(8)
]
CPU = LoadOptions(device="cpu")


class Moved(Task):
    """Root mean square change of every neuron from the base, as an array, and the mean score."""

    meta = TaskMeta("moved", "1", "change", (), frozenset({"scores"}), ("mean_change",))

    @dataclass(frozen=True)
    class Params:
        skip: int = 1
        max_pairs: int | None = None

    def steps(self, data, params):
        units = data.units()
        _, change = yield Score(units), Accumulate(units, Reading("change", skip=params.skip), against="base")
        yield Attach(arrays={f"{m}/{s}": np.sqrt(found["mean_square"]) for (m, s), found in change.items()})

    def evaluate(self, table, arrays, params):
        value = float(np.mean(arrays["model/0"])) if "model/0" in arrays else None
        return [Metric("mean_change", value, "ratio", reason=None if value else "no neurons", main=True)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = tiny_model(folder / "rm", "llama")
    return model, pretrained(folder / "pre", "llama", seed=3), tiny_model(folder / "rm-2", "llama", seed=5)


@pytest.fixture
def run(tmp_path: Path):
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(p) + "\n" for p in PAIRS))

    def call(tasks=None, **roles):
        where = {"data": [str(data)], "results": tmp_path / "results", "store": tmp_path / "s.sqlite", "options": CPU}
        return harness.run(None, tasks or [Moved()], roles=roles, **where)

    return call


def test_a_task_gets_the_change_and_the_record_says_from_what(run, paths, tmp_path):
    model, pre, _ = paths
    (result,) = run(model=str(model), base=str(pre))
    assert result.record.status == "success", result.record.reason
    items = datasets.load([str(tmp_path / "pairs.jsonl")], None).items
    texts = reward_model(model, "llama").load().encode(TaskData(items).units())
    expected = np.sqrt((differences(model, pre, texts, "mlp", 1) ** 2).mean(1))
    assert result.arrays["model/0"] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    members = {m.member: m for m in read_record(result.folder).subject.members}
    assert set(members) == {"model", "base"}
    assert members["base"].model.fingerprint == base(pre).fingerprint
    assert members["base"].model.adapter == "backbone@1"
    assert members["base"].model.id == "local/pre"
    assert members["base"].model.dtype == "float32"
    assert (result.record.subject.kind, result.record.subject.name) == ("family", "local/rm")
    assert set(result.table["member"]) == {"model"}


def test_the_same_again_computes_nothing_and_another_base_is_another_result(run, paths, monkeypatch):
    model, pre, other = map(str, paths)
    (first,) = run(model=model, base=pre)
    (third,) = run(model=model, base=other)
    monkeypatch.setattr(Backbone, "load", classmethod(lambda cls, resolved: pytest.fail("the base was loaded again")))
    (second,) = run(model=model, base=pre)
    assert second.written is False
    assert first.folder == second.folder != third.folder
    assert np.abs(first.arrays["model/0"] - third.arrays["model/0"]).max() > 0.01


def test_seeds_have_the_base_of_their_seed_or_share_one(run, paths):
    model, _, other = map(str, paths)
    (result,) = run(model=[model, other], base=[other, other])
    assert np.abs(result.arrays["model/0"]).min() > 0
    assert (result.arrays["model/1"] == 0).all()
    (shared,) = run(model=[model, other], base=model)
    assert (shared.arrays["model/0"] == 0).all()
    assert shared.arrays["model/1"] == pytest.approx(result.arrays["model/0"], abs=0)


@pytest.mark.parametrize("name", ["objective_interference", "alignment_resistance"])
def test_tasks_that_only_score_do_not_see_a_base(run, paths, name):
    model, pre, other = map(str, paths)
    plain = run([name], model=model, reference=other)[0]
    based = run([name], model=model, reference=other, base=pre)[0]
    assert based.record.status == plain.record.status
    pd.testing.assert_frame_equal(based.table, plain.table)
    assert [m.model_dump() for m in based.record.metrics] == [m.model_dump() for m in plain.record.metrics]
    assert name in TASKS.names()


def test_a_base_alone_is_no_subject_and_what_is_no_transformer_is_no_base(run, paths):
    model, pre, _ = map(str, paths)
    with pytest.raises(InputError, match=r"local/pre: no model here reads texts.*--role model=M"):
        run(base=pre)
    with pytest.raises(InputError, match="null/random is no transformer"):
        run(model=model, base="null/random")
    with pytest.raises(InputError, match=r"no member 'base' to compare model with; add --role base=PATH"):
        run(model=model, reference=model)


def test_a_dry_run_times_what_scores(paths, tmp_path):
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(p) + "\n" for p in PAIRS))
    said = dry_run(
        None, [Moved()], roles={"model": str(paths[0]), "base": str(paths[1])}, family=None, data=[str(data)],
        data_dir=None, params={}, limit=None, labels=None, rewrites=None, store=tmp_path / "s.sqlite", options=CPU,
    )  # fmt: skip
    assert "model/0 local/rm" in said
    assert "base/0" not in said
