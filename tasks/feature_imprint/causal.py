"""The causal companion of the regression: replies that were edited on purpose, and pairs that were designed.

A coefficient says what reward goes with a feature among replies that people wrote for other reasons. An edit changes
the feature itself: its effect is what the model pays for the change, and the regression predicts it from all the
features that moved. Agreement in sign says that the coefficient is more than company the feature keeps; it does not say
that the size is right, and an edit outside the texts the model knows may be paid for its clumsiness.

`causal_rows` reads one member's rows of edited texts and of their originals, `designed_rows` its rows of designed pairs:
one row a unit and seed, with the columns of the score table and a scaled feature column for every name of the fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.preference import Unit
from harness.rewrites import rewritten_unit
from harness.sides import side_means
from harness.stats.estimate import Estimate
from harness.stats.linear import linear
from harness.stats.multiplicity import holm
from harness.stats.over_seeds import mean, proportion, seeded
from harness.task import Metric, ScoreTable
from harness.text.edits import EDITS, Edit

from .columns import row
from .fits import Fits

ORIGINAL = "original"
LEAST_EDITS = 3
LEAST_PAIRS = 10
LEAST_PROMPTS = 20
"""Below it a cluster-robust interval of a mean covers too little."""

SIGNIFICANT = 0.05
DESIGNED = ("designed_agreement", "designed_margin", "designed_predicted")
NOTHING = Estimate.null("no regression: nothing was scored, or every pair ties")

Units = Mapping[int, float]
"""s_w by seed."""


# --- texts ----------------------------------------------------------------------------------------


def edited_units(units: Iterable[Unit], items: int, seed: int, names: Sequence[str]) -> tuple[Unit, ...]:
    """Every edit of these names of every reply of at most `items` items, wherever it applies.

    The items are those whose sha256 of seed and id comes first, so that a larger sample contains a smaller one. An
    edited unit has the variant `edit/{name}` and the id `{unit_id}@edit/{name}`; its prompt is untouched.
    """
    by_item: dict[str, list[Unit]] = {}
    for unit in units:
        by_item.setdefault(unit.item_id, []).append(unit)
    drawn = sorted(by_item, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest())[:items]
    edits = [EDITS.get(name) for name in names]
    made = (_edited(unit, one) for item in drawn for unit in by_item[item] for one in edits)
    return tuple(unit for unit in made if unit is not None)


def _edited(unit: Unit, edit: Edit) -> Unit | None:
    *before, last = unit.conversation
    reply = edit.apply("\n".join(turn.content for turn in before), last.content)
    return None if reply is None else rewritten_unit(unit, edit.variant, reply)


# --- effects of edits -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """What one edit did: `scores` (seeds, texts) in s_w, `features` (texts, names of the fit), `clusters` (texts,)."""

    edit: Edit
    scores: np.ndarray
    features: pd.DataFrame
    clusters: np.ndarray

    @classmethod
    def of(cls, texts: ScoreTable, edit: Edit, names: Sequence[str], units: Units) -> Changes:
        """Edited minus original by unit id and seed, over texts that every seed scored and whose features are known in both."""
        after = texts[texts["variant"] == edit.variant]
        after = after.assign(unit_id=after["unit_id"].str.removesuffix(f"@{edit.variant}"))
        keys, numbers = ["unit_id", "seed"], [*names, "score"]
        before, edited = (
            t.set_index(keys)[numbers].astype(float) for t in (texts[texts["variant"] == ORIGINAL], after)
        )
        moved = edited - before.reindex(edited.index)
        scores = moved["score"].unstack("seed") / pd.Series(units, dtype=float)
        features = moved.groupby("unit_id")[list(names)].first()
        ids = scores.index[scores.notna().all(axis=1) & features.notna().all(axis=1)]
        clusters = after.drop_duplicates("unit_id").set_index("unit_id")["cluster_id"]
        return cls(edit, scores.loc[ids].to_numpy().T, features.loc[ids], clusters.loc[ids].to_numpy())

    @property
    def effect(self) -> Estimate:
        """Mean change of the score; null where the edit applies in fewer than 20 prompts.

        Where every text changed by the same there is no spread to measure it against: p is then the sign test's, that all
        of the prompts moved one way.
        """
        if not self.scores.size:
            return Estimate.null("no edited text was scored")
        if (prompts := len(np.unique(self.clusters))) < LEAST_PROMPTS:
            reason = f"the edit applies in {prompts} prompts, {LEAST_PROMPTS} are needed"
            return Estimate.null(reason, self.scores.shape[1], prompts)
        found = seeded(linear(self.scores.mean(axis=0), self.clusters), self.scores.mean(axis=1))
        alike = found.p is None and found.low is not None
        return replace(found, p=2.0 ** (1 - found.n_clusters)) if alike else found

    def predicted(self, beta: Fits, names: Sequence[str]) -> Estimate:
        """What the coefficients of `names` make of the mean changes of these features."""
        if not len(self.features):
            return Estimate.null("no edited text was scored")
        weights = {name: float(self.features[name].mean()) for name in names}
        return beta.read(lambda fit: fit.combine(weights))


def causal_rows(texts: ScoreTable, beta: Fits | None, units: Units, dims: Mapping[str, str]) -> list[Metric]:
    """`effect`, `effect_predicted` and `effect_declared` of every edit in the table, and `causal_agreement`.

    `effect` is the mean of (edited - original score)/s_w over the texts an edit applies to, Holm over edits, above 0
    where the edit raises the reward. `effect_predicted` is what `beta` (s_w per unit of a scaled feature) makes of the
    mean changes of all features, `effect_declared` of the declared one alone; their intervals and n are the regression's. A
    text that a seed could not score, or of which a feature is unknown, is left out. All are null without `beta`.
    """
    present = _edits(texts)
    names = beta.mean.names if beta else ()
    changes = [Changes.of(texts, edit, names, units) if beta else None for edit in present]
    effects = [change.effect if change else NOTHING for change in changes]
    predictions = [change.predicted(beta, names) if change and beta else NOTHING for change in changes]
    adjusted = holm([effect.p for effect in effects])
    made = []
    for edit, change, effect, predicted, p in zip(present, changes, effects, predictions, adjusted, strict=True):
        of = {**dims, "feature": edit.feature, "edit": edit.name}
        declared = _declared(change, beta)
        made.append(row("effect", effect, of, p_holm=p))
        made.append(row("effect_predicted", predicted, of))
        made.append(row("effect_declared", declared, of))
    return [*made, row("causal_agreement", _agreement(effects, predictions, adjusted), dims)]


def _edits(texts: ScoreTable) -> list[Edit]:
    variants = set(texts["variant"])
    return [edit for edit in map(EDITS.get, EDITS.names()) if edit.variant in variants]


def _declared(change: Changes | None, beta: Fits | None) -> Estimate:
    if change is None or beta is None:
        return NOTHING
    name = change.edit.feature
    if name not in beta.mean.names:
        return Estimate.null(f"{name} is not in the regression", len(change.features))
    return change.predicted(beta, [name])


def _agreement(
    effects: Sequence[Estimate], predictions: Sequence[Estimate], adjusted: Sequence[float | None]
) -> Estimate:
    """Share of edits with a significant effect whose sign is the predicted one; a predicted 0 counts one half."""
    found = [
        _credit(np.asarray(effect.value), np.asarray(predicted.value))
        for effect, predicted, p in zip(effects, predictions, adjusted, strict=True)
        if p is not None and p < SIGNIFICANT and predicted.value is not None
    ]
    if len(found) < LEAST_EDITS:
        return Estimate.null(
            f"{len(found)} edits with a significant effect and a prediction: {LEAST_EDITS} are needed", len(found)
        )
    return Estimate(float(np.mean(found)), n=len(found), reason="edits are a fixed list, no sample: no interval")


def _credit(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where two numbers have the same sign, 0 where opposite ones, one half where one of them is 0."""
    return (np.sign(a) * np.sign(b) + 1) / 2


