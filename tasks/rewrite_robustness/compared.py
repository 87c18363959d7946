"""Verdicts of one member before and after a rewrite: what every column of the task is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.outcomes import CARRIED, GROUP, outcomes
from harness.task import ScoreTable

from .rewriting import ARMS, Rewriting, rewriting_of
from .variants import STATUS

PAIR = ("item_id", "cluster_id", "dataset", "subset")
TEXT = {"x_valid": "valid", "x_edit_ratio": "edit_ratio", "x_similarity": "similarity"}
SAME = {"x_valid": 1.0, "x_edit_ratio": 0.0, "x_similarity": np.nan}
"""A reply that was scored again as it is."""


@dataclass(frozen=True)
class Compared:
    """One member's verdicts on the pairs that one rewriting changes, (seeds, pairs) each.

    A pair is here if at least one of the replies that the arm exchanges has a rewrite, valid or not, and every seed
    scored all that its two verdicts need; a reply without a rewrite stays as it was. Two samples of a language model are
    two pairs. `before` and `after` are credits (0, one half, 1; less than one half where several replies tie),
    `margin_before` and `margin_after` chosen minus rejected score in reward points, oriented so that above 0 is right.
    """

    rewriting: Rewriting
    pairs: pd.DataFrame
    """One row a pair, indexed by `{item_id}` or `{item_id}/{sample}`: `item_id`, `cluster_id`, `dataset`, `subset`,
    `valid`, whether every rewrite that is used passed its checks, and `chance`, the credit of a constant model."""
    before: np.ndarray
    after: np.ndarray
    margin_before: np.ndarray
    margin_after: np.ndarray
    texts: pd.DataFrame
    """One row a rewritten reply: `item_id`, `cluster_id`, `side` (`chosen` or `rejected`), `valid`, `edit_ratio`,
    `similarity`."""
    old: np.ndarray
    """(seeds, texts): score of the reply before, in reward points."""
    new: np.ndarray
    """(seeds, texts): and after."""
    failed: int = 0
    """Pairs that the rewriting changes, left out because some seed could not score them; of all, also in a part."""
    scored: int = 0
    """Items that every seed scored, changed or not; of all, also in a part."""

    def where(self, mask: np.ndarray) -> Compared:
        """The pairs that `mask` (pairs,) keeps, with the texts of their items."""
        return self._keeping(mask, self.texts["item_id"].isin(self.pairs["item_id"][mask]).to_numpy())

    @property
    def valid(self) -> Compared:
        """The pairs of which every rewrite passed its checks, and the texts that did: one may stand beside one that did not."""
        return self._keeping(*(frame["valid"].to_numpy(dtype=bool) for frame in (self.pairs, self.texts)))

    def _keeping(self, pairs: np.ndarray, texts: np.ndarray) -> Compared:
        by_pair = {name: getattr(self, name)[:, pairs] for name in ("before", "after", "margin_before", "margin_after")}
        by_text = {name: getattr(self, name)[:, texts] for name in ("old", "new")}
        return replace(self, pairs=self.pairs[pairs], texts=self.texts[texts], **by_pair, **by_text)


def compared(rows: ScoreTable, arms: Sequence[str] = ARMS) -> list[Compared]:
    """Every rewriting of one member's `rows` (all seeds, variants, replicates) in these arms, in the order of the variants.

    The second replicate of the originals is the rewriting `identity`, in the arm `both` alone. What was tried and changed
    no reply is here too, without pairs. Style matrices, comparisons and rewrites of rewrites are left out. Raises
    InputError on a variant that no registered transform makes.
    """
    shown = {side: side.partition("/")[2] for side in rows["side"].unique()}
    plain = [side for side, name in shown.items() if ">" not in side and (not name or name.isdigit())]
    mine = rows[rows["side"].isin(plain)]
    if mine.empty:
        return []
    replies = _Replies.of(mine)
    return [
        _compare(replies, replace(rewriting, arm=arm), texts)
        for rewriting, texts in _rewritings(mine, replies)
        for arm in ([rewriting.arm] if rewriting.arm else arms)
    ]


@dataclass(frozen=True)
class _Verdicts:
    """(seeds, pairs) credits and margins, NaN where something is not scored, and (pairs,) chances."""

    credit: np.ndarray
    margin: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class _Replies:
    """Every reply of every item, sorted by item and side: names, scores of the originals (seeds, replies), verdicts by item.

    Item `i` has the replies from `first[i]` on, `count[i]` of them.
    """

    frame: pd.DataFrame
    seeds: np.ndarray
    scores: np.ndarray
    first: np.ndarray
    count: np.ndarray
    verdicts: _Verdicts

    @classmethod
    def of(cls, rows: ScoreTable) -> _Replies:
        """The replies of all rows, so that one whose original is missing is known to be so."""
        frame = rows.drop_duplicates(["item_id", "side"]).sort_values(["item_id", "side"])
        frame = frame[[*PAIR, "side"]].set_index(["item_id", "side"], drop=False)
        _, first, count = np.unique(frame["item_id"].to_numpy(dtype=str), return_index=True, return_counts=True)
        seeds = np.sort(rows["seed"].unique())
        found = rows[(rows["variant"] == "original") & (rows["replicate"] == 0)]
        scores = _by_seed(found, frame.index, seeds)
        item = np.repeat(np.arange(len(first)), count)
        return cls(frame, seeds, scores, first, count, _verdicts(item, frame["side"].to_numpy(), scores))

    @property
    def item(self) -> np.ndarray:
        """Number of the item of every reply."""
        return np.repeat(np.arange(len(self.first)), self.count)

    def of_items(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replies of these items one after the other, and where the replies of each begin."""
        count = self.count[items]
        begin = np.cumsum(count) - count
        return np.arange(count.sum()) + np.repeat(self.first[items] - begin, count), begin


