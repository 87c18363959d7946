from __future__ import annotations

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from harness.stats.bootstrap import cluster_weights
from harness.stats.differences import change, estimability, first_differences, unit
from harness.stats.estimate import Estimate
from harness.stats.fit import Fit
from harness.stats.regression import vif
from tests.stats.data import clustered

NAMES = ("a", "b", "c")
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def drawn(seed: int, groups: int = 60) -> Pairs:
    """Margins (n,) whose spread grows with a feature and which share a part within a prompt, differences (n, 3), clusters."""
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    _, codes = np.unique(clusters, return_inverse=True)
    X = rng.normal(size=(len(clusters), 3)) * [1, 3, 0.2]
    X[:, 1] *= rng.random(len(X)) < 0.3
    noise = rng.normal(size=len(X)) * np.exp(0.5 * X[:, 0]) + rng.normal(size=groups)[codes]
    return X @ [0.7, -0.2, 0.0] + noise, X, clusters


@pytest.fixture
def pairs() -> Pairs:
    return drawn(1)


def same(one: Fit, two: Fit, rel: float = 1e-9) -> bool:
    """Whether two fits give the same estimates."""
    a, b = ([seen(fit.estimate(name)) for name in fit.names] for fit in (one, two))
    return one.names == two.names and all(x == pytest.approx(y, rel=rel) for x, y in zip(a, b, strict=True))


def seen(e: Estimate) -> tuple:
    return e.value, e.se, e.low, e.high, e.df, e.p


def test_errors_against_a_loop(pairs: Pairs) -> None:
    d, X, clusters = pairs
    fit = first_differences(d, X, clusters, NAMES)
    coef, *_ = np.linalg.lstsq(X, d)
    bread = np.linalg.inv(sum(np.outer(x, x) for x in X))
    meat = np.zeros((3, 3))
    for name in sorted(set(clusters)):
        score = sum(x * (y - x @ coef) for x, y, c in zip(X, d, clusters, strict=True) if c == name)
        meat += np.outer(score, score)
    n, groups = len(d), len(set(clusters))
    expected = bread @ meat @ bread * groups / (groups - 1) * (n - 1) / (n - 3)
    assert fit.coef == pytest.approx(coef)
    assert fit.covariance == pytest.approx(expected)
    assert fit.row_weights @ d == pytest.approx(coef)
    assert (fit.n, fit.n_clusters, fit.scale, fit.df) == (n, groups, "sw", None)


def test_errors_are_those_of_statsmodels(pairs: Pairs) -> None:
    d, X, clusters = pairs
    _, codes = np.unique(clusters, return_inverse=True)
    reference = OLS(d, X).fit(cov_type="cluster", cov_kwds={"groups": codes})
    fit = first_differences(d, X, clusters, NAMES)
    assert fit.coef == pytest.approx(reference.params)
    assert fit.covariance == pytest.approx(reference.cov_params())


def test_first_differences_are_pair_fixed_effects() -> None:
    rng = np.random.default_rng(3)
    clusters = clustered(rng, 30)
    n = len(clusters)
    chosen, rejected = rng.normal(size=(2, n, 3)) + rng.normal(size=(n, 1)) * 3
    r = np.concatenate([chosen, rejected]) @ [0.5, -0.3, 0.0] + np.tile(rng.normal(size=n) * 5, 2)
    r += rng.normal(size=2 * n) * np.exp(0.3 * np.concatenate([chosen, rejected])[:, 0])
    dummies = np.column_stack([np.concatenate([chosen, rejected]), np.tile(np.eye(n), (2, 1))])
    _, codes = np.unique(clusters, return_inverse=True)
    reference = OLS(r, dummies).fit(cov_type="cluster", cov_kwds={"groups": np.tile(codes, 2)})
    fit = first_differences(r[:n] - r[n:], chosen - rejected, clusters, NAMES)
    assert np.abs(fit.coef - reference.params[:3]).max() < 1e-8
    counted = np.sqrt((2 * n - 1) / (n - 1))  # pair effects counted as parameters; see the docstring
    assert np.sqrt(np.diag(fit.covariance)) * counted == pytest.approx(reference.bse[:3], rel=1e-8)


