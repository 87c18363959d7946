"""Which items are judged, on which neurons are scored, and who is ablated with whose sets: decided before any score."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness import preference
from harness.errors import InputError
from harness.preference import PreferenceItem, Unit
from harness.task import Members, TaskData

from .params import Params

GROUPS = ("helpful", "refuse", "comply", "safety_mixed")
"""Objectives of items that are judged."""

CORPORA: Mapping[str, tuple[tuple[str, str], ...]] = {
    "helpful": (("hh-rlhf", "helpful-online"), ("hh-rlhf-train", "helpful-base")),
    "harmless": (("hh-rlhf-train", "harmless-base"),),
    "neutral": (("rm-bench", "code"),),
}
"""(dataset, subset) that neurons are scored on: never judged."""

FALLBACK: Mapping[str, tuple[str, ...]] = {"helpful": ("helpful",), "harmless": ("safety_mixed", "refuse")}
"""Objectives whose items, those not judged, serve where a corpus is absent."""

HALVES, NEUTRAL_PARTS = 2, 10
PILOT = 1 / 3
PILOT_LEAST = 20


Source = tuple[tuple[str, int], str]
"""A model, and the corpus its neurons are scored on: `helpful`, `harmless`, or `both`, each as much as the other."""


@dataclass(frozen=True)
class Target:
    """A model that is ablated, and by objective the source whose scores say which neurons."""

    model: tuple[str, int]
    sources: Mapping[str, Source]

    @property
    def name(self) -> str:
        """`member.seed`, as arrays are called."""
        return label(self.model)


def label(model: tuple[str, int]) -> str:
    """A model in the name of an array: `mixed.0`."""
    return f"{model[0]}.{model[1]}"


@dataclass(frozen=True)
class Corpus:
    """A part of a corpus as one request: its replies, and weights that make the weighted score the mean margin."""

    units: tuple[Unit, ...]
    weights: tuple[float, ...]
    pairs: int

    @classmethod
    def of(cls, items: Sequence[PreferenceItem]) -> Corpus:
        """The first chosen and the first rejected reply of each of n items, with weights +1/n and -1/n."""
        units, weights = [], []
        for item in items:
            sides = {unit.side.split("/")[0]: unit for unit in reversed(list(preference.units([item])))}
            units += [sides["chosen"], sides["rejected"]]
            weights += [1 / len(items), -1 / len(items)]
        return cls(tuple(units), tuple(weights), len(items))


@dataclass(frozen=True)
class Design:
    """Everything that is decided by ids alone."""

    judged: tuple[PreferenceItem, ...]
    pilot: tuple[PreferenceItem, ...]
    corpora: Mapping[str, tuple[Corpus, ...]]
    """Parts of the corpora `helpful`, `harmless` (halves) and, where there is one, `neutral`."""
    targets: tuple[Target, ...]

    @classmethod
    def of(cls, data: TaskData, params: Params) -> Design:
        """The design of a run; raises InputError where items to judge, or a corpus, are missing."""
        places = {place for some in CORPORA.values() for place in some}
        of_group = {g: [i for i in data.items if i.objective == g and _place(i) not in places] for g in GROUPS}
        judged = {g: spread(items, params.pairs) for g, items in of_group.items() if items}
        if not judged:
            raise InputError(
                f"no item to judge: neuron_ablation needs items of the objectives {', '.join(GROUPS)}; rows of a file of "
                'your own say it as "objective": "helpful"'
            )
        seen = {item.cluster_id for items in judged.values() for item in items}
        found = {name: _corpus(name, data.items, of_group, seen) for name in CORPORA}
        n = min(params.corpus_pairs, *(len(found[o]) for o in FALLBACK))
        corpora = {o: _parts(spread(found[o], n), HALVES) for o in FALLBACK}
        short = min(FALLBACK, key=lambda o: (len(corpora[o]), len(found[o])))
        if len(corpora[short]) < HALVES:
            wanted = " or ".join(f"{d}/{s}" for d, s in CORPORA[short])
            raise InputError(
                f"no corpus to score neurons for {short}: found {len(found[short])} pairs, expected some of {HALVES} prompts or more "
                f"of {wanted}, or more items of the objectives {', '.join(FALLBACK[short])} than are judged ({params.pairs}); lower -P neuron_ablation.pairs"
            )
        if neutral := spread(found["neutral"], n):
            corpora["neutral"] = _parts(neutral, min(NEUTRAL_PARTS, len(neutral)))
        some = {g: items[: max(PILOT_LEAST, round(PILOT * len(items)))] for g, items in judged.items()}
        return cls(_flat(judged), _flat(some), corpora, targets(data.members, params.sets))


SOURCES: Mapping[str, Callable[[str], str] | None] = {
    "auto": lambda objective: "both",
    "siblings": lambda objective: "both",
    "siblings_own_corpus": lambda objective: objective,
    "corpora": None,
}
"""Corpus by objective on which a mixed model's siblings are scored; None: the model itself, on either corpus.

