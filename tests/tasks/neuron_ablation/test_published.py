"""The published result: it follows from its samples, and the README says what it says."""

from __future__ import annotations

import re

import pytest

from harness.results.store import find_results, read_record
from harness.runner import recompute
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def folder():
    (found,) = [p.parent for p in find_results(ROOT / "results") if "neuron_ablation@" in p.as_posix()]
    return found


def test_its_metrics_follow_from_its_samples(folder):
    assert recompute(folder)[1]


def test_the_readme_tells_its_numbers(folder):
    record = read_record(folder)
    text = (ROOT / "README.md").read_text().split("<!-- neurons -->")[1].split("<!-- /neurons -->")[0]

    def get(name, **dims):
        (found,) = [m for m in record.metrics if m.name == name and dims.items() <= m.dims.items()]
        return found

    harmless = {"set": "only_harmless", "p": "5"}
    excess = [get("excess_refuse", control=control, **harmless) for control in ("rand_layer", "damage")]
    for metric in (get("d_acc_refuse", **harmless), *excess):
        assert f"{-metric.value:.1f} pp [{-metric.ci.high:.1f}, {-metric.ci.low:.1f}]" in text
    for control, words in (
        ("rand_layer", "of their standard deviations below"),
        ("damage", "standard deviations below)"),
    ):
        apart = -get("z_refuse", control=control, **harmless).value
        assert f"{apart:.1f} {words}" in text
    assert get("controls", control="damage", **harmless).value == 3
    sizes = get("control_k", **harmless).value / get("k", **harmless).value
    assert 5.5 < sizes < 6  # "nearly six times as large"
    assert get("specificity_harmless").value is None
    assert {round(get("score_reliability", objective=o).value, 1) for o in ("helpful", "harmless")} == {0.5}
    assert record.task.params["profile"] == "quick"
    assert all(m.p is None for m in record.metrics)
    shown = re.search(r"!\[.*\]\((.*)\)", text)
    assert shown is not None
    assert (ROOT / shown.group(1)).read_bytes().startswith(b"\x89PNG")
