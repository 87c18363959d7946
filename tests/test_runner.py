from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness import datasets
from harness.engine.progress import Progress
from harness.errors import HarnessError, InputError
from harness.labels import LabelRow, text_id, write_labels
from harness.models.base import Resolved
from harness.models.spec import ModelSpec
from harness.outcomes import outcomes
from harness.preference import Message
from harness.results.store import read_record, read_samples
from harness.task import TASKS, Accumulate, Attach, Capture, Metric, Score, Task, TaskMeta, originals
from harness.testing import tiny
from tests.engine.fakes import Counting, Longer


class Accuracy(Task):
    """Mean credit, and a reply's captured length attached as a column."""

    meta = TaskMeta("accuracy", "1", "mean credit", (), frozenset({"scores|compares"}), ("accuracy",))

    @dataclass(frozen=True)
    class Params:
        scale: float = 1.0
        max_pairs: int | None = None

    def steps(self, data, params):
        units = data.units()
        table, captured = yield Score(units), Capture(units)
        parts = [c.frame()[[1]].rename(columns={1: "x_model_length"}).reset_index() for c in captured.values()]
        yield Attach(parts[0] if parts else None, {"sizes": np.array([len(table)])})

    def evaluate(self, table, arrays, params):
        credit = outcomes(originals(table))["credit"].dropna()
        value = None if credit.empty else credit.mean() * params.scale
        return [Metric("accuracy", value, "proportion", n=len(credit), main=True)]


class Broken(Accuracy):
    meta = TaskMeta("broken", "1", "raises", ())

    def evaluate(self, table, arrays, params):
        raise ZeroDivisionError("planted")


PAIRS = [
    {
        "id": f"p{i}",
        "prompt": f"Question {i}?",
        "chosen": " ".join(["zz"] * (1 + i % 3)),
        "rejected": " ".join("a" * (1 + i % 2)),
    }
    for i in range(12)
]
REPLIES = {p[side] for p in PAIRS for side in ("chosen", "rejected")}
WORDS = [(len(p["chosen"].split()), len(p["rejected"].split())) for p in PAIRS]
LONGEST = float(np.mean([(c > r) + (c == r) / 2 for c, r in WORDS]))


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(p) + "\n" for p in PAIRS))
    return str(path)


@pytest.fixture
def run(tmp_path: Path, pairs: str):
    def call(model="null/longest", tasks: Sequence = (Accuracy(),), **more):
        more = {"data": [pairs], "results": tmp_path / "results", "store": tmp_path / "s.sqlite"} | more
        return harness.run(model, list(tasks), **more)

    return call


def test_a_result_holds_what_a_reader_needs(run):
    (result,) = run(Counting())
    record = read_record(result.folder)
    assert record.status == "success"
    assert result.metric("accuracy").value == 1.0
    assert result.folder.parts[-4:] == record.path_parts()
    assert record.counts.model_dump() == {"scored": 24, "failed": 0, "truncated": 0, "ties": 0, "skipped": 0}
    assert record.samples.rows == len(result.table) == 24
    assert record.numerics["batch_delta_max"] == 0.0
    assert "Question" not in (result.folder / "result.json").read_text()
    assert set(result.table["x_model_length"]) == {1.0, 2.0, 3.0, 5.0, 8.0}
    assert result.arrays["sizes"].tolist() == [24]
    baselines = result.metric("accuracy").baselines
    assert baselines["longest"] == pytest.approx(LONGEST)
    assert baselines["shortest"] == pytest.approx(1 - LONGEST)
    assert "accuracy = 100.0 %" in result.summary()


def test_the_same_command_again_writes_and_scores_nothing(run):
    (first,) = run()
    before = (first.folder / "result.json").read_bytes()
    seen: list[Progress] = []
    (second,) = run(report=seen.append)
    assert (second.written, seen) == (False, [])
    assert (first.folder / "result.json").read_bytes() == before


def test_the_same_command_again_does_not_even_evaluate(run):
    evaluated = []

    class Counted(Accuracy):
        def evaluate(self, table, arrays, params):
            evaluated.append(len(table))
            return super().evaluate(table, arrays, params)

    run(tasks=[Counted()])
    once = len(evaluated)
    run(tasks=[Counted()])
    assert len(evaluated) == once > 0


def test_other_parameters_are_another_result(run):
    (one,), (two,) = run(), run(params={"accuracy": {"scale": "0.5"}})
    assert one.folder != two.folder
    assert two.metric("accuracy").value == pytest.approx(one.metric("accuracy").value / 2)


def test_other_content_is_not_overwritten_unless_told(run):
    class Changed(Accuracy):
        def evaluate(self, table, arrays, params):
            return [Metric("accuracy", 0.25, "proportion")]

    (first,) = run()
    stale = (first.folder / "result.json").read_text().replace('"code_sha256": "', '"code_sha256": "0')
    (first.folder / "result.json").write_text(stale)
    with pytest.raises(HarnessError, match="--overwrite"):
        run(tasks=[Changed()])
    assert read_record(first.folder).metrics[0].value != 0.25
    (second,) = run(tasks=[Changed()], overwrite=True)
    assert read_record(second.folder).metrics[0].value == 0.25