def test_offsets_of_prompts_leave_no_trace() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(2, 50, 3))
    r = X @ [1.0, 0.0, 2.0] + rng.normal(size=(2, 50))
    plain, shifted = (
        first_differences(np.subtract(*scores), X[0] - X[1], range(50), NAMES) for scores in (r, r + X[0, :, 0] * 100)
    )
    assert same(plain, shifted)


def exchanged(*rows: np.ndarray, seed: int = 5) -> list[np.ndarray]:
    """The same pairs with the sides of about half of them exchanged."""
    signs = np.where(np.random.default_rng(seed).random(len(rows[0])) < 0.5, -1.0, 1.0)
    return [(x.T * signs).T for x in rows]


def test_exchanging_sides_changes_nothing(pairs: Pairs) -> None:
    d, X, clusters = pairs
    other, swapped, signs = exchanged(d, X, np.ones(len(d)))
    assert set(signs) == {-1.0, 1.0}
    assert unit(other) == unit(d)
    assert same(first_differences(d, X, clusters, NAMES), first_differences(other, swapped, clusters, NAMES))
    ref, ref_swapped = d**3, other**3
    assert same(change(d, ref, X, clusters, NAMES), change(other, ref_swapped, swapped, clusters, NAMES))
    assert estimability(X, clusters, NAMES) == pytest.approx(estimability(swapped, clusters, NAMES))


def test_row_order_changes_nothing(pairs: Pairs) -> None:
    d, X, clusters = pairs
    order = np.random.default_rng(6).permutation(len(d))
    shuffled = d[order], X[order], clusters[order]
    assert unit(shuffled[0]) == pytest.approx(unit(d))
    assert same(first_differences(d, X, clusters, NAMES), first_differences(*shuffled, NAMES))
    assert same(change(d, d**3, X, clusters, NAMES), change(d[order], d[order] ** 3, *shuffled[1:], NAMES), rel=1e-6)


def test_units_change_nothing_but_the_unit(pairs: Pairs) -> None:
    d, X, clusters = pairs
    one = first_differences(d, X, clusters, NAMES)
    scaled = first_differences(1000 * d, X * [1, 0.01, 7], clusters, NAMES, "reward")
    for name, factor in zip(NAMES, (1000, 100000, 1000 / 7), strict=True):
        expected, found = one.estimate(name).scaled(factor), scaled.estimate(name)
        assert (found.value, found.se, found.low, found.df, found.p) == pytest.approx(
            (expected.value, expected.se, expected.low, expected.df, expected.p)
        )
    assert scaled.scale == "reward"
    assert unit(-3 * d) == pytest.approx(3 * unit(d))
    assert same(one, first_differences(d / unit(d) * unit(d), X, clusters, NAMES))


def test_the_unit_is_the_spread_within_pairs() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(2, 100_000)) * 3 + rng.normal(size=100_000) * 50
    assert unit(scores[0] - scores[1]) == pytest.approx(3, rel=0.02)
    assert unit([3.0, -4.0]) == pytest.approx(2.5)
    assert unit([0.0, 0.0]) == 0.0
    assert np.isnan(unit([]))


@pytest.mark.parametrize(
    ("X", "clusters", "why"),
    [
        (np.ones((6, 0)), range(6), "no feature"),
        (np.ones((6, 1)), [1] * 6, "1 clusters"),
        (np.ones((0, 1)), [], "0 clusters"),
        (np.eye(3), range(3), "3 rows for 3"),
        (np.zeros((6, 1)), range(6), "rank"),
        (np.outer(np.arange(6), [1, 1000.0]), range(6), "rank"),
    ],
)
def test_nothing_to_fit_has_a_reason(X: np.ndarray, clusters: list, why: str) -> None:
    names = NAMES[: X.shape[1]]
    d = np.arange(1.0, 1 + len(X))
    for fit in (first_differences(d, X, clusters, names), change(d, d, X, clusters, names)):
        assert why in str(fit.reason)
        assert fit.names == names
        assert fit.coef.size == 0
        assert all(fit.estimate(name).value is None for name in names)


