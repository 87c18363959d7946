"""Rewards that pay for one thing, on real pairs: the whole task finds it and nothing else."""

from __future__ import annotations

import pytest

from harness import datasets
from harness.preference import Unit
from harness.task import TASKS
from harness.testing import planted
from harness.text.features import FEATURES

TASK = TASKS.get("feature_imprint")()


@pytest.mark.parametrize(
    ("paid", "loaded"),
    [("log_words", {"log_words"}), ("refusal", {"refusal_on_harmful", "refusal_on_benign"})],
)
def test_a_reward_for_length_or_refusal_alone_loads_only_that(shared, paid, loaded):
    suite = datasets.load(("hh-rlhf/harmless-base",), shared / "data")
    measure = FEATURES.get(paid).function

    def score(unit: Unit) -> float:
        *before, last = (turn.content for turn in unit.conversation)
        return measure("\n".join(before), last) + 0.2 * planted.noise(unit)

    metrics = planted.drive(TASK, suite.items, score, params=TASK.Params(draws=0, edited_texts=0))[2]
    betas = {m.dims["feature"]: m for m in metrics if m.name == "beta" and "subset" not in m.dims}
    found = {name for name, m in betas.items() if m.p_holm is not None and m.p_holm < 0.05}
    assert found == loaded
    least = min(betas[name].value for name in loaded)
    assert least > 0.5
    assert all(abs(m.value) < 0.1 * least for name, m in betas.items() if name not in loaded and m.value is not None)