Two siblings on the same text differ by what they learned, one model on two corpora by the topic; a sibling on its
own corpus, the paper's way, by both at once.
"""


def targets(members: Members, sets: str) -> tuple[Target, ...]:
    """Who is ablated: every mixed model with its siblings' sets where there are siblings, else every model with its own.

    A mixed model's sibling has its seed, or the first there is. Raises InputError where siblings are asked for
    and absent.
    """
    seeds = {m: sorted(s for name, s in members if name == m) for m in ("helpful", "harmless", "mixed")}
    if sets == "siblings" and not all(seeds.values()):
        raise InputError("sets=siblings needs the members helpful, harmless and mixed; use sets=corpora for others")
    corpus = SOURCES[sets]
    if corpus and all(seeds.values()):
        siblings = {s: {o: (o, s if s in seeds[o] else seeds[o][0]) for o in FALLBACK} for s in seeds["mixed"]}
        return tuple(
            Target(("mixed", s), {o: (model, corpus(o)) for o, model in of.items()}) for s, of in siblings.items()
        )
    models = [model for model in members if model[0] != "base"]
    return tuple(Target(model, {o: (model, o) for o in FALLBACK}) for model in models)


def spread(items: Iterable[PreferenceItem], n: int) -> list[PreferenceItem]:
    """`n` items at most, as evenly over (dataset, subset) as there are items, in an order by the sha256 of their ids.

    A smaller number gives a part of a larger one where no place runs out.
    """
    by_place: dict[tuple[str, str], list[PreferenceItem]] = {}
    for item in sorted(items, key=lambda i: _hash(i.id)):
        by_place.setdefault(_place(item), []).append(item)
    rounds = [(place, k) for place, some in by_place.items() for k in range(len(some))]
    picked = sorted(rounds, key=lambda pick: (pick[1], pick[0]))[:n]
    return [by_place[place][k] for place, k in picked]


def _corpus(
    name: str, items: Sequence[PreferenceItem], judged: Mapping[str, list[PreferenceItem]], seen: set[str]
) -> list[PreferenceItem]:
    """Pairs of the corpus' own places, else those left over; never of a prompt that is judged."""
    own = [i for i in items if _place(i) in CORPORA[name]]
    left = [i for g in FALLBACK.get(name, ()) for i in judged[g]]
    return [i for i in own or left if i.cluster_id not in seen]


def _parts(items: Sequence[PreferenceItem], n: int) -> tuple[Corpus, ...]:
    """`n` parts of equal size up to one prompt: prompts are never split."""
    prompts = sorted({i.cluster_id for i in items}, key=_hash)
    part = {prompt: k % n for k, prompt in enumerate(prompts)}
    return tuple(Corpus.of([i for i in items if part[i.cluster_id] == k]) for k in range(min(n, len(prompts))))


def _flat(by_group: Mapping[str, list[PreferenceItem]]) -> tuple[PreferenceItem, ...]:
    return tuple(item for items in by_group.values() for item in items)


def _place(item: PreferenceItem) -> tuple[str, str]:
    return item.dataset, item.subset


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
