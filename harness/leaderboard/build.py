"""Spec and results to a board: who is ranked, who stands apart and why. Pure, and independent of the order of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import InputError
from harness.leaderboard.across import AddAcross, nothing_across
from harness.leaderboard.board import Board, Cell, Column, Row
from harness.leaderboard.ranking import independent_p, rank
from harness.leaderboard.sources import Identity, Refused, Source, admit, sources_of
from harness.leaderboard.spec import BoardSpec, ColumnSpec
from harness.results.schema import MetricRecord, ResultRecord

TRUNCATED, TRAINED, UNKNOWN, QUANTISED = "†", "‡", "○", "◇"
LEGEND = {
    TRUNCATED: "more than 1 % of the texts were truncated",
    TRAINED: "trained on data of the task",
    UNKNOWN: "unknown whether trained on data of the task",
    QUANTISED: "scored with quantised weights",
}
TRUNCATED_SHARE = 0.01
Z95 = 1.959963984540054

PairedTest = Callable[[ColumnSpec, Source, Source], float | None]
"""The p-value of "these two are equal in this column" from the items they share; None where it cannot be had."""


@dataclass(frozen=True)
class _Entry:
    """A row and, by task, the results behind it."""

    row: Row
    parts: Mapping[str, Source]


def no_paired_test(column: ColumnSpec, a: Source, b: Source) -> float | None:
    """No samples at hand: rows are compared by their standard errors."""
    return None


def build(
    spec: BoardSpec,
    results: Iterable[ResultRecord],
    paired: PairedTest = no_paired_test,
    across: AddAcross = nothing_across,
) -> Board:
    """The board that `spec` makes of `results`; raises InputError where the ranking column has no direction.

    A row is a model (a family member with one seed is its model), a member with several seeds, or a
    family. Apart, unranked and with the reason, stand results that are not successes, limited runs, runs
    on data or with parameters that most others did not have, older runs that say something else, and rows
    that do not meet the spec's conditions.
    """
    sources = [s for r in results for s in sources_of(r) if s.task in spec.tasks and spec.rows.shows(s.identity.name)]
    kept, refused = admit(sources, votes=lambda s: not spec.rows.is_baseline(s.identity.name))
    joined = across(spec, kept)
    entries = _entries(spec, joined)
    columns = _columns(spec, joined)
    baselines, ranked, apart = [], [], []
    for entry in entries:
        why = _unranked(spec, entry.row)
        if spec.rows.is_baseline(entry.row.name):
            baselines.append(entry.row)
        elif why is None:
            ranked.append(entry)
        else:
            apart.append(replace(entry.row, reason=why))
    apart += _refused_rows(spec, refused, _entries(spec, kept))  # an older run has no column across results to compare
    rows = _ranked(spec, columns, ranked, paired)
    marks = {mark for row in (*rows, *apart) for mark in row.marks}
    return Board(
        title=spec.title,
        description=spec.description,
        columns=columns,
        ranked=rows,
        baselines=tuple(baselines),
        apart=tuple(
            sorted(apart, key=lambda row: (row.name, row.revision, row.member, row.reason or "", row.commands))
        ),
        notes=spec.notes,
        legend=tuple((mark, text) for mark, text in LEGEND.items() if mark in marks),
    )


# --- rows ---------------------------------------------------------------------------------------


def _entries(spec: BoardSpec, kept: Iterable[Source]) -> list[_Entry]:
    """One entry a row, by identity; a family without a column of its own has none."""
    parts: dict[Identity, dict[str, Source]] = {}
    for source in kept:
        if source.identity.member != "family" or any(_metric(source, column) for column in spec.columns):
            parts.setdefault(source.identity, {})[source.task] = source
    return [_Entry(_row(spec, identity, parts[identity]), parts[identity]) for identity in sorted(parts)]


def _refused_rows(spec: BoardSpec, refused: Iterable[Refused], entries: Iterable[_Entry]) -> list[Row]:
    """Rows of what may not share the columns, tasks joined; one that only repeats numbers already shown is left out."""
    shown = {(e.row.name, e.row.revision, e.row.member): e.row.cells for e in entries}
    groups: dict[tuple[Identity, str], list[dict[str, Source]]] = {}
    for source, why in refused:
        if source.unfit or not _repeats(spec, source, shown.get(source.identity)):
            rows = groups.setdefault((source.identity, why), [])
            parts = next((row for row in rows if source.task not in row), None)
            if parts is None:
                rows.append(parts := {})
            parts[source.task] = source
    return [
        replace(_row(spec, identity, parts), reason=why) for (identity, why), rows in groups.items() for parts in rows
    ]


def _repeats(spec: BoardSpec, source: Source, cells: tuple[Cell, ...] | None) -> bool:
    own = [(i, column) for i, column in enumerate(spec.columns) if column.task == source.task]
    return cells is not None and all(cells[i] == _cell(_metric(source, column)) for i, column in own)


def _row(spec: BoardSpec, identity: Identity, parts: Mapping[str, Source]) -> Row:
    cells = tuple(_cell(_metric(parts[c.task], c)) if c.task in parts else Cell(reason="not run") for c in spec.columns)
    sources = [parts[task] for task in spec.tasks if task in parts]
    commands = dict.fromkeys(str(s.record.run["command"]) for s in sources if s.record.run.get("command"))
    marks = "" if spec.rows.is_baseline(identity.name) else _marks(sources)
    return Row(*identity, cells=cells, marks=marks, commands=tuple(commands))


def _marks(sources: Sequence[Source]) -> str:
    trained = {answer for source in sources for answer in source.trained}
    counts = [source.record.counts for source in sources]
    holds = {
        TRUNCATED: any(c.truncated > TRUNCATED_SHARE * c.scored for c in counts),
        TRAINED: "yes" in trained,
        UNKNOWN: "unknown" in trained,
        QUANTISED: any(source.quantised for source in sources),
    }
    return "".join(mark for mark in LEGEND if holds[mark])


def _metric(source: Source, column: ColumnSpec) -> MetricRecord | None:
    return next((m for dims, m in source.metrics() if m.name == column.metric and dims == column.dims), None)


def _cell(metric: MetricRecord | None) -> Cell:
    if metric is None:
        return Cell(reason="not measured")
    low, high = (metric.ci.low, metric.ci.high) if metric.ci else (None, None)
    se = metric.se
    if se is None and low is not None and high is not None:
        se = (high - low) / (2 * Z95)
    return Cell(metric.value, low, high, se, metric.n, metric.n_clusters, metric.reason)


# --- columns and ranks --------------------------------------------------------------------------


def _columns(spec: BoardSpec, kept: Iterable[Source]) -> tuple[Column, ...]:
    kept = list(kept)
    return tuple(
        Column(column.label, column.format, _direction(column, kept), column.floored, column.label == spec.rank_by)
        for column in spec.columns
    )


def _direction(column: ColumnSpec, kept: Iterable[Source]) -> bool | None:
    if column.higher_is_better is not None:
        return column.higher_is_better
    metrics = (_metric(source, column) for source in kept if source.task == column.task)
    said = {metric.higher_is_better for metric in metrics if metric is not None}
    return said.pop() if len(said) == 1 else None


def _unranked(spec: BoardSpec, row: Row) -> str | None:
    """Why this row has no rank, or None."""
    cells = {column.label: cell for column, cell in zip(spec.columns, row.cells, strict=True)}
    key = cells[spec.rank_by]
    if key.value is None:
        return f"{spec.rank_by}: {key.reason}"
    for have, least, what in ((key.n, spec.min_n, "items"), (key.n_clusters, spec.min_clusters, "prompts")):
        if (have or 0) < least:
            return f"{spec.rank_by} rests on {have or 0} {what}, fewer than {least}"
    for need in spec.requires:
        low = cells[need.column].low
        if low is None or low <= need.low_above:
            return f"the interval of {need.column} does not lie above {need.low_above:g}"
    return None


def _ranked(spec: BoardSpec, columns: tuple[Column, ...], entries: list[_Entry], paired: PairedTest) -> tuple[Row, ...]:
    """The entries with ranks, best first, names in order among equals."""
    key = next(i for i, column in enumerate(columns) if column.ranks)
    column, better = spec.columns[key], columns[key].higher_is_better
    if not entries:
        return ()
    if better is None:
        raise InputError(f"{spec.rank_by!r} cannot rank: its metric has no direction; set higher_is_better in the spec")

    def pair_p(i: int, j: int) -> float:
        p = paired(column, entries[i].parts[column.task], entries[j].parts[column.task]) if column.paired else None
        return independent_p(entries[i].row.cells[key], entries[j].row.cells[key]) if p is None else p

    values = [entry.row.cells[key].value or 0.0 for entry in entries]
    ranks = rank(values, better, pair_p)
    rows = [replace(entry.row, rank=r) for entry, r in zip(entries, ranks, strict=True)]
    return tuple(sorted(rows, key=lambda row: (row.rank.place if row.rank else 0, row.name, row.revision, row.member)))
