"""What a dry run reckons with, against what a run then asks for."""

from __future__ import annotations

from collections import Counter

from harness.tasks.neuron_ablation.params import Params
from harness.tasks.neuron_ablation.steps import READING
from harness.tasks.neuron_ablation.task import NeuronAblation

from harness.task import Accumulate, Score, TaskData
from harness.testing import planted_scenes
from harness.testing.planted import gather_planted


class Counted:
    """A subject that counts the passes it is asked for, by unit."""

    def __init__(self, subject):
        self.subject, self.members = subject, subject.members
        self.scored, self.read = Counter(), Counter()

    def ensure(self, requests):
        self.subject.ensure(requests)

    def answer(self, request):
        if isinstance(request, Score):
            self.scored.update({u.unit_id: len(request.conditions) for u in request.units})
        if isinstance(request, Accumulate):
            self.read.update(u.unit_id for u in request.units)
        return self.subject.answer(request)


def test_a_dry_run_expects_about_what_a_run_asks_for():
    scene = planted_scenes.siblings(0, n=30, corpus=40)
    params, task = Params(pairs=30, corpus_pairs=40, controls=10), NeuronAblation()
    data = TaskData(scene.items, scene.subject.members)
    counted = Counted(scene.subject)
    gather_planted(task, scene.items, params, counted)
    expected = task.passes(data, params, ("mixed", 0))
    swept = {unit.unit_id: n for unit, n in expected if n != READING}
    assert set(swept) == set(counted.scored)
    assert 0.7 < sum(counted.scored.values()) / sum(swept.values()) < 1.4
    assert {unit.unit_id for unit, n in expected if n == READING} == set(counted.read)


def test_a_sibling_is_only_read():
    scene = planted_scenes.siblings(0, n=10, corpus=20)
    data = TaskData(scene.items, scene.subject.members)
    params = Params(pairs=10, corpus_pairs=20)
    found = NeuronAblation().passes(data, params, ("helpful", 0))
    assert {n for _, n in found} == {READING}
    assert {unit.dataset for unit, _ in found} == {"hh-rlhf", "hh-rlhf-train"}
    assert NeuronAblation().passes(data, Params(pairs=10, corpus_pairs=20, controls=0), ("mixed", 0))[0][1] == 1 + 6 * 4