@dataclass(frozen=True)
class _Texts:
    """Replies rewritten in one way: `frame` has the number of the `reply`, the `sample` and what `TEXT` names."""

    frame: pd.DataFrame
    scores: np.ndarray

    @classmethod
    def of(cls, rows: ScoreTable, replies: _Replies, sample: str) -> _Texts:
        """Those of the rows of one variant."""
        known = rows.drop_duplicates(["item_id", "side"]).set_index(["item_id", "side"])
        known = known.reindex(columns=list(TEXT)).rename(columns=TEXT).astype(float)
        number = replies.frame.index.get_indexer(known.index)
        known = known.assign(reply=number, sample=sample, valid=known["valid"] == 1).sort_values("reply")
        return cls(known, _by_seed(rows, known.index, replies.seeds))

    @classmethod
    def together(cls, parts: Sequence[_Texts]) -> _Texts:
        """The samples of one way of rewriting."""
        return cls(pd.concat([p.frame for p in parts]), np.concatenate([p.scores for p in parts], axis=1))

    def where(self, mask: np.ndarray) -> _Texts:
        """The texts under a mask."""
        return _Texts(self.frame[mask], self.scores[:, mask])


def _rewritings(rows: ScoreTable, replies: _Replies) -> Iterator[tuple[Rewriting, _Texts]]:
    """Every way of rewriting with all its samples; the identity has its arm already."""
    again = rows[(rows["variant"] == "original") & (rows["replicate"] == 1)]
    if len(again):
        yield Rewriting("identity", "identity", "both"), _Texts.of(again.assign(**SAME), replies, "")
    changed = rows[(rows["variant"] != "original") & (rows["replicate"] == 0)]
    by_variant = {str(name): part for name, part in changed.groupby("variant", sort=False)}
    tried = {str(column).removeprefix(STATUS) for column in rows.columns if str(column).startswith(STATUS)}
    ways: dict[Rewriting, list[_Texts]] = {}
    for variant in sorted(tried | set(by_variant)):
        rewriting, sample = rewriting_of(variant)
        if not rewriting.twice:
            texts = _Texts.of(by_variant.get(variant, changed.iloc[:0]), replies, sample)
            ways.setdefault(rewriting, []).append(texts)
    yield from ((rewriting, _Texts.together(parts)) for rewriting, parts in ways.items())


