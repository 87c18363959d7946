"""What every task promises, of the tasks that read scores alone."""

from __future__ import annotations

import pytest

from harness.task import TASKS
from harness.testing.conformance import check_task, suite_items


@pytest.mark.parametrize("name", ["alignment_resistance", "feature_imprint"])
def test_a_task_keeps_what_every_task_promises(name):
    task = TASKS.get(name)()
    check_task(task)
    assert task.meta.name == name


def test_so_does_the_one_that_rewrites():
    task = TASKS.get("rewrite_robustness")()
    params = task.Params(transforms="quoted,swap_3", draws=5)
    items = suite_items(task, n=8)
    check_task(task, items[: len(items) // 4], params=params)
    assert len(params.names) == 2
