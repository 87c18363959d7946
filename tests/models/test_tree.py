from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.models.base import Encoded
from harness.models.tree import grow, shared_prefix, single

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=9)
"""Three ids and short texts, so that prefixes of every kind are shared, whole texts and equal texts among them."""


def encoded(ids):
    return Encoded(np.array(ids, np.int32))


@given(TEXTS)
def test_every_path_spells_its_text_at_its_own_positions(texts):
    tree = grow([encoded(t) for t in texts])
    assert sorted(t.ids.tolist() for t in tree.texts) == sorted(texts)
    for text, path in zip(tree.texts, tree.paths, strict=True):
        assert tree.ids[path].tolist() == text.ids.tolist()
        assert tree.positions[path].tolist() == list(range(len(text)))


@given(TEXTS)
def test_a_token_sees_exactly_what_stands_before_it_in_its_text(texts):
    tree = grow([encoded(t) for t in texts])
    before = {int(token): set(path[: i + 1].tolist()) for path in tree.paths for i, token in enumerate(path)}
    for q in range(len(tree)):
        seen = {k for k in range(len(tree)) if k <= q < tree.visible[k]}
        assert seen == before[q]


@given(TEXTS)
def test_each_distinct_prefix_is_there_once(texts):
    prefixes = {tuple(t[: i + 1]) for t in texts for i in range(len(t))}
    assert len(grow([encoded(t) for t in texts])) == len(prefixes)


@given(TEXTS)
def test_the_order_of_the_texts_does_not_matter(texts):
    one, other = grow([encoded(t) for t in texts]), grow([encoded(t) for t in texts[::-1]])
    assert one.ids.tolist() == other.ids.tolist()
    assert one.visible.tolist() == other.visible.tolist()


def test_a_single_text_is_a_tree_without_a_fork():
    text = encoded([5, 6, 7])
    row, tree = single(text), grow([text])
    assert not row.forks
    for name in ("ids", "positions", "visible"):
        assert getattr(row, name).tolist() == getattr(tree, name).tolist()
    assert row.paths[0].tolist() == tree.paths[0].tolist() == [0, 1, 2]


def test_ids_above_a_byte_are_compared_as_numbers():
    texts = [[256, 1], [1, 256], [256, 2], [1, 255]]
    assert len(grow([encoded(t) for t in texts])) == 6
    assert shared_prefix(encoded([256, 1]), encoded([256, 2, 3])) == 1
