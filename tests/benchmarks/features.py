"""The offline features of a regression over all of hh-rlhf (test): texts a second of one core's processor time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness import preference
from harness.datasets import load, restrict
from harness.preference import Unit
from harness.text.features import STANDARD, featurize
from tests.benchmarks.record import Finding, NotMeasured, Record, Setting

DATA = "hh-rlhf"
AT_LEAST = 2000.0


def measure(setting: Setting) -> Record:
    """Texts over the processor seconds of this process, not those on the clock: featurizers keep one core busy and
    wait for nothing, so that whatever else the machine does hardly moves the rate."""
    units = _units(setting)
    featurize(units[:10], STANDARD)  # the sentiment lexicon is read once a process
    seconds = [_processor_seconds(units) for _ in range(setting.rounds)]
    rates = [len(units) / taken for taken in seconds]
    return Record(
        [Finding("texts a second of processor time, one core", max(rates), (min(rates), max(rates)), AT_LEAST)],
        {
            "texts": len(units),
            "data": DATA,
            "subsets": sorted({unit.subset for unit in units}),
            "features": list(STANDARD),
            "rounds": setting.rounds,
            "clock": "time.process_time",
        },
        {"featurize": seconds},
    )


def _units(setting: Setting) -> list[Unit]:
    data = setting.shared / "data"
    if not data.is_dir():
        raise NotMeasured(f"no {DATA} beside the project")
    suite = load([DATA], data)
    few = setting.texts and max(1, setting.texts // (2 * len(suite.records)))
    return list(preference.units(restrict(suite, few).items))


def _processor_seconds(units: Sequence[Unit]) -> float:
    began = time.process_time()
    featurize(units, STANDARD)
    return time.process_time() - began
