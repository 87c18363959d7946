from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from harness.condition import NONE, Ablation, Condition
from harness.errors import InputError
from harness.preference import canonical_json, messages_json, units
from harness.reading import Reading
from harness.task import Accumulate, Attach, Capture, Compare, Score
from harness.testing import planted
from harness.testing.planted_neurons import NeuronModel, PlantedNeurons

SHAPE = (2, 3)
ITEMS = (
    *planted.items(np.random.default_rng(1), 4, objective="helpful"),
    *planted.items(np.random.default_rng(2), 3, subset="other", objective="refuse"),
)
UNITS = tuple(units(ITEMS))


def model(seed: int = 0, key: str = "") -> NeuronModel:
    rng = np.random.default_rng(seed)
    weights, mean, spread, tuning = rng.normal(size=(4, *SHAPE))
    return NeuronModel(weights, mean, abs(spread), {"planted/all": tuning}, noise=0.3, key=key)


SUBJECT = PlantedNeurons({("helpful", 0): model(), ("mixed", 0): model(1), ("mixed", 1): model(1, key="1")})


def cond(name: str = "ablate", layers=(0, 1), neurons=(2, 0), values=(0.5, -1.0), site: str = "mlp") -> Condition:
    return Condition(name, (Ablation(layers, neurons, values, site),))


def scores(subject: PlantedNeurons, condition: Condition, member=("mixed", 0)) -> pd.Series:
    table = subject.answer(Score(UNITS, (condition,), members=(member,)))
    return table.set_index("unit_id")["score"]


def test_the_table_is_the_one_planted_table_makes():
    request = Score(UNITS, (NONE, cond()), replicate=2)
    found = SUBJECT.answer(request)
    by = found.set_index(["unit_id", "condition", "member", "seed"])["score"]
    for (member, seed), rows in found.groupby(["member", "seed"]):
        assert set(rows["unit_id"]) == {u.unit_id for u in UNITS}
        for name, mine in rows.groupby("condition"):
            expected = planted.table(
                UNITS,
                lambda u, where=(name, member, seed): by[u.unit_id, *where],
                ((member, seed),),
                (name,),
                2,
            )
            pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected)
    assert found.groupby(["member", "seed", "condition"]).ngroups == 3 * 2


def test_only_the_named_members_are_asked():
    table = SUBJECT.answer(Score(UNITS, members=(("mixed", 1),)))
    assert set(zip(table["member"], table["seed"], strict=True)) == {("mixed", 1)}
    assert set(SUBJECT.answer(Accumulate(UNITS, members=(("helpful", 0),)))) == {("helpful", 0)}
    assert set(SUBJECT.answer(Accumulate(UNITS))) == set(SUBJECT.members)


@pytest.mark.parametrize("site", ["mlp", "activation"])
def test_scores_under_a_condition_are_those_of_the_changed_activations(site: str):
    m = SUBJECT.models["mixed", 0]
    a = m.activations(UNITS)
    a[:, 0, 2], a[:, 1, 0] = 0.5, -1.0
    expected = [float((row * m.weights).sum() + f) for row, f in zip(a, m.fixed(UNITS), strict=True)]
    found = scores(SUBJECT, cond(site=site))
    assert np.allclose(found[[u.unit_id for u in UNITS]], expected)


def test_a_units_numbers_depend_on_nothing_else_that_is_asked():
    few = SUBJECT.answer(Score(UNITS[3:5], (cond("other", values=(0, 0)), cond()), members=(("mixed", 0),)))
    few = few[few["condition"] == "ablate"].set_index("unit_id")["score"]
    assert few.to_dict() == pytest.approx(scores(SUBJECT, cond())[few.index].to_dict())
    one, two = (scores(SUBJECT, NONE, ("mixed", s)) for s in (0, 1))
    assert (one != two).all()


def test_tuning_moves_chosen_and_rejected_apart():
    m = model()
    plain = NeuronModel(m.weights, m.mean, m.spread, {}, m.noise, m.key)
    moved = m.activations(UNITS) - plain.activations(UNITS)
    for unit, change in zip(UNITS, moved, strict=True):
        sign = {"chosen": 0.5, "rejected": -0.5}[unit.side] * (unit.subset == "all")
        assert np.allclose(change, sign * m.tuning["planted/all"])


@pytest.mark.parametrize("weighed", [False, True])
def test_accumulated_sums_are_those_of_a_loop_over_units(weighed: bool):
    weights = tuple(np.random.default_rng(3).normal(size=len(UNITS)) if weighed else ())
    found = SUBJECT.answer(Accumulate(UNITS, Reading("attribution", skip=4), weights))
    moments = SUBJECT.answer(Accumulate(UNITS, Reading("moments"), weights))
    n = len(UNITS)
    for member, m in SUBJECT.models.items():
        a = [m.activations([u])[0] for u in UNITS]
        mean = sum(a) / n
        total = weights or [1 / n] * n
        expected = {
            "mean": mean,
            "abs_mean": sum(abs(x) for x in a) / n,
            "mean_square": sum(x * x for x in a) / n,
            "positive": sum(1.0 * (x > 0) for x in a) / n,
            "product": sum(t * m.weights * x for t, x in zip(total, a, strict=True)),
            "gradient": sum(t * m.weights for t in total),
            "attribution": sum(t * m.weights * (x - mean) for t, x in zip(total, a, strict=True)),
            "tokens": n,
            "units": n,
        }
        assert found[member].keys() == expected.keys()
        assert moments[member].keys() == expected.keys() - {"product", "gradient", "attribution"}
        for name, value in expected.items():
            assert found[member][name].dtype == np.float64
            assert np.allclose(found[member][name], value), name
            assert np.array_equal(found[member][name], moments[member].get(name, found[member][name]))


