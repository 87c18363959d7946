"""The benchmark's arithmetic on planted seconds, and that what it cannot measure leaves no number."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from harness.testing.tiny import tiny_model
from tests.benchmarks import __main__ as program
from tests.benchmarks import corpus, machine
from tests.benchmarks.cached import imported
from tests.benchmarks.contest import Matrix, Rounds, flops, interleaved
from tests.benchmarks.record import Absent, Finding, Record

ROUNDS = Rounds({"ours": (2.0, 1.0, 4.0), "theirs": (3.0, 6.0, 5.0), "matrix": (0.5, 0.25, 1.0)})


def test_speed_is_the_ratio_of_the_minima_with_the_rounds_beside_it():
    found = ROUNDS.speed("ours", "theirs", at_least=3.0)
    assert found.measured == 3.0
    assert found.rounds == (1.25, 6.0)
    assert found.met


def test_rate_is_work_over_time_over_that_of_products():
    # 80 operations in 1 s at best, a product of 10 in 0.25 s at best: 80 a second over 40 a second
    found = ROUNDS.rate("useful FLOPs", 80.0, "ours", 10.0)
    assert found.measured == 2.0
    assert found.rounds == (2.0, 2.0)
    assert found.met is None


def test_rounds_are_interleaved():
    order: list[str] = []

    def contestant(name: str, seconds: float):
        return lambda: order.append(name) or seconds

    rounds = interleaved({"a": contestant("a", 1.0), "b": contestant("b", 2.0)}, 2)
    assert order == ["a", "b", "a", "b"]
    assert rounds.seconds == {"a": (1.0, 1.0), "b": (2.0, 2.0)}


@pytest.mark.parametrize(
    ("measured", "at_least", "under", "met"),
    [
        (1.9, 1.9, None, True),
        (1.89, 1.9, None, False),
        (4.0, None, 4.0, False),
        (3.9, None, 4.0, True),
        (1.0, None, None, None),
        (math.nan, 1.0, None, False),
    ],
)
def test_a_target_is_met_or_not(measured, at_least, under, met):
    assert Finding("x", measured, at_least=at_least, under=under).met is met


@pytest.mark.parametrize("family", ["bert", "llama", "qwen3"])
def test_operations_are_those_torch_counts(family, tmp_path):
    folder = tiny_model(tmp_path, family)
    # torch does not count its fused attention on a CPU
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    n = 100
    # Outside the blocks torch sees the head, on every token of a decoder, and an encoder's pooler on one.
    outside = {"bert": 2 * 32 * 32 + 2 * 32, "llama": 2 * 32 * n, "qwen3": 2 * 32 * n}[family]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.full((1, n), 7))
    # the rotary embedding of decoders is a product too, of position and frequency: far below one per cent
    assert flops(model, np.array([n]), causal=False) == pytest.approx(counter.get_total_flops() - outside, rel=5e-3)


def test_half_the_attention_of_a_causal_model_counts(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model(tmp_path, "llama"))
    lengths = np.array([10, 20])
    seen = flops(model, lengths, causal=False) - flops(model, lengths, causal=True)
    assert seen == 2 * 2 * 32 * (10**2 + 20**2)


def test_a_matrix_product_counts_two_operations_a_cell():
    assert Matrix(64).flops == 2 * 64**3
    assert Matrix(64)() > 0


def test_imports_are_read_from_the_report_of_python():
    report = "import time: self [us] | cumulative | imported package\nimport time:       5 |   9 | harness\n"
    assert imported(report) == set()
    assert imported(report + "import time:      1 |      1 |     torch.nn\n") == {"torch"}
    with pytest.raises(AssertionError, match="no import times"):
        imported("")


def test_generated_texts_are_all_different_and_repeatable():
    items = corpus.generated(200)
    assert items == corpus.generated(200)
    assert len({(i.prompt, side) for i in items for side in (i.chosen, i.rejected)}) == 400


def test_a_record_says_what_it_holds_for(tmp_path):
    path = tmp_path / "new" / "row.json"
    Record([Finding("x", 2.0, at_least=1.0)], {"texts": 3}, {"ours": (1.0,)}).write(path)
    found = json.loads(path.read_text())
    assert (found["findings"][0]["met"], found["conditions"], found["seconds"]) == (True, {"texts": 3}, {"ours": [1.0]})
    assert found["environment"]["cpu"] == machine.name()


def test_what_was_measured_elsewhere_is_not_replaced_by_nothing(tmp_path):
    path = tmp_path / "row.json"
    Absent("no CUDA device").write(path)
    assert json.loads(path.read_text()) == {"not_measured": "no CUDA device"}
    Record([Finding("x", 1.0)]).write(path)
    Absent("no CUDA device").write(path)
    assert "findings" in json.loads(path.read_text())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_row_without_its_device_says_so(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "gpu", "--out", str(tmp_path)])
    program.main()
    assert "not measured: no CUDA device" in capsys.readouterr().out
    assert json.loads((tmp_path / "gpu.json").read_text()) == {"not_measured": "no CUDA device"}