def test_bad_input_is_refused(pairs: Pairs) -> None:
    d, X, clusters = pairs
    with pytest.raises(ValueError, match="finite"):
        first_differences(np.full(len(d), np.nan), X, clusters, NAMES)
    with pytest.raises(ValueError, match="finite"):
        first_differences(d, np.full(X.shape, np.inf), clusters, NAMES)
    with pytest.raises(ValueError, match="different names"):
        first_differences(d, X, clusters, ("a", "b"))
    with pytest.raises(ValueError, match="different names"):
        estimability(X, clusters, ("a", "b", "a"))
    with pytest.raises(ValueError, match="one cluster a row"):
        first_differences(d, X, clusters[1:], NAMES)
    with pytest.raises(ValueError, match="one row a pair"):
        change(d, d[1:], X, clusters, NAMES)


def test_a_change_is_the_difference_of_two_fits(pairs: Pairs) -> None:
    d, X, clusters = pairs
    reference = drawn(1)[1] @ [0.1, 0.2, 0.3] + np.random.default_rng(8).normal(size=len(d))
    found = change(d, reference, X, clusters, NAMES)
    post, pre = (first_differences(y / unit(y), X, clusters, NAMES) for y in (d, reference))
    assert found.coef == pytest.approx(post.coef - pre.coef)
    assert found.scale == "sw"
    back = change(reference, d, X, clusters, NAMES)
    assert back.coef == pytest.approx(-found.coef)
    assert back.covariance == pytest.approx(found.covariance)
    assert same(found, change(1e3 * d, 1e-3 * reference, X, clusters, NAMES))


def test_a_model_does_not_differ_from_itself_in_another_unit(pairs: Pairs) -> None:
    d, X, clusters = pairs
    found = change(d, 42 * d, X, clusters, NAMES).estimate("a")
    assert (found.value, found.se, found.p) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12), 1.0)
    assert "ties" in str(change(d, 0 * d, X, clusters, NAMES).reason)


def test_the_error_of_a_change_is_that_of_the_bootstrap_of_the_whole_ratio() -> None:
    d, X, clusters = drawn(9, groups=1500)
    d = X @ [2.0, 0.0, 0.0] + 0.2 * d  # much of s_w is what the features pay, so that the unit matters
    reference = X @ [0.2, 0.0, 1.0] + np.random.default_rng(10).standard_t(5, len(d)) + 0.3 * d
    found = change(d, reference, X, clusters, NAMES)
    unique, counts = cluster_weights(clusters, 1500, np.random.default_rng(11))
    at = np.searchsorted(unique, clusters)
    draws = []
    for weight in counts[:, at].astype(float):
        gram = (X.T * weight) @ X
        betas = [np.linalg.solve(gram, (X.T * weight) @ y) for y in (d, reference)]
        units = [np.sqrt((weight @ y**2) / weight.sum() / 2) for y in (d, reference)]
        draws.append(betas[0] / units[0] - betas[1] / units[1])
    expected = np.std(draws, axis=0, ddof=1)
    fixed = first_differences(d / unit(d) - reference / unit(reference), X, clusters, NAMES)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(expected, rel=0.06)
    assert np.sqrt(fixed.covariance[0, 0]) < 0.85 * expected[0]


