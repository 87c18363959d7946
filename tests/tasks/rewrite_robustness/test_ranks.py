"""Rank correlation under repeated prompts, against scipy on rows that are really repeated."""

from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.rewrite_robustness.ranks import spearman
from scipy import stats

from harness.stats.bootstrap import cluster_weights, row_weights


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 2)
    old = np.round(rng.normal(size=(2, 80)) * 2)
    return old, np.round(old + rng.normal(size=(2, 80))), clusters


def test_the_value_is_that_of_scipy(scores):
    old, new, clusters = scores
    found = spearman(old, new, clusters, 0, 0)
    assert found.value == pytest.approx(np.mean([stats.spearmanr(a, b)[0] for a, b in zip(old, new, strict=True)]))
    assert (found.low, found.reason) == (None, "no bootstrap draws")
    assert (found.n, found.n_clusters) == (80, 40)


def test_draws_are_of_whole_prompts(scores):
    old, new, clusters = scores[0][:1], scores[1][:1], scores[2]
    found = spearman(old, new, clusters, 60, 3)
    weights = row_weights(clusters, *cluster_weights(clusters, 60, np.random.default_rng(3)))
    drawn = [stats.spearmanr(np.repeat(old[0], w), np.repeat(new[0], w))[0] for w in weights]
    assert [found.low, found.high] == pytest.approx(list(np.quantile(drawn, [0.025, 0.975])))
    assert found.se == pytest.approx(np.std(drawn, ddof=1))


def test_seeds_add_their_spread(scores):
    old, new, clusters = scores
    both = spearman(old, new, clusters, 60, 3)
    each = [spearman(old[[s]], new[[s]], clusters, 60, 3).value for s in (0, 1)]
    assert both.value == pytest.approx(np.mean(each))
    weights = row_weights(clusters, *cluster_weights(clusters, 60, np.random.default_rng(3)))
    drawn = [
        np.mean([stats.spearmanr(np.repeat(a, w), np.repeat(b, w))[0] for a, b in zip(old, new, strict=True)])
        for w in weights
    ]
    assert both.se**2 == pytest.approx(np.var(drawn, ddof=1) + np.var(each, ddof=1) / 2)


def test_only_ranks_count(scores):
    old, new, clusters = scores
    assert spearman(np.exp(old), new**3, clusters, 20, 0) == spearman(old, new, clusters, 20, 0)


def test_constants_and_few_prompts_are_null(scores):
    old, new, clusters = scores
    assert spearman(np.zeros_like(old), new, clusters, 10, 0).reason == "every text has the same score"
    few = spearman(old[:, :58], new[:, :58], clusters[:58], 10, 0)
    assert few.reason == "29 prompts to speak of: a rank correlation needs 30"
