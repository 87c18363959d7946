"""What an attribute of style is worth to a model, by rewrites of rewrites: the rewriter's own style cancels.

After RATE (2410.11348): a text that was rewritten differs from the original in more than the attribute, in all that the
rewriter does to any text. So two texts are compared that were both rewritten twice (corrections to the methods, 19).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.llm.kinds import STYLE
from harness.stats.estimate import Estimate
from harness.stats.linear import linear
from harness.stats.multiplicity import holm
from harness.stats.over_seeds import seeded
from harness.task import Metric, ScoreTable, originals

from .columns import row
from .ratios import MIN_PROMPTS, NO_UNIT
from .rewriting import rewriting_of
from .variants import STATUS

ORIGINAL = "original"
CONTRASTS: Mapping[str, tuple[str, str]] = {
    "ate_sw": ("down:up", "up:down"),
    "ate_down_sw": ("down:up", "down"),
    "ate_up_sw": ("up", "up:down"),
    "ate_naive_sw": ("up", ORIGINAL),
}
"""By column: the texts compared, the first with more of the attribute. `down:up` is a rewrite down, rewritten up.

The one-sided forms are those published: `ate_down_sw` for texts that have the attribute, `ate_up_sw` for those that lack
it. `ate_naive_sw` carries all that the rewriter does besides.
"""

WAYS = ("up", "down", "up:down", "down:up")


def directed_rows(rows: ScoreTable, units: Mapping[int, float], dims: Mapping[str, str]) -> list[Metric]:
    """Mean difference of score in s_w for every style attribute and contrast, above 0: the model pays for the attribute.

    `rows` are one member's (all seeds and variants), `units` its s_w by seed. Every contrast is over the same texts: those
    whose four rewrites (one sample of them) passed their checks and that every seed scored; a text in two samples
    counts twice. CR1 by prompt with t, and the seeds where there are several; Holm over the attributes. Null below 20 prompts.
    Raises KeyError for a seed without a unit.
    """
    alone = rows[~rows["side"].str.contains(">", regex=False)]
    known = _ways(alone)
    seeds = sorted(alone["seed"].unique())
    scale = np.array([units[seed] for seed in seeds])
    found: dict[tuple[str, str], Estimate] = {}
    for attribute in sorted({attribute for attribute, _, _ in known.values()}):
        values, clusters = _scores(alone, {v: way for v, (a, *way) in known.items() if a == attribute}, seeds)
        for name, (more, less) in CONTRASTS.items():
            found[name, attribute] = _mean(values[more] - values[less], clusters, scale)
    return [
        row(name, found[key], {**dims, "attribute": key[1]}, p_holm=p)
        for name in CONTRASTS
        for keys in [[key for key in found if key[0] == name]]
        for key, p in zip(keys, holm([found[key].p for key in keys]), strict=True)
    ]


def _ways(rows: ScoreTable) -> dict[str, tuple[str, str, str]]:
    """Attribute, way and sample of every variant that was tried and has a style."""
    tried = {str(column).removeprefix(STATUS) for column in rows.columns if str(column).startswith(STATUS)}
    known = {}
    for variant in sorted(v for v in tried | set(rows["variant"]) if v.startswith("lm/")):
        rewriting, sample = rewriting_of(variant)
        attribute, _, way = rewriting.name.removeprefix(STYLE).partition(":")
        if rewriting.kind == "style" and way in WAYS:
            known[variant] = attribute, way, sample
    return known


def _scores(
    rows: ScoreTable, variants: Mapping[str, list[str]], seeds: Sequence[int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores by way, (seeds, texts) each, and the prompt of every text."""
    fine = rows[rows["status"] == "ok"]
    made = fine[fine["variant"].isin(list(variants)) & (fine["replicate"] == 0) & (fine.get("x_valid", 0) == 1)]
    text = [unit.removesuffix(f"@{v}") for unit, v in zip(made["unit_id"], made["variant"], strict=True)]
    way, sample = (made["variant"].map({v: said[i] for v, said in variants.items()}) for i in (0, 1))
    by_way = made.assign(text=text, way=way, sample=sample)
    keys = ["text", "sample"]
    wide = by_way.pivot(index=keys, columns=["way", "seed"], values="score").astype(float)
    wide = wide.reindex(columns=pd.MultiIndex.from_product([WAYS, seeds])).dropna()
    before = originals(fine).pivot(index="unit_id", columns="seed", values="score").astype(float)
    before = before.reindex(columns=list(seeds)).dropna()
    wide = wide[wide.index.get_level_values("text").isin(before.index)]
    texts = wide.index.get_level_values("text")
    values = {way: wide[way].to_numpy().T for way in WAYS} | {ORIGINAL: before.loc[texts].to_numpy().T}
    clusters = by_way.drop_duplicates("text").set_index("text")["cluster_id"]
    return values, clusters.loc[texts].to_numpy()


def _mean(differences: np.ndarray, clusters: np.ndarray, scale: np.ndarray) -> Estimate:
    """Mean over the texts of differences (seeds, texts) in the unit of each seed, (seeds,)."""
    n, prompts = differences.shape[1], len(np.unique(clusters))
    if prompts < MIN_PROMPTS:
        reason = f"{prompts} prompts with a text whose rewrites up, down, up:down and down:up are all valid: {MIN_PROMPTS} are needed"
        return Estimate.null(reason, n, prompts)
    if not (scale > 0).all():
        return Estimate.null(NO_UNIT, n, prompts)
    values = differences / scale[:, None]
    return seeded(linear(values.mean(axis=0), clusters), values.mean(axis=1))
