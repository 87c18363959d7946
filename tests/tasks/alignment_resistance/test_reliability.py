"""Agreement of verdicts between passes, joined by item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.alignment_resistance.opinions import opinion_column
from harness.tasks.alignment_resistance.reliability import AGAINST, reliability_rows
from harness.tasks.alignment_resistance.rules import RULES
from sklearn.metrics import cohen_kappa_score

from harness.labels import PASSES
from harness.task import TASKS, Metric
from harness.testing import planted
from tests.tasks.alignment_resistance import labelled

TASK = TASKS.get("alignment_resistance")()
ITEMS = planted.items(np.random.default_rng(0), 200, per_cluster=2)
RULE = RULES["pareto"]({})


def drawn(seed: int) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {
        i.id: str(v) for i, v in zip(ITEMS, rng.choice(["c", "i", "r"], len(ITEMS), p=[0.5, 0.3, 0.2]), strict=True)
    }


def like(verdicts: dict[str, str], share: float) -> dict[str, str]:
    """The same verdicts, a share of them replaced by drawn ones."""
    other, rng = drawn(99), np.random.default_rng(1)
    return {i: other[i] if rng.random() < share else v for i, v in verdicts.items()}


def found(first: dict[str, str], **others: dict[str, str]) -> dict[str, Metric]:
    labels = labelled.labels(ITEMS, first, **others)
    _, _, metrics = planted.drive(TASK, ITEMS, params=TASK.Params(draws=0), labels=labels)
    return {m.name: m for m in metrics if m.name.startswith("labeler") and dict(m.dims) == {"rule": "pareto"}}


def test_each_kappa_is_that_of_the_verdicts_both_passes_gave():
    first = drawn(0)
    some = dict(list(like(first, 0.3).items())[:120])
    rows = found(first, second=some, retest=like(first, 0.05), gold=like(first, 1.0))
    assert rows["labeler_n"].value == 200
    assert rows["labeler_kappa"].value == pytest.approx(
        cohen_kappa_score([first[i] for i in some], list(some.values()))
    )
    assert rows["labeler_kappa"].n == 120
    assert rows["labeler_kappa"].n_clusters == 60
    assert rows["labeler_kappa"].ci.low < rows["labeler_kappa"].value < rows["labeler_kappa"].ci.high
    assert rows["labeler_retest"].value > 0.85
    assert rows["labeler_gold"].ci.low < 0 < rows["labeler_gold"].ci.high
    assert rows["labeler_reliable"].value == 0.0


def test_a_pass_that_is_absent_says_how_to_get_one():
    rows = found(drawn(0), retest=drawn(0))
    assert rows["labeler_retest"].value == 1.0
    assert rows["labeler_reliable"].value == 1.0
    assert "another model" in rows["labeler_kappa"].reason
    assert "by hand" in rows["labeler_gold"].reason
    alone = found(drawn(0))
    assert alone["labeler_n"].value == 200
    assert [alone[name].value for name in AGAINST] == [None] * 3
    assert alone["labeler_reliable"].value is None


def test_without_labels_all_is_null_but_the_count():
    _, _, metrics = planted.drive(TASK, ITEMS, params=TASK.Params(draws=0))
    rows = {m.name: m for m in metrics if m.name.startswith("labeler")}
    assert rows["labeler_n"].value == 0
    for name in (*AGAINST, "labeler_reliable"):
        assert "reward-harness label" in rows[name].reason


def test_labels_of_other_pairs_are_no_agreement():
    ids = [i.id for i in ITEMS]
    first, second = (dict.fromkeys(some, "c") for some in (ids[:100], ids[100:]))
    assert "no second labeler" in found(first, second=second)["labeler_kappa"].reason


def test_shuffled_verdicts_agree_by_chance_only():
    rng = np.random.default_rng(2)
    items = pd.DataFrame({"cluster_id": [i.cluster_id for i in ITEMS]})
    given = np.array(list(drawn(0).values()))
    kappas, alarms = [], 0
    for _ in range(300):
        frame = items.assign(**{opinion_column(p): rng.permutation(given) for p in PASSES})
        (row,) = [m for m in reliability_rows(frame, RULE) if m.name == "labeler_kappa"]
        kappas.append(row.value)
        alarms += not row.ci.low <= 0 <= row.ci.high
    assert abs(np.mean(kappas)) < 0.02
    assert 5 <= alarms <= 29  # 15 are expected, the standard deviation is 3.8