def test_a_task_that_fails_loses_no_score_and_hurts_no_other(run):
    good, bad = run(tasks=[Accuracy(), Broken()])
    assert good.record.status == "success"
    assert bad.record.status == "error"
    assert "ZeroDivisionError: planted" in bad.record.reason
    assert len(read_samples(bad.folder)) == 24


def test_tasks_share_forward_passes(run):
    adapter = Counting()

    class Again(Accuracy):
        meta = TaskMeta("again", "1", "the same", ())

    run(adapter, tasks=[Accuracy(), Again()])
    mine = [text for text in adapter.texts if text.decode() in REPLIES]
    assert len(mine) == 2 * len(set(mine)) > 0  # each once, and once more for the numerics replicate


def test_a_task_that_does_not_apply_says_why(run):
    class NeedsStates(Accuracy):
        meta = TaskMeta("needs_states", "1", "needs hidden states", (), needs=frozenset({"hidden_states"}))

    (result,) = run(Longer(), tasks=[NeedsStates()])
    assert result.record.status == "not_applicable"
    assert "offers compares" in result.record.reason


class NeedsNeurons(Accuracy):
    """Reads neurons, which of two models one has."""

    meta = TaskMeta("needs_neurons", "1", "needs neurons", (), needs=frozenset({"scores", "neurons"}))

    def steps(self, data, params):
        yield Score(data.units())
        yield Accumulate(data.units())

    def evaluate(self, table, arrays, params):
        return [Metric("rows", len(table), "count", main=True)]


@pytest.fixture
def tiny_bert_like(tmp_path, monkeypatch):
    """`tiny_bert_like("albert")`: a model whose one layer runs twice; `bert`: one whose neurons can be read."""
    kind = tiny.Family("albert", tiny._wordpiece, {"embedding_size": 16})
    monkeypatch.setitem(tiny.FAMILIES, "albert", kind)
    return lambda family: ModelSpec(model=str(tiny.tiny_model(tmp_path / family, family)), template={"pair": "plain"})


def test_a_model_whose_neurons_cannot_be_read_is_not_applicable(run, tiny_bert_like, monkeypatch):
    albert, bert = tiny_bert_like("albert"), tiny_bert_like("bert")
    unread, scored = run(albert, tasks=[NeedsNeurons(), Accuracy()])
    assert (unread.record.status, scored.record.status) == ("not_applicable", "success")
    assert "local/albert lacks neurons: " in unread.record.reason
    assert "albert_layers.0.ffn_output ran 2 times" in unread.record.reason
    assert len(unread.table) == 0
    (read,) = run(bert, tasks=[NeedsNeurons()])
    assert read.record.status == "success"

    def refuse(self):
        raise AssertionError("a model was loaded although everything is stored")

    monkeypatch.setattr(Resolved, "load", refuse)
    for spec, first in ((albert, unread), (bert, read)):
        (again,) = run(spec, tasks=[NeedsNeurons()], overwrite=True)
        assert (again.record.status, again.record.reason) == (first.record.status, first.record.reason)


def test_a_model_that_only_compares_gets_behavioural_tasks(run):
    (result,) = run(Longer())
    lengths = [(len(p["chosen"]), len(p["rejected"])) for p in PAIRS]
    assert result.metric("accuracy").value == pytest.approx(np.mean([(c > r) + (c == r) / 2 for c, r in lengths]))


def test_too_many_failures_make_a_result_partial(run, tmp_path):
    rows = [*PAIRS, {"id": "bad", "prompt": "?", "chosen": "odd", "rejected": "b"}]
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(p) + "\n" for p in rows))
    (result,) = run(Counting(), data=[str(path)])
    assert result.record.status == "partial"
    assert result.record.counts.failed == 1
    assert result.record.metrics[0].n == 12


def test_an_interrupted_run_says_so_and_resumes(run, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(report=stop)
    (path,) = (tmp_path / "results").rglob("result.json")
    assert read_record(path).status == "partial"
    (result,) = run()
    assert result.record.status == "success"


def test_limits_nest_and_enter_the_identity(run):
    (whole,), (five,), (ten,) = run(), run(limit=5), run(params={"accuracy": {"max_pairs": "10"}})
    assert [r.record.counts.scored for r in (whole, five, ten)] == [24, 10, 20]
    assert len({r.folder for r in (whole, five, ten)}) == 3
    assert set(five.table["unit_id"]) < set(ten.table["unit_id"])
    assert five.record.task.limit == 5


def test_a_family_has_a_row_a_member_and_seed(run):
    (result,) = run(None, roles={"helpful": ["null/longest", "null/random"], "harmless": "null/shortest"})
    seats = result.table[["member", "seed"]].drop_duplicates().to_records(index=False).tolist()
    assert sorted(seats) == [("harmless", 0), ("helpful", 0), ("helpful", 1)]
    assert result.record.subject.revision.startswith("family-")
    assert result.record.subject.kind == "family"


def test_recompute_gives_identical_metrics(run):
    (result,) = run()
    TASKS.register("accuracy")(Accuracy)
    again, identical = harness.recompute(result.folder)
    assert identical
    assert again.record.metrics == result.record.metrics


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        ({"tasks": ["acuracy_"]}, "unknown task"),
        ({"tasks": []}, "no task was named; known:"),
        ({"params": {"accuracy": {"scal": "1"}}}, "did you mean scale"),
        ({"params": {"accuracy": {"scale": "much"}}}, "accuracy.scale=much"),
        ({"model": None}, "exactly one of"),
        ({"roles": {"helpful": "null/longest"}}, "exactly one of"),
        ({"model": None, "roles": {"helpfull": "null/longest"}}, "did you mean helpful"),
        ({"model": None, "family": Path("absent.yaml")}, "cannot read the family"),
        ({"data": ["absent.jsonl"]}, "absent.jsonl"),
        ({"limit": 0}, "at least 1"),
    ],
)
def test_a_wrong_request_says_what_to_type_next(run, more, cure):
    with pytest.raises(InputError, match=cure):
        run(**more)


