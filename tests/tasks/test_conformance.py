"""What every task promises, of the tasks that read scores alone."""

from __future__ import annotations

import pytest

from harness.task import TASKS
from harness.testing.conformance import check_task


@pytest.mark.parametrize("name", ["alignment_resistance", "feature_imprint"])
def test_a_task_keeps_what_every_task_promises(name):
    task = TASKS.get(name)()
    check_task(task)
    assert task.meta.name == name
