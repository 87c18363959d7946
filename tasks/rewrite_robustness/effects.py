"""What each rewriting does to one member's verdicts and scores: every column of a (transform, arm)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.stats.estimate import Estimate
from harness.stats.linear import paired
from harness.stats.multiplicity import holm
from harness.stats.over_seeds import Bootstrap, mean, over, proportion, seeded
from harness.task import Metric

from .columns import plain, row
from .compared import Compared
from .params import Params
from .ranks import spearman
from .ratios import NO_UNIT, PP, few, ratio, share, still, unturned

Found = dict[str, Estimate]
UNTOUCHED = ("drop_pp", "n_valid", "n_failed", "applicable_rate")
"""All that is said of a rewriting that applies to no pair."""


def effect_rows(
    compared: Sequence[Compared], unit: np.ndarray, params: Params, dims: Mapping[str, str]
) -> list[Metric]:
    """Every column of every rewriting of one member, over valid pairs; `drop_pp` over all pairs again, with `rows=all`.

    `unit` (seeds,) is the member's s_w in reward points. `p_holm` of `drop_pp` is over the rewritings of the arm, but for
    the identity, which also says what noise does: `noise_floor`, the share of verdicts that turn when nothing changes,
    and `noise_score`, the largest change of a score.
    """
    if not compared:
        return []
    bootstrap = Bootstrap(np.concatenate([_clusters(one) for one in compared]), params.draws, params.seed)
    found = [_columns(one, unit, params, bootstrap) for one in compared]
    family = _family(compared, found)
    rows = []
    for one, columns, p_holm in zip(compared, found, family, strict=True):
        mine = {**dims, **one.rewriting.dims}
        if one.pairs.empty:
            rows += [row(name, columns[name], mine) for name in UNTOUCHED]
            continue
        rows += [row(name, e, mine, p_holm=p_holm if name == "drop_pp" else None) for name, e in columns.items()]
        everything = columns["drop_pp"] if one.pairs["valid"].all() else _drop(one, params.seed)
        rows.append(row("drop_pp", everything, {**mine, "rows": "all"}))
        if one.rewriting.kind == "identity":
            rows += [row(name, e, dims) for name, e in _noise(one, columns).items()]
    return rows


def _columns(one: Compared, unit: np.ndarray, params: Params, bootstrap: Bootstrap) -> Found:
    valid = one.valid
    return {**_verdicts(valid, params, bootstrap), **_scores(valid, unit, params), **_validity(one)}


def _verdicts(one: Compared, params: Params, bootstrap: Bootstrap) -> Found:
    """How often the member is right before and after, and which way verdicts turn.

    A pair counts towards `break_rate` where its credit before is 1, towards `fix_rate` where it is 0; one that a tie
    decides counts towards neither, and towards `flip_rate` with the credit it gains or loses.
    """
    before, after, clusters = one.before, one.after, _clusters(one)
    tied = ((before > 0) & (before < 1)) | ((after > 0) & (after < 1))
    thin = few(clusters)
    right = thin or proportion(before, clusters)
    return {
        "acc_orig": right,
        "acc_new": thin or proportion(after, clusters),
        "drop_pp": _drop(one, params.seed),
        "drop_rel": thin or _relative(one, right, bootstrap),
        "break_rate": share(1 - after, before == 1, clusters),
        "fix_rate": share(after, before == 0, clusters),
        "flip_rate": thin or proportion(np.abs(after - before), clusters),
        "ties": plain(float(tied.sum(axis=1).mean()), len(clusters)),
    }


def _drop(one: Compared, seed: int) -> Estimate:
    """Accuracy before minus after in pp with the paired test of corrections 8; of several seeds t over pairs and seeds."""
    clusters = _clusters(one)
    if thin := few(clusters):
        return thin
    if np.array_equal(one.before, one.after):
        most = unturned(clusters)
        return replace(still(most, -most, len(clusters), len(np.unique(clusters))), p=1.0).scaled(PP)
    rng = np.random.default_rng(seed)
    found = paired(one.before.mean(axis=0), one.after.mean(axis=0), clusters, rng=rng)
    return seeded(found, (one.before - one.after).mean(axis=1)).scaled(PP)


def _relative(one: Compared, right: Estimate, bootstrap: Bootstrap) -> Estimate:
    """The drop over what the member had above a constant one (corrections 19); its denominator is a difference, so it is drawn."""
    chance = one.pairs["chance"].to_numpy(dtype=float)
    if right.low is None or right.low <= chance.mean():
        at_least = "unknown" if right.low is None else f"at least {right.low:.3f}"
        reason = f"accuracy before is {at_least}, chance {chance.mean():.3f}: nothing to lose"
        return Estimate.null(reason, right.n, right.n_clusters)
    sums = np.stack([one.before - one.after, one.before - chance], axis=-1)
    everything = np.ones(len(chance), dtype=bool)
    return bootstrap.ratio(sums, _clusters(one), lambda totals: over(totals[..., 0], totals[..., 1]), everything)


def _scores(one: Compared, unit: np.ndarray, params: Params) -> Found:
    """How far scores move in units of s_w, and whether margins and ranks are kept."""
    clusters = one.texts["cluster_id"].to_numpy()
    found: Found = {}
    thin = few(clusters) or (None if (unit > 0).all() else Estimate.null(NO_UNIT, len(clusters)))
    if thin:
        found |= {"shift": thin, "abs_shift": thin}
    else:
        moved = (one.new - one.old) / unit[:, None]
        found |= {"shift": mean(moved, clusters), "abs_shift": mean(np.abs(moved), clusters)}
    pairs, before, after = _clusters(one), one.margin_before, one.margin_after
    found["margin_ratio"] = few(pairs) or ratio(after * before, before**2, pairs)
    if one.rewriting.arm == "both":
        found["spearman"] = spearman(one.old, one.new, clusters, params.draws, params.seed)
    return found


def _validity(one: Compared) -> Found:
    """How many pairs the rewriting changes, how many of the changes pass, and how far they go."""
    valid, n = one.pairs["valid"].to_numpy(dtype=float), len(one.pairs)
    items = one.pairs["item_id"].nunique()
    unknown = Estimate.null("no pair was scored")
    return {
        "n_valid": plain(float(valid.sum()), n),
        "n_failed": plain(float(one.failed), n + one.failed),
        "valid_rate": proportion(valid[None], _clusters(one)),
        "applicable_rate": plain(items / one.scored, one.scored) if one.scored else unknown,
        "similarity_mean": _texts(one.valid, "similarity", "no encoder"),
        "edit_ratio": _texts(one.valid, "edit_ratio", "no valid rewrite"),
    }


def _texts(one: Compared, name: str, missing: str) -> Estimate:
    """Mean over rewritten texts that have such a number."""
    known = one.texts[one.texts[name].notna()]
    if known.empty:
        return Estimate.null(missing, len(one.texts))
    return mean(known[name].to_numpy(dtype=float)[None], known["cluster_id"].to_numpy())


def _noise(one: Compared, columns: Found) -> Found:
    """What scoring the same texts again does, of the whole member."""
    moved = np.abs(one.new - one.old)
    largest = plain(float(moved.max()), moved.shape[1]) if moved.size else Estimate.null("no pair was scored")
    return {"noise_floor": columns["flip_rate"], "noise_score": largest}


def _family(compared: Sequence[Compared], found: Sequence[Found]) -> list[float | None]:
    """Holm over what changes texts, arm by arm."""
    adjusted: list[float | None] = [None] * len(compared)
    for arm in {one.rewriting.arm for one in compared}:
        mine = [i for i, c in enumerate(compared) if c.rewriting.arm == arm and c.rewriting.kind != "identity"]
        for i, p in zip(mine, holm([found[i]["drop_pp"].p for i in mine]), strict=True):
            adjusted[i] = p
    return adjusted


def _clusters(one: Compared) -> np.ndarray:
    return one.pairs["cluster_id"].to_numpy()
