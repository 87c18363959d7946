"""Columns that no result has alone: a task computes them from the score tables of all models on the board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.leaderboard.sources import Identity, Source
from harness.leaderboard.spec import BoardSpec
from harness.metrics import record
from harness.results.store import read_samples
from harness.task import TASKS, Across, ScoreTable, empty_table

AddAcross = Callable[[BoardSpec, Sequence[Source]], Sequence[Source]]
"""The sources of a board, their records with the metrics that only all of them together have."""


def nothing_across(spec: BoardSpec, sources: Sequence[Source]) -> Sequence[Source]:
    """No samples at hand: such columns are not measured."""
    return sources


def samples_across(results_root: Path) -> AddAcross:
    """Metrics of `Task.across` that a column names, computed from the samples of the results below `results_root`."""

    def add(spec: BoardSpec, sources: Sequence[Source]) -> Sequence[Source]:
        for task, metric in dict.fromkeys((column.task, column.metric) for column in spec.columns):
            function = _offered(task).get(metric)
            if function is not None:
                sources = _with_metric(spec, sources, task, function, results_root)
        return sources

    return add


def held_against(
    judged: Iterable[Source], board: Iterable[Source], is_baseline: Callable[[str], bool]
) -> dict[Identity, list[Identity]]:
    """For each source, the others it is measured by: no baselines, and nothing of its own family, itself included.

    Models are of one family where one result on the board, of any task, has both as members.
    """
    models = {source.identity: _models(source) for source in judged}
    families = [_models(source) for source in board]  # a result of several models is a source of its own, too
    kin = {who: set().union(own, *(f for f in families if f & own)) for who, own in models.items()}
    judges = sorted(who for who in models if not is_baseline(who.name))
    return {who: [other for other in judges if not models[other] & kin[who]] for who in sorted(models)}


def _models(source: Source) -> frozenset[tuple[str, str]]:
    """Models behind a source, by id and revision: those of its member, or all of its result where it has none."""
    members = source.record.subject.members
    return frozenset((m.model.id, m.model.revision) for m in members if source.member in (None, m.member))


def _offered(task: str) -> Mapping[str, Across]:
    """What the registered task of this name and version computes across results; nothing where there is none."""
    name, _, version = task.partition("@")
    if name not in TASKS.names():
        return {}
    known = TASKS.get(name)
    return known.across if known.meta.version == version else {}


def _with_metric(
    spec: BoardSpec, sources: Sequence[Source], task: str, function: Across, results_root: Path
) -> list[Source]:
    """The sources, those of `task` whose samples are there with one metric more."""
    tables = {s.identity: table for s in sources if s.task == task and len(table := _table(s, results_root))}
    judged = [s for s in sources if s.task == task and s.identity in tables]
    against = held_against(judged, sources, spec.rows.is_baseline)
    found = function(
        {_key(who): tables[who] for who in against},
        {_key(who): [_key(other) for other in others] for who, others in against.items()},
    )
    added = []
    for source in sources:
        if source.task == task and source.identity in tables:
            dims = {} if source.member is None else {"member": source.member}
            metric = record(replace(found[_key(source.identity)], dims=dims), {})
            metrics = (*source.record.metrics, metric)
            source = replace(source, record=source.record.model_copy(update={"metrics": metrics}))
        added.append(source)
    return added


def _key(who: Identity) -> str:
    return " ".join(who)


def _table(source: Source, results_root: Path) -> ScoreTable:
    """The rows of the score table that are of the source's model; none for a family as a whole and without samples."""
    whole_family = source.record.subject.kind == "family" and source.member is None
    if whole_family or source.record.samples is None:
        return empty_table()
    table = read_samples(results_root.joinpath(*source.record.path_parts()))
    return table if source.member is None else table[table["member"] == source.member]