def _compare(replies: _Replies, rewriting: Rewriting, made: _Texts) -> Compared:
    """Verdicts on composed pairs: the rewrites of the sides that the arm exchanges, the originals of all else."""
    side = replies.frame["side"].str.partition("/")[0].to_numpy()
    exchanged = rewriting.arm == "both" or side[made.frame["reply"]] == rewriting.arm.removesuffix("_only")
    used = made.where(np.broadcast_to(exchanged, len(made.frame)))
    reply = used.frame["reply"].to_numpy()
    keys = pd.DataFrame({"item": replies.item[reply], "sample": used.frame["sample"].to_numpy()})
    pair = keys.groupby(["item", "sample"]).ngroup().to_numpy(dtype=int)
    known = keys.drop_duplicates().sort_values(["item", "sample"])
    item = known["item"].to_numpy()
    stands, begin = replies.of_items(item)
    scores = replies.scores[:, stands]
    scores[:, begin[pair] + reply - replies.first[replies.item[reply]]] = used.scores
    number = np.repeat(np.arange(len(item)), replies.count[item])
    after = _verdicts(number, replies.frame["side"].to_numpy()[stands], scores)
    before = replies.verdicts
    fine = np.isfinite(before.credit).all(axis=0)
    kept = fine[item] & np.isfinite(after.credit).all(axis=0)
    valid = np.bincount(pair[~used.frame["valid"].to_numpy(dtype=bool)], minlength=len(item)) == 0
    names = replies.frame.iloc[replies.first[item]]
    called = [f"{i}/{s}" if s else i for i, s in zip(names["item_id"], known["sample"], strict=True)]
    index = pd.Index(called, dtype=object)
    pairs = names[list(PAIR)].set_axis(index).assign(valid=valid, chance=before.chance[item])
    texts = used.frame[list(TEXT.values())].set_axis(index[pair]).assign(side=side[reply])
    texts = texts.assign(**{name: pairs[name].to_numpy()[pair] for name in ("item_id", "cluster_id")})
    mine = kept[pair]
    return Compared(
        rewriting, pairs[kept], before.credit[:, item[kept]], after.credit[:, kept],
        before.margin[:, item[kept]], after.margin[:, kept],
        texts[mine], replies.scores[:, reply[mine]], used.scores[:, mine],
        failed=int((~kept).sum()), scored=len(np.union1d(np.setdiff1d(np.flatnonzero(fine), item), item[kept])),
    )  # fmt: skip


def _by_seed(rows: ScoreTable, index: pd.Index, seeds: np.ndarray) -> np.ndarray:
    """Scores by seed and (item, side), (seeds, n); NaN where there is none."""
    scores = np.full((len(seeds), len(index)), np.nan)
    at = index.get_indexer(pd.MultiIndex.from_frame(rows[["item_id", "side"]]))
    fine = (rows["status"] == "ok").to_numpy(dtype=bool)
    found = rows["score"].to_numpy(dtype=float, na_value=np.nan)
    scores[np.searchsorted(seeds, rows["seed"].to_numpy()), at] = np.where(fine, found, np.nan)
    return scores


def _verdicts(pair: np.ndarray, side: np.ndarray, scores: np.ndarray) -> _Verdicts:
    """Verdicts on pairs numbered without gaps, from replies (n,) with scores (seeds, n)."""
    seeds, total = scores.shape
    n = int(pair.max(initial=-1)) + 1
    credit, margin, chance = np.full((seeds, n), np.nan), np.full((seeds, n), np.nan), np.full(n, np.nan)
    if total:
        found = outcomes(_composed(pair, side, scores))
        at = found["seed"].to_numpy(dtype=int), found["item_id"].to_numpy(dtype=int)
        credit[at], margin[at] = found["credit"], found["margin"]
        chance[at[1]] = found["chance"]
    return _Verdicts(credit, margin, chance)


def _composed(pair: np.ndarray, side: np.ndarray, scores: np.ndarray) -> ScoreTable:
    """Replies of pairs as rows of a score table, a number in the place of every name: `outcomes` sorts by them."""
    seeds, total = scores.shape
    names = dict.fromkeys((*GROUP, *CARRIED, "n_response_words"), 0)
    rows = {
        "item_id": np.tile(pair, seeds),
        "seed": np.repeat(np.arange(seeds), total),
        "side": np.tile(side, seeds),
        "score": scores.ravel(),
        "status": "ok",
    }
    return pd.DataFrame({**names, **rows})