def features(rng: np.random.Generator, n: int = 400) -> dict[str, np.ndarray]:
    """Differences of features: plain, rare, never, near copies, a sum."""
    a, b, c = rng.normal(size=(3, n))
    rare = np.zeros(n)
    rare[:19] = 1.0
    return {
        "a": a, "b": b, "copy of a": a + 0.2 * c, "sum": a + b, "rare": rare, "never": np.zeros(n), "c": c, "a doubled": 2 * a,
    }  # fmt: skip


def judged(columns: dict[str, np.ndarray], names: list[str], **options: object) -> dict[str, str | None]:
    X = np.column_stack([columns[name] for name in names])
    return {name: found.reason for name, found in estimability(X, np.arange(len(X)), names, **options).items()}


def refused(columns: dict[str, np.ndarray], names: list[str], **options: object) -> list[str]:
    return [name for name, reason in judged(columns, names, **options).items() if reason]


@pytest.mark.parametrize(
    ("names", "forced", "expected"),
    [
        (["a", "b", "c"], [], []),
        (["a", "copy of a"], [], ["copy of a"]),
        (["copy of a", "a"], [], ["a"]),
        (["copy of a", "a"], ["a"], ["copy of a"]),
        (["a", "b", "sum"], [], ["sum"]),
        (["sum", "b", "a"], [], ["a"]),
        (["sum", "b", "a"], ["a"], ["b"]),
        (["a", "b", "copy of a", "c"], [], ["copy of a"]),
        (["a", "a doubled"], ["a", "a doubled"], ["a doubled"]),
        (["a", "rare", "never"], [], ["rare", "never"]),
        (["rare", "never"], ["rare", "never"], ["rare", "never"]),
    ],
)
def test_of_features_that_determine_each_other_the_later_are_refused(
    names: list[str], forced: list[str], expected: list[str]
) -> None:
    assert refused(features(np.random.default_rng(12)), names, forced=forced) == expected


def test_reasons_name_what_is_missing() -> None:
    found = judged(features(np.random.default_rng(12)), ["a", "b", "sum", "rare", "never"])
    assert found["sum"] == "other features determine it (variance inflation inf, at most 10)"
    assert found["rare"] == "differs in 19 effective clusters, 20 are needed"
    assert found["never"] == "differs in 0 effective clusters, 20 are needed"


def test_one_leaves_and_not_everything_that_inflates_it_a_little() -> None:
    rng = np.random.default_rng(13)
    parts = rng.normal(size=(20, 500))
    total = parts.sum(axis=0) + rng.normal(size=500)
    names = ["total", *(f"part {i}" for i in range(20))]
    columns = dict(zip(names, [total, *parts], strict=True))
    assert refused(columns, names, forced=[]) == ["total"]
    assert refused(columns, names, forced=["total"]) == []
    assert vif(np.column_stack(list(columns.values())))[0] > 10 > vif(parts.T).max()


@pytest.mark.parametrize("seed", range(5))
def test_of_two_pairs_of_copies_the_later_of_each_leaves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, 400))
    columns = {"a": a + 0.05 * c, "b": b, "c": c, "a again": a + 0.1 * rng.normal(size=400)}
    columns["b again"] = b + 0.13 * rng.normal(size=400)
    assert refused(columns, list(columns), forced=[]) == ["a again", "b again"]


def test_nothing_in_the_fit_is_inflated_and_nothing_refused_could_join() -> None:
    rng = np.random.default_rng(16)
    base = rng.normal(size=(6, 300))
    columns = {f"f{i}": rng.normal(size=6) @ base + 0.3 * rng.normal(size=300) for i in range(12)}
    names = list(columns)
    out = refused(columns, names, forced=[])
    kept = [name for name in names if name not in out]
    assert out
    assert vif(np.column_stack([columns[name] for name in kept])).max() <= 10


def test_what_remains_beside_the_others_is_counted() -> None:
    rng = np.random.default_rng(14)
    a = rng.normal(size=400)
    rest = np.where(np.arange(400) < 15, 1.0, 0.0) * rng.normal(size=400) * 4
    columns = {"a": a, "almost a": a + rest}
    assert "remain" in str(judged(columns, ["a", "almost a"])["almost a"])
    assert refused(columns, ["almost a"]) == []
    assert refused(columns, ["a", "almost a"], forced=["almost a"]) == ["a"]