def labels_of(path: Path, rows: Sequence[int], labels: dict | None) -> Path:
    """A file of labels of the chosen replies of these rows of `PAIRS`."""
    found = []
    for i in rows:
        said = Message("user", PAIRS[i]["prompt"]), Message("assistant", PAIRS[i]["chosen"])
        error = "refused" if labels is None else None
        found.append(LabelRow(text=text_id(said), labeler="m", schema_sha256="ab", labels=labels, error=error))
    write_labels(path, found)
    return path


class Labelled(Accuracy):
    """How many replies have a label."""

    meta = TaskMeta("labelled", "1", "count", (), frozenset({"scores|compares"}), ("labelled",))

    def steps(self, data, params):
        yield Score(data.units()), Attach(data.labels.frame(data.units()) if data.labels else None)

    def evaluate(self, table, arrays, params):
        known = float(table["x_label_helpful"].notna().sum()) if "x_label_helpful" in table else None
        return [Metric("labelled", known, "count", reason=None if known is not None else "no labels")]


def test_labels_go_to_the_tasks_whose_replies_they_are_of(run, pairs, tmp_path):
    suite = datasets.load([pairs])
    few = {item.id for item in datasets.restrict(suite, 3).items}
    other = next(i for i, item in enumerate(suite.items) if item.id not in few)
    labels = labels_of(tmp_path / "l.jsonl", [other], {"helpful": "yes"})
    plain, all_pairs = run(tasks=[Accuracy(), Labelled()], labels=labels, params={"accuracy": {"max_pairs": "3"}})
    assert plain.record.task.labels is None
    assert all_pairs.record.task.labels.sha256 == hashlib.sha256(labels.read_bytes()).hexdigest()
    assert all_pairs.record.task.labels.labelers == {"first": ("m",)}
    assert all_pairs.metric("labelled").value == 1.0


@pytest.mark.parametrize("limit", [None, 3])
def test_labels_of_other_texts_and_labels_that_are_all_missing_are_refused(run, tmp_path, limit):
    none = labels_of(tmp_path / "none.jsonl", range(12), None)
    with pytest.raises(
        InputError, match=r"none of the replies to be scored: of its 12 rows 12 have no label.*--max-pairs"
    ):
        run(labels=none, limit=limit)
    elsewhere = tmp_path / "elsewhere.jsonl"
    row = LabelRow(text="0" * 32, labeler="m", schema_sha256="ab", labels={"helpful": "yes"})
    write_labels(elsewhere, [row])
    with pytest.raises(InputError, match="of its 1 rows 0 have no label, the others are of other texts"):
        run(labels=elsewhere, limit=limit)
    assert not (tmp_path / "results").exists()


def test_a_results_place_that_cannot_be_written_loses_nothing(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="scores are kept"):
        run(results=tmp_path / "file" / "results")
    seen: list[Progress] = []
    run(report=seen.append)
    assert seen == []


def test_a_shuffled_table_gives_the_same_metrics(run):
    from harness import metrics

    (result,) = run()
    task = Accuracy()
    shuffled = result.table.sample(frac=1, random_state=3)
    assert metrics.evaluate(task, shuffled, {}, task.Params()) == metrics.evaluate(
        task, result.table, {}, task.Params()
    )


def test_importing_the_library_loads_neither_torch_nor_transformers():
    code = (
        "import sys, harness, harness.runner, harness.cli.main, harness.leaderboard.files, harness.results.validate\n"
        "for t in harness.TASKS.names(): harness.TASKS.get(t)\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'openai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_attached_columns_are_joined_by_id():
    from harness.gather import Gathering

    gathering = Gathering(iter(()))
    gathering.tables = [
        pd.DataFrame({c: [0, 0] for c in ("condition", "replicate", "member", "seed")} | {"unit_id": ["a", "b"]})
    ]
    gathering.attached = [pd.DataFrame({"unit_id": ["b", "a", "c"], "x_f": [2, 1, 3]})]
    assert gathering.table()[["unit_id", "x_f"]].to_numpy().tolist() == [["a", 1], ["b", 2]]