def test_attribution_is_what_mean_ablation_costs_the_weighted_total():
    weights = np.random.default_rng(4).normal(size=len(UNITS))
    found = SUBJECT.answer(Accumulate(UNITS, Reading("attribution"), tuple(weights)))["mixed", 0]
    for layer, neuron in np.ndindex(SHAPE):
        held = cond(layers=[layer], neurons=[neuron], values=[found["mean"][layer, neuron]])
        fall = (scores(SUBJECT, NONE) - scores(SUBJECT, held))[[u.unit_id for u in UNITS]] @ weights
        assert found["attribution"][layer, neuron] == pytest.approx(fall, abs=1e-6)


def test_a_sample_is_sorted_by_the_digest_of_the_text_whatever_the_order_asked():
    def sample(asked) -> np.ndarray:
        return SUBJECT.answer(Accumulate(tuple(asked), Reading("sample")))["mixed", 0]["sample"]

    def digest(unit) -> str:
        return hashlib.sha256(canonical_json(messages_json(unit.conversation)).encode()).hexdigest()

    found, m = sample(UNITS), SUBJECT.models["mixed", 0]
    assert found.dtype == np.float32
    assert np.array_equal(found, sample(UNITS[::-1]))
    assert np.allclose(found, [m.activations([u])[0] for u in sorted(UNITS, key=digest)])


def test_change_is_the_mean_square_difference_to_the_base_of_the_same_seed_or_its_first():
    subject = PlantedNeurons(
        {("base", 1): model(5), ("base", 2): model(6), ("mixed", 2): model(1), ("mixed", 3): model(2)}
    )
    asked = Accumulate(UNITS, Reading("change"), members=(("mixed", 2), ("mixed", 3)), against="base")
    found = subject.answer(asked)
    for seed, base in ((2, 2), (3, 1)):
        differences = [
            subject.models["mixed", seed].activations([u])[0] - subject.models["base", base].activations([u])[0]
            for u in UNITS
        ]
        assert np.allclose(found["mixed", seed]["mean_square"], sum(d**2 for d in differences) / len(UNITS))
        for name, of in (("abs_mean", ("mixed", seed)), ("base_abs_mean", ("base", base))):
            assert np.allclose(found["mixed", seed][name], np.abs(subject.models[of].activations(UNITS)).mean(0))
        assert found["mixed", seed].keys() == {"mean_square", "abs_mean", "base_abs_mean", "tokens", "units"}
    with pytest.raises(InputError, match=r"no member 'base'.*helpful"):
        SUBJECT.answer(Accumulate(UNITS, Reading("change"), against="base"))


def test_after_replaces_what_the_neurons_do():
    asked = []

    def after(intact, share, noise):
        asked.append((share, noise))
        return intact * (1 - share)

    subject = PlantedNeurons(SUBJECT.models, after)
    intact = scores(subject, NONE)
    assert intact.equals(scores(SUBJECT, NONE))
    assert not asked
    two = scores(subject, cond())
    assert np.allclose(two, intact * (1 - 2 / 6))
    assert two.equals(scores(subject, cond(values=(9.0, 9.0))))
    scores(subject, cond(layers=(0, 1), neurons=(2, 1)))
    (_, first), (_, again), (share, other) = asked
    assert share == 2 / 6
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_the_disturbance_is_standard_normal_and_apart_from_the_noise_of_the_score():
    many = tuple(units(planted.items(np.random.default_rng(0), 1000)))
    noise = model().disturbance(many, np.array([[True, False, True], [True, False, False]]))
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert model().fixed(many).std() == pytest.approx(0.3, abs=0.03)
    assert abs(np.corrcoef(noise, model().fixed(many))[0, 1]) < 0.1


def test_nothing_is_captured_and_nothing_comes_of_attaching():
    assert SUBJECT.answer(Capture(UNITS)) == {}
    assert SUBJECT.answer(Attach()) is None


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (Score(UNITS, (cond(neurons=(2, 3)),)), "2 layers of 3 neurons"),
        (Score(UNITS, (cond(layers=(0, 2)),)), "2 layers of 3 neurons"),
        (Score(UNITS, (cond(site="attention"),)), "attention.*known: mlp, activation"),
        (Accumulate(UNITS, Reading("moments", site="attention")), "attention.*known: mlp, activation"),
        (Accumulate(UNITS, Reading("median")), "median.*known: moments, attribution, sample, change"),
        (Compare("item", *UNITS[:2]), "Score, Accumulate, Capture, Attach; found a Compare"),
    ],
)
def test_what_is_not_there_is_an_error(request_, match: str):
    with pytest.raises(InputError, match=match):
        SUBJECT.answer(request_)


def test_members_of_one_shape():
    other = NeuronModel(*np.ones((3, 2, 2)))
    with pytest.raises(InputError, match="one shape"):
        PlantedNeurons({("helpful", 0): model(), ("mixed", 0): other})