def test_diagnoses_are_those_of_the_fit() -> None:
    d, X, clusters = drawn(1, groups=200)
    design = np.column_stack([X, X[:, 0] - X[:, 1], X[:, 2] + 0.5 * X[:, 0]])
    names = [*NAMES, "redundant", "mixed"]
    found = estimability(design, clusters, names)
    assert list(found) == names
    kept = [j for j, name in enumerate(names) if found[name].reason is None]
    assert [names[j] for j in kept] == [*NAMES]
    fit = first_differences(d, design[:, kept], clusters, NAMES)
    for j, name in enumerate(NAMES):
        assert found[name].effective_clusters == pytest.approx(fit.effective_clusters({name: 1.0}))
        assert found[name].vif == pytest.approx(vif(X)[j])
        assert found[name].discordance == pytest.approx(np.mean(X[:, j] != 0))
    assert found["redundant"].vif == np.inf
    assert found["mixed"].vif == pytest.approx(vif(design[:, [0, 1, 2, 4]])[-1])


def test_clusters_count_not_rows() -> None:
    x = np.ones((190, 1))
    assert estimability(x, np.arange(190) // 10, ["a"], forced=())["a"].reason == (
        "differs in 19 effective clusters, 20 are needed"
    )
    assert estimability(x, np.arange(190) // 9, ["a"], forced=())["a"].reason is None


@pytest.mark.parametrize("size", [1.0, 1 / 3, 1e-7])
def test_twenty_prompts_that_differ_are_enough(size: float) -> None:
    x = np.zeros((600, 2))
    x[:40, 0], x[:38, 1] = size, size  # sums give the first 20 - 3.6e-15 effective clusters
    found = estimability(x, np.arange(600) // 2, ["twenty", "nineteen"], forced=())
    assert [one.reason is None for one in found.values()] == [True, False]


def test_an_intercept_is_a_forced_column_of_ones() -> None:
    x = 10 + 0.5 * np.random.default_rng(15).normal(size=200)
    found = estimability(np.column_stack([np.ones(200), x]), np.arange(200), ["1", "x"], forced=["1"])
    assert found["1"].reason is None
    assert "determine" in str(found["x"].reason)
    assert estimability(x[:, None], np.arange(200), ["x"])["x"].reason is None


def test_no_pairs_refuse_everything() -> None:
    found = estimability(np.empty((0, 2)), [], ["log_words", "b"])
    assert [f.effective_clusters for f in found.values()] == [0.0, 0.0]
    assert all("0 effective" in str(f.reason) for f in found.values())
    assert [f.discordance for f in found.values()] == [0.0, 0.0]


def test_change_of_several_seeds_is_the_mean_of_theirs_each_in_its_own_unit():
    rng = np.random.default_rng(3)
    X, clusters = rng.normal(size=(120, len(NAMES))), np.arange(120) // 2
    seeds, reference = rng.normal(size=(3, 120)) * np.array([[1.0], [5.0], [0.2]]) + X[:, 0], rng.normal(size=120)
    alone = [change(d, reference, X, clusters, NAMES).coef for d in seeds]
    assert change(seeds, reference, X, clusters, NAMES).coef == pytest.approx(np.mean(alone, axis=0))
    again = change(np.stack([seeds[0], 7 * seeds[0]]), reference, X, clusters, NAMES)
    once = change(seeds[0], reference, X, clusters, NAMES)
    assert again.coef == pytest.approx(once.coef)
    assert again.covariance == pytest.approx(once.covariance)
    tied = change(np.stack([seeds[0], 0 * seeds[0]]), reference, X, clusters, NAMES)
    assert tied.reason == "every pair ties: the margins have no unit"
