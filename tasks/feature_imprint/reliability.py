"""How far labels can be trusted, and what gold labels make of a coefficient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.labels import Pass, column
from harness.llm.schema import NUMBERED
from harness.sides import side_means
from harness.stats.agreement import kappa, retest_correlation
from harness.stats.estimate import Estimate
from harness.stats.gold import gold_corrected
from harness.task import Metric, ScoreTable

from .columns import row
from .fits import Fits
from .imprint import by_name, feature_rows
from .margins import Margins
from .regressors import label_regressors

MIN_KAPPA = 0.4
"""Below it a label is flagged: it is in the regression and in no headline (methods 6.5)."""

AGAINST: Mapping[str, Pass] = {"label_kappa": "retest", "label_kappa_second": "second", "label_kappa_gold": "gold"}


def reliability_rows(texts: ScoreTable, dims: Mapping[str, str]) -> list[Metric]:
    """Kappa of every label against a repeated call, a second labeler and people, and `reliability`: the test-retest
    correlation of the difference between the sides, which is what a regression on pairs sees (corrections 20).
    """
    made = []
    for r in label_regressors()[1:]:
        found = {name: level_kappa(texts, r.name, labeled_by) for name, labeled_by in AGAINST.items()}
        found["reliability"] = _retest(texts, r.name)
        made += [row(name, estimate, {**dims, **r.dims}) for name, estimate in found.items()]
    return made


def level_kappa(texts: ScoreTable, name: str, labeled_by: Pass) -> Estimate:
    """Kappa of the first labels against another pass on the replies that both labelled."""
    if column(name, labeled_by) not in texts:
        return Estimate.null(f"no labels of the pass {labeled_by!r}")
    both = texts[texts[column(name)].notna() & texts[column(name, labeled_by)].notna()]
    first, other = (both[c].to_numpy() for c in (column(name), column(name, labeled_by)))
    return kappa(first, other, both["cluster_id"].to_numpy())


def unreliable(texts: ScoreTable) -> frozenset[str]:
    """Labels whose test-retest kappa is known and below `MIN_KAPPA`."""
    found = {name: level_kappa(texts, name, "retest").value for name in NUMBERED}
    return frozenset(name for name, value in found.items() if value is not None and value < MIN_KAPPA)


def gold_rows(margins: Margins, texts: ScoreTable, dims: Mapping[str, str]) -> list[Metric]:
    """`beta_gold`: the coefficients of labels, corrected by the pairs that people labelled too; none without such pairs."""
    labels = label_regressors()[1:]
    columns = {r.name: column(r.name, "gold") for r in labels}
    if margins.reason or not set(columns.values()) <= set(texts):
        return []
    design = margins.design
    X = design.differences(design.names)
    scale = design.scale.units
    renamed = texts[["item_id", "side", *columns.values()]].rename(columns={c: name for name, c in columns.items()})
    chosen, rejected = side_means(renamed, list(columns))
    people = (chosen - rejected).reindex(design.items.index)
    gold = pd.DataFrame(X, index=design.items.index, columns=list(design.names))
    for name in design.names:
        if name in columns:
            gold[name] = people[name] / scale[name]
    known = gold.notna().all(axis=1).to_numpy()
    filled = np.where(known[:, None], gold.to_numpy(dtype=float), X)
    fits = Fits.of(margins.scaled, lambda one: gold_corrected(one, X, filled, known, design.clusters, design.names))
    return feature_rows(design, {"beta_gold": by_name(design.names, fits.coefficient)}, dims)


def _retest(texts: ScoreTable, name: str) -> Estimate:
    again = column(name, "retest")
    if again not in texts:
        return Estimate.null("no labels of the pass 'retest'")
    chosen, rejected = side_means(texts, [column(name), again])
    dx = (chosen - rejected).dropna()
    clusters = texts.drop_duplicates("item_id").set_index("item_id")["cluster_id"].loc[dx.index]
    return retest_correlation(dx[column(name)].to_numpy(), dx[again].to_numpy(), clusters.to_numpy())