# --- designed pairs -------------------------------------------------------------------------------


def designed_rows(pairs: ScoreTable, beta: Fits | None, units: Units, dims: Mapping[str, str]) -> list[Metric]:
    """`designed_agreement`, `designed_margin` and `designed_predicted` over all pairs, and over every subset with at least ten.

    Agreement is the share of pairs where the model's margin (chosen minus rejected score) has the sign of the imprint's
    prediction beta Dx, a tie of either one half; the other two are means of margin/s_w and of the prediction. The
    pairs were made to tempt a judge with one bias and are no part of the regression, but the replies of a pair also
    differ in quality, which no feature sees: agreement says that style alone could have decided as the model did, not
    that it did; disagreement, that something else outweighed it. Null without `beta`.
    """
    if beta is None:
        return [row(name, NOTHING, dims) for name in DESIGNED]
    designed = Designed.of(pairs, beta.mean.names, units)
    made = designed.rows(beta, dims)
    for (dataset, subset), items in designed.items.groupby(["dataset", "subset"], sort=True):
        if len(items) >= LEAST_PAIRS:
            of = {**dims, "dataset": str(dataset), "subset": str(subset)}
            made += designed.where(items.index).rows(beta, of)
    return made


@dataclass(frozen=True)
class Designed:
    """Pairs that every seed scored and whose features are known: `margins` (seeds, pairs) in s_w, `features` (pairs, k) differences."""

    items: pd.DataFrame
    margins: pd.DataFrame
    features: pd.DataFrame

    @classmethod
    def of(cls, pairs: ScoreTable, names: Sequence[str], units: Units) -> Designed:
        """Chosen minus rejected of one member's rows."""
        by_seed = {
            int(str(seed)): side_means(rows, ["score", *names]) for seed, rows in pairs.groupby("seed", sort=True)
        }
        moved = {seed: chosen - rejected for seed, (chosen, rejected) in by_seed.items()}
        margins = pd.DataFrame({seed: d["score"] / units[seed] for seed, d in moved.items()})
        features = pd.concat([d[list(names)] for d in moved.values()]).groupby("item_id").first()
        ids = margins.index[margins.notna().all(axis=1) & features.notna().all(axis=1)]
        items = pairs.drop_duplicates("item_id").set_index("item_id").loc[ids, ["cluster_id", "dataset", "subset"]]
        return cls(items, margins.loc[ids].T, features.loc[ids])

    def where(self, ids: pd.Index) -> Designed:
        """The pairs with these ids."""
        return Designed(self.items.loc[ids], self.margins[ids], self.features.loc[ids])

    def rows(self, beta: Fits, dims: Mapping[str, str]) -> list[Metric]:
        """The three columns over these pairs."""
        clusters, margins = self.items["cluster_id"].to_numpy(), self.margins.to_numpy()
        if not margins.size:
            return [row(name, Estimate.null("no designed pair was scored"), dims) for name in DESIGNED]
        moved = {name: float(self.features[name].mean()) for name in beta.mean.names}
        predicted = beta.read(lambda fit: fit.combine(moved))
        agreement = predicted
        if predicted.value is not None:
            agreement = proportion(_credit(margins, self.features.to_numpy() @ beta.mean.coef), clusters)
        found = (agreement, mean(margins, clusters), predicted)
        return [row(name, estimate, dims) for name, estimate in zip(DESIGNED, found, strict=True)]
