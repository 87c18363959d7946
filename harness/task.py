"""What a task is: requests out, a table in, metrics out. No task ever holds a model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from harness import preference
from harness.condition import NONE, Condition
from harness.errors import InputError
from harness.labels import NO_LABELS, Labels
from harness.preference import PreferenceItem, Unit
from harness.reading import MOMENTS, Reading
from harness.registry import Registry
from harness.rewrites import NO_REWRITES, Rewrites

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.results.schema import ResultRecord

ScoreTable = pd.DataFrame
"""One row a unit x condition x replicate x member x seed; `TABLE_COLUMNS`, then `x_*` columns that tasks attach."""

Arrays = Mapping[str, np.ndarray]

Members = tuple[tuple[str, int], ...]
"""(member, seed) of some models of a subject."""

KEY_COLUMNS = ("unit_id", "condition", "replicate", "member", "seed")
TABLE_COLUMNS = (
    "unit_id", "item_id", "cluster_id", "dataset", "subset", "objective", "side", "variant", "condition", "replicate",
    "member", "seed", "score", "score_raw", "head_outputs", "n_tokens", "n_response_words", "truncated", "ids_hash",
    "status", "error",
)  # fmt: skip


# --- requests -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """Score these units with every member and seed, under every condition. Answer: the rows of the score table for them."""

    units: tuple[Unit, ...]
    conditions: tuple[Condition, ...] = (NONE,)
    replicate: int = 0
    members: Members = ()
    """(member, seed) of those that are asked; empty: all."""

    def __post_init__(self) -> None:
        names = [c.name for c in self.conditions]
        if len(set(names)) < len(names):
            raise InputError(f"conditions of one request need names of their own, found {', '.join(names)}")


@dataclass(frozen=True)
class Compare:
    """Is `a` preferred to `b`? Answer: rows with side `{a.side}>{b.side}` whose score is P(a preferred to b), both orders averaged."""

    item_id: str
    a: Unit
    b: Unit


@dataclass(frozen=True)
class Capture:
    """Arrays from inside the model, one row a unit. Answer: `Captured` by (member, seed).

    `head_input` is the input of the last linear layer before the score, float32, (units, width).
    """

    units: tuple[Unit, ...]
    what: str = "head_input"


@dataclass(frozen=True)
class Accumulate:
    """Running aggregates of every neuron over the units' tokens. Answer: named arrays by (member, seed).

    The reading's `what` is `moments` (mean, abs_mean, mean_square, positive: (layers, neurons), and tokens),
    `attribution` (these, and by how much sum_u weights[u] x score_u would fall, to first order, if a neuron
    were replaced by its mean), `change` (tokens, mean_square (layers, neurons) of the difference to the same neuron
    of `against`, or at attention heads norm (layers, heads), the mean length of a head's difference, and abs_mean of
    both), or `sample` (texts, layers, neurons), the activations at one token of each text, by the digests of the texts.
    Scores are oriented so that higher is better. `units` counts the texts that could be encoded.
    """

    units: tuple[Unit, ...]
    reading: Reading = MOMENTS
    weights: tuple[float, ...] = ()
    """One a unit; empty: 1/n each."""
    members: Members = ()
    """(member, seed) of those that are asked; empty: all."""
    against: str = ""
    """The member whose activations at the same tokens a `change` is a difference to: of the same seed, or its first."""

    def __post_init__(self) -> None:
        if (self.reading.what == "change") != bool(self.against):
            found = f"against {self.against!r}" if self.against else "against no member"
            raise InputError(
                f"a reading of {self.reading.what!r} {found}: 'change' needs a member to compare with, such as "
                "against='base', and no other reading has one"
            )
        if len(self.weights) not in (0, len(self.units)):
            raise InputError(
                f"{len(self.units)} units and {len(self.weights)} weights; give one weight a unit, or none"
            )


@dataclass(frozen=True)
class Attach:
    """Keep derived values with the result: no model is asked.

    `frame` has a `unit_id` column (and `member`, `seed` where the value differs by model) and `x_*`
    columns; `arrays` is what is not one value a row. Answer: None.
    """

    frame: pd.DataFrame | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


Request = Score | Compare | Capture | Accumulate | Attach
Steps = Generator[Request | tuple[Request, ...], Any, None]
"""A task's requests. Yield one and receive its answer, or a tuple and receive the tuple of answers: a tuple is one forward pass."""


@dataclass(frozen=True)
class Captured:
    """Captured rows by unit: `ids[i]` is the unit whose array is `values[i]`; look rows up by id, never by position."""

    ids: tuple[str, ...]
    values: np.ndarray

    def frame(self) -> pd.DataFrame:
        """The values as a frame indexed by unit id."""
        return pd.DataFrame(self.values, index=pd.Index(self.ids, name="unit_id"))


@dataclass(frozen=True)
class TaskData:
    """What a task sees before any score: the items of its suite and who is in the subject (never the models)."""

    items: tuple[PreferenceItem, ...]
    members: Members = (("model", 0),)
    """(member, seed) of every model of the subject."""
    labels: Labels = NO_LABELS
    """What a language model or people said of the replies; empty without `--labels`."""
    rewrites: Rewrites = NO_REWRITES
    """What a language model made of the replies; empty without `--rewrites`."""

    def units(self) -> tuple[Unit, ...]:
        """Every reply of every item as a unit."""
        return tuple(preference.units(self.items))


