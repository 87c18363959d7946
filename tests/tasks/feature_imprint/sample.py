"""A table of replies whose features are drawn, not measured, and its differences by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from harness.tasks.feature_imprint.regressors import Regressor

SPECS = (
    ("log_words", "control", 0, "log"),
    ("good", "target", 1, "binary"),
    ("bad", "target", -1, "binary"),
    ("asked", "target", 0, "binary"),
    ("tone", "spoiler", 0, "bounded"),
    ("shout", "spoiler", 0, "open"),
)
REGRESSORS = tuple(Regressor(name, f"x_{name}", kind, sign, form) for name, kind, sign, form in SPECS)  # type: ignore[arg-type]
NAMES = tuple(r.name for r in REGRESSORS)
PRICES = {"log_words": 0.4, "good": 0.8, "bad": -0.5, "asked": 0.3, "tone": 0.6, "shout": 0.2}
DIMS = {"member": "model"}


def texts(n: int = 240, seed: int = 0, subsets: Sequence[str] = ("one", "two")) -> pd.DataFrame:
    """Two replies to each of n items, two items a prompt; people like what is good, dislike what is bad, a little."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        for side, taste in (("chosen", 0.1), ("rejected", -0.1)):
            x = {
                "log_words": 3 + 0.5 * rng.normal(),
                "good": float(rng.random() < 0.4 + taste),
                "bad": float(rng.random() < 0.3 - taste),
                "asked": float(rng.random() < 0.5),
                "tone": rng.uniform(-1, 1) + 0.5 * taste,
                "shout": rng.standard_t(2),
            }
            made.append(
                {
                    "unit_id": f"i{i:04d}#{side}", "item_id": f"i{i:04d}", "cluster_id": f"c{i // 2:04d}", "side": side,
                    "dataset": "d", "subset": subsets[i % len(subsets)],
                    **{f"x_{name}": value for name, value in x.items()},
                }
            )  # fmt: skip
    return pd.DataFrame(made)


def paid(frame: pd.DataFrame, prices: Mapping[str, float] = PRICES, noise: float = 0.5, seed: int = 1) -> np.ndarray:
    """Rewards of the replies: prices times features, and noise."""
    rng = np.random.default_rng(seed)
    return sum(price * frame[f"x_{name}"] for name, price in prices.items()).to_numpy() + noise * rng.normal(
        size=len(frame)
    )


def scored(frame: pd.DataFrame, *scores: np.ndarray) -> pd.DataFrame:
    """The rows of one member, a seed for each of `scores`, in no order."""
    rows = pd.concat([frame.assign(seed=s, score=score) for s, score in enumerate(scores)])
    return rows.sample(frac=1.0, random_state=0).reset_index(drop=True)


def gaps(frame: pd.DataFrame, column: str) -> pd.Series:
    """Chosen minus rejected by item id."""
    wide = frame.pivot(index="item_id", columns="side", values=column)
    return wide["chosen"] - wide["rejected"]


def ruler(frame: pd.DataFrame, name: str) -> pd.Series:
    """The scaled column, from the definition of corrections 12."""
    form = {spec[0]: spec[3] for spec in SPECS}[name]
    x = frame[f"x_{name}"]
    if form == "open":
        x = x.clip(x.quantile(0.01), x.quantile(0.99))
    return x if form == "binary" else x / x.std(ddof=0)


def design_by_hand(frame: pd.DataFrame, names: Sequence[str] = NAMES) -> pd.DataFrame:
    """Differences of the scaled features, items in the order of their ids."""
    scaled = frame.assign(**{name: ruler(frame, name) for name in names})
    return pd.DataFrame({name: gaps(scaled, name) for name in names})
