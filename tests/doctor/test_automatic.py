"""The short form before a first result: once a model, kept with its scores, told in the result, never in the way."""

from __future__ import annotations

import json

import pytest

import harness
from harness.doctor import Examination, examine
from harness.doctor.automatic import examining
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.models.base import Resolved
from harness.results.store import read_record
from tests.doctor import wild
from tests.test_runner import PAIRS, Accuracy


def counting(calls):
    """The examination, which also notes that it was made."""

    def call(*args, **more):
        calls.append(args)
        return examine(*args, **more)

    return call


@pytest.fixture
def run(checkpoint, tmp_path):
    """A run of a tiny model on a few pairs, with a spec in a file."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(p) + "\n" for p in PAIRS[:4]))

    def call(results="results", store="s.sqlite", **spec):
        file = tmp_path / "spec.yaml"
        file.write_text(json.dumps({"model": "given", "template": "tokenizer", **spec}))
        options = harness.LoadOptions(spec=file, device="cpu")
        (result,) = harness.run(
            str(checkpoint(wild.decoder)),
            [Accuracy()],
            data=[str(pairs)],
            results=tmp_path / results,
            store=tmp_path / store,
            options=options,
        )
        return result

    return call


def test_a_result_holds_what_the_doctor_found(run):
    result = run()
    (examination,) = read_record(result.folder).examinations
    assert (examination.member, examination.seed, examination.form) == ("model", 0, "short")
    found = {f.check: f.status for f in examination.findings}
    assert found["direction"] == "ok"
    assert found["random_head"] == "skipped"
    assert "fail" not in found.values()
    assert result.failed_checks == []


def test_a_failed_check_stops_nothing_and_is_told(run):
    result = run(direction="lower_is_better")
    assert result.record.status == "success"
    (line,) = result.failed_checks
    assert "1 of the doctor's checks: direction: bad replies win" in line
    assert line in result.summary()


def test_a_model_is_examined_once_and_a_cached_run_loads_nothing(run, monkeypatch):
    examined = []
    monkeypatch.setattr("harness.doctor.automatic.examine", counting(examined))
    first = run()
    assert len(examined) == 1
    monkeypatch.setattr(Resolved, "load", lambda _: pytest.fail("it was loaded"))
    second = run(results="elsewhere")
    assert second.written
    assert second.record.examinations == first.record.examinations
    assert len(examined) == 1


def test_what_older_checks_found_is_not_relied_upon(checkpoint, monkeypatch, tmp_path):
    examined = []
    monkeypatch.setattr("harness.doctor.automatic.examine", counting(examined))
    resolved, store = wild.resolved(checkpoint(wild.decoder)), ScoreStore(tmp_path / "s.sqlite")
    opened = examining(Replica.load, store)
    for _ in range(2):
        opened(resolved)
    assert len(examined) == 1
    store.put_examination(resolved.fingerprint, store.examination(resolved.fingerprint) | {"version": "0"})
    opened(resolved)
    assert len(examined) == 2


def test_the_same_result_with_other_last_digits_is_the_same(run, tmp_path):
    first = run()
    again = run(store="another.sqlite")
    assert not again.written
    store = ScoreStore(tmp_path / "s.sqlite")
    fingerprint = first.record.subject.members[0].model.fingerprint
    known = store.examination(fingerprint)
    known["findings"][3]["measured"]["max_delta"] = 0.25
    store.put_examination(fingerprint, known)
    file = first.folder / "result.json"
    file.write_text(file.read_text().replace(first.record.environment["code_sha256"], "0" * 64))
    assert not run().written


def test_models_in_workers_are_not_examined_until_one_is_here(checkpoint, tmp_path):
    store, resolved = ScoreStore(tmp_path / "s.sqlite"), wild.resolved(checkpoint(wild.decoder))

    class Workers:
        traits = None

    examining(lambda _: Workers(), store)(resolved)
    skipped = Examination.from_dict(store.examination(resolved.fingerprint))
    assert not skipped.said
    assert "in workers" in skipped.finding("padding").reason
    examining(Replica.load, store)(resolved)
    assert Examination.from_dict(store.examination(resolved.fingerprint)).said


def test_the_store_forgets_examinations_with_the_rest(tmp_path):
    store = ScoreStore(tmp_path / "s.sqlite")
    assert store.examination("f") is None
    store.put_examination("f", {"version": "1"})
    assert ScoreStore(tmp_path / "s.sqlite").examination("f") == {"version": "1"}
    store.clear()
    assert store.examination("f") is None
