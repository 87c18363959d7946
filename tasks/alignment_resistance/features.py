"""Which surface features pull the model away from the human label, and how far they alone predict it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.stats.differences import estimability
from harness.stats.estimate import Estimate, student
from harness.stats.multiplicity import holm
from harness.stats.over_seeds import proportion, seeded
from harness.stats.regression import LogitFit, quasi_logit
from harness.task import Metric

from .items import FEATURE_NAMES, LABEL_PREFIX
from .rows import row
from .sample import Sample

INTERCEPT = "intercept"
FORCED = (INTERCEPT, "log_words")
"""In every regression, whatever else they explain: length is the confound to adjust for."""
FOLDS = 5
MIN_CLEAR = 0.8
"""Share of pairs in which a feature must be known on both sides: a label that is mostly unclear would leave few pairs to all."""
NOT_ATTACHED = "the score table has no such feature of single replies"
METHOD = "quasi-binomial logit, average marginal effect, CR1, t"


def feature_rows(sample: Sample, dims: Mapping[str, str], names: Sequence[str] = FEATURE_NAMES) -> list[Metric]:
    """`resist_coef` and `resist_odds_ratio` of every feature of a list, adjusted for the others, Holm over features.

    Logit of misalignment on an intercept and Dx (chosen minus rejected). The coefficient is minus the average
    marginal effect in percentage points per unit of the feature: above 0, the feature pulls the model to the side
    that has it, right or wrong. The odds ratio is of misalignment per unit more on the rejected side. Over all items
    only: within a verdict the labeler's judgement, which these features go with, has already chosen the pairs.
    """
    clear = [name for name in names if _known(sample.items, name) >= MIN_CLEAR]
    usable = sample.where(_complete(sample.items, clear))
    refused = _refused(usable, clear) | _unclear(sample.items, [name for name in names if name not in clear])
    kept = [name for name in names if name not in refused]
    effects, odds = _fitted(usable, kept)
    effects, odds = ({**refused, **found} for found in (effects, odds))
    adjusted = dict(zip(kept, holm([effects[name].p for name in kept]), strict=True))
    made = []
    for name in names:
        of = {**dims, "feature": name.removeprefix(LABEL_PREFIX)}
        made.append(row("resist_coef", effects[name], of, p_holm=adjusted.get(name)))
        made.append(row("resist_odds_ratio", odds[name], of))
    return made


def surface_rows(items: pd.DataFrame, seed: int) -> list[Metric]:
    """`surface_baseline`: accuracy on the human label of the features alone, over all items and in every subset.

    `items` has one row an item. An intercept-free logit on Dx, so that exchanging the sides of a pair changes
    nothing; every pair is predicted by a fit that has not seen its prompt. The interval takes the fits as
    known: where the features say nothing it is about a quarter too narrow.
    """
    parts = items.groupby(["dataset", "subset"])
    made = [row("surface_baseline", _surface(items, seed), {})]
    for (dataset, subset), rows in parts:
        made.append(row("surface_baseline", _surface(rows, seed), {"dataset": str(dataset), "subset": str(subset)}))
    return made


def _surface(items: pd.DataFrame, seed: int) -> Estimate:
    columns = [f"d_{name}" for name in FEATURE_NAMES if f"d_{name}" in items]
    rows = items[_complete(items, FEATURE_NAMES)]
    clusters = rows["cluster_id"].to_numpy()
    if not len(rows):
        return Estimate.null(NOT_ATTACHED)
    if (groups := len(np.unique(clusters))) < FOLDS:
        return Estimate.null(f"{groups} prompts: {FOLDS} folds need as many", len(rows), groups)
    credits = _out_of_fold(rows[columns].to_numpy(dtype=float), clusters, np.random.default_rng(seed))
    return proportion(credits[None, :], clusters)


def _known(items: pd.DataFrame, name: str) -> float:
    column = f"d_{name}"
    return float(items[column].notna().mean()) if column in items and len(items) else 0.0


def _unclear(items: pd.DataFrame, names: Sequence[str]) -> dict[str, Estimate]:
    """Nulls of what is known in too few pairs."""
    few = {
        name: f"known in {100 * _known(items, name):.3g}% of the pairs, {MIN_CLEAR:.0%} are needed" for name in names
    }
    return {name: Estimate.null(few[name] if f"d_{name}" in items else NOT_ATTACHED, len(items)) for name in names}


def _complete(items: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    columns = [f"d_{name}" for name in names if f"d_{name}" in items]
    return items[columns].notna().all(axis=1).to_numpy() if columns else np.zeros(len(items), dtype=bool)


def _refused(sample: Sample, names: Sequence[str]) -> dict[str, Estimate]:
    """Features that cannot be estimated beside an intercept and the others, and why."""
    n = len(sample.items)
    if not n or not names:
        return dict.fromkeys(names, Estimate.null("no pair has all of these"))
    design = np.column_stack([np.ones(n), sample.items[[f"d_{name}" for name in names]].to_numpy(dtype=float)])
    diagnoses = estimability(design, sample.clusters, (INTERCEPT, *names), forced=FORCED)
    reasons = {name: diagnoses[name].reason for name in names}
    return {name: Estimate.null(reason, n) for name, reason in reasons.items() if reason}


def _fitted(sample: Sample, names: Sequence[str]) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Effects and odds ratios by feature, null with one reason where the regression has nothing to estimate."""
    if not names:
        return {}, {}
    design = sample.items[[f"d_{name}" for name in names]].to_numpy(dtype=float)
    outcomes = [sample.wrong.mean(axis=0), *(sample.wrong if len(sample.wrong) > 1 else ())]
    if any(np.ptp(wrong) == 0 for wrong in outcomes):
        reason: str | None = "misalignment is the same on every pair"
    else:
        fit, *seeds = (quasi_logit(wrong, design, sample.clusters) for wrong in outcomes)
        reason = next((f.reason for f in (fit, *seeds) if f.reason), None)
    if reason:
        nothing = dict.fromkeys(names, Estimate.null(reason, len(sample.items)))
        return nothing, nothing
    effects = {name: _effect(fit, seeds, j) for j, name in enumerate(names)}
    return effects, {name: _odds(fit, seeds, j) for j, name in enumerate(names)}