# --- metrics ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """A confidence interval with the level it claims and the method behind it."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""


@dataclass(frozen=True)
class Metric:
    """One long row of a result: a value or null with the reason.

    `unit` is `proportion` (0 to 1), `pp` (percentage points), `sw`, `reward`, `log_odds`, `nats`, `ratio`,
    `log_ratio`, `count`, `rho`, `sign`, `feature` (the feature's own unit);
    `dims` says what it is of (member, objective, subset, feature, …). A null `value` always has a `reason`.
    """

    name: str
    value: float | None
    unit: str
    dims: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    higher_is_better: bool | None = None
    n: int | None = None
    n_clusters: int | None = None
    se: float | None = None
    ci: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    q_bh: float | None = None
    baselines: Mapping[str, float | None] = field(default_factory=dict)
    main: bool = False

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What identifies the row inside a result: name and dims."""
        return self.name, tuple(sorted(self.dims.items()))


@dataclass(frozen=True)
class TaskMeta:
    """What a task declares of itself; `list tasks` and the results show it."""

    name: str
    version: str
    summary: str
    suite: tuple[str, ...]
    """Default data: dataset names, `name` or `name/subset`; a `?` at the end marks one that is used only if present."""
    needs: frozenset[str] = frozenset({"scores"})
    """Capabilities every member must have; `a|b` means either. A subject without them is not applicable."""
    main_metrics: tuple[str, ...] = ()
    license: str = "Apache-2.0"
    citation: str = ""


Across = Callable[[Mapping[str, ScoreTable], Mapping[str, Sequence[str]]], Mapping[str, Metric]]
"""(score tables by model, for each model the names of those it is held against) to one metric a model, without dims."""


class Task(ABC):
    """A measurement. Subclass it, register it (or pass an instance to `harness.run`), write its card.

    `Params` is a frozen dataclass: its fields are the task's parameters, on the command line as
    `-P task.field=value`. Two names mean the same everywhere: `draws` is the number of bootstrap draws, 0
    when the task is evaluated for a trivial baseline, where only point estimates are wanted; `max_pairs`
    bounds the items of each (dataset, subset) before `steps` sees them.
    """

    meta: ClassVar[TaskMeta]
    Params: ClassVar[type]
    plots: ClassVar[Mapping[str, Callable[[ResultRecord, Arrays], Figure]]] = {}
    """The task's own figures by name, drawn from a result's rows and arrays alone; InputError where one cannot be drawn."""
    across: ClassVar[Mapping[str, Across]] = {}
    """Metrics that only several models together have, by name: a leaderboard with such a column computes it when it is built."""

    @abstractmethod
    def steps(self, data: TaskData, params: Any) -> Steps:
        """Yield requests, receive answers. Must be deterministic: on resume it is replayed from stored answers."""

    @abstractmethod
    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """Metrics from what was gathered; pure: no torch, no network, no disk, no clock."""

    def passes(self, data: TaskData, params: Any, member: tuple[str, int]) -> list[tuple[Unit, float]]:
        """What a dry run reckons with: units a member will see, and in how many forward passes each."""
        return [(unit, 1.0) for unit in data.units()]


TASKS: Registry[type[Task]] = Registry("task", "reward_harness.tasks", "harness.tasks", module="task")


# --- the table ----------------------------------------------------------------------------------


def empty_table() -> ScoreTable:
    """A score table without rows."""
    return pd.DataFrame(columns=list(TABLE_COLUMNS))


def originals(table: ScoreTable) -> ScoreTable:
    """Rows of the unchanged texts under no intervention, first replicate: what behavioural metrics read."""
    keep = (table["variant"] == "original") & (table["condition"] == "none") & (table["replicate"] == 0)
    return table[keep]


def unit_noise(unit_id: str) -> float:
    """A number in [0, 1) from a unit's id alone: the score `null/random` gives."""
    return int.from_bytes(hashlib.sha256(unit_id.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2.0**48


BASELINES = ("random", "longest", "shortest")


def baseline_table(table: ScoreTable, baseline: str) -> ScoreTable:
    """The table as a trivial model would have filled it: scores from unit ids (`random`) or from response words."""
    words = table["n_response_words"].astype(float)
    scores = {
        "random": lambda: table["unit_id"].map(unit_noise),
        "longest": lambda: words,
        "shortest": lambda: -words,
    }[baseline]()
    mine = table.drop(columns=[c for c in table.columns if c.startswith("x_model_")])
    return mine.assign(score=scores, score_raw=scores, status="ok", error=None)


def pair_rows(units: Iterable[Unit]) -> list[Compare]:
    """Every chosen reply against every rejected one of the same item and variant: how a model that only compares is asked."""
    groups: dict[tuple[str, str], tuple[list[Unit], list[Unit]]] = {}
    for unit in units:
        chosen, rejected = groups.setdefault((unit.item_id, unit.variant), ([], []))
        (chosen if unit.side.startswith("chosen") else rejected).append(unit)
    return [Compare(a.item_id, a, b) for chosen, rejected in groups.values() for a in chosen for b in rejected]