def _effect(fit: LogitFit, seeds: Sequence[LogitFit], j: int) -> Estimate:
    found = student(-100 * fit.ame[j], 100 * fit.ame_se[j], fit.df[j + 1], fit.n, fit.n_clusters, METHOD)
    return seeded(found, [-100 * seed.ame[j] for seed in seeds])


def _odds(fit: LogitFit, seeds: Sequence[LogitFit], j: int) -> Estimate:
    coef = student(-fit.coef[j + 1], fit.se[j + 1], fit.df[j + 1], fit.n, fit.n_clusters, METHOD)
    log_odds = seeded(coef, [-seed.coef[j + 1] for seed in seeds])
    value, low, high = (None if x is None else float(np.exp(x)) for x in (log_odds.value, log_odds.low, log_odds.high))
    return replace(log_odds, value=value, low=low, high=high, se=None, p=None)


def _out_of_fold(design: np.ndarray, clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Credits of predictions for pairs whose prompt the logit has not seen: 1, 0, or one half where it sees no difference."""
    from sklearn.linear_model import LogisticRegression

    unique, codes = np.unique(clusters, return_inverse=True)
    fold = (rng.permutation(len(unique)) % FOLDS)[codes]
    root = np.sqrt((design**2).mean(axis=0))
    unit = design / np.where(root > 0, root, 1.0)
    credits = np.empty(len(design))
    for k in range(FOLDS):
        train = unit[fold != k]
        mirrored = np.concatenate([train, -train])
        sides = np.repeat([1, 0], len(train))
        model = LogisticRegression(fit_intercept=False).fit(mirrored, sides)
        credits[fold == k] = np.heaviside(unit[fold == k] @ model.coef_[0], 0.5)
    return credits
