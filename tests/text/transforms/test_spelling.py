"""American and British spelling: the lists are consistent, and names, code and addresses stay."""

from __future__ import annotations

import pytest

from harness.text.transforms import TRANSFORMS
from harness.text.transforms.spelling import TO_AMERICAN, TO_BRITISH


def apply(name: str, reply: str) -> str | None:
    return TRANSFORMS.get(name).apply("prompt", reply, "item", 0).text


PAIRS = [
    ("colour", "color"), ("favourites", "favorites"), ("behavioural", "behavioral"), ("honourable", "honorable"),
    ("neighbourhood", "neighborhood"), ("organise", "organize"), ("organisation", "organization"),
    ("realising", "realizing"), ("apologises", "apologizes"), ("summarised", "summarized"), ("centre", "center"),
    ("centres", "centers"), ("centred", "centered"), ("kilometres", "kilometers"), ("travelled", "traveled"),
    ("travelling", "traveling"), ("traveller", "traveler"), ("modelling", "modeling"), ("fuelled", "fueled"),
    ("analyse", "analyze"), ("analysing", "analyzing"), ("defence", "defense"), ("grey", "gray"),
    ("fulfil", "fulfill"), ("enrolment", "enrollment"), ("skilful", "skillful"), ("jewellery", "jewelry"),
    ("mould", "mold"), ("haemoglobin", "hemoglobin"), ("diarrhoea", "diarrhea"), ("sceptical", "skeptical"),
]  # fmt: skip


@pytest.mark.parametrize(("british", "american"), PAIRS)
def test_a_known_pair_goes_both_ways_in_every_case(british, american):
    for change in (str.lower, str.upper):
        assert apply("american", f"the {change(british)}, so") == f"the {change(american)}, so"
        assert apply("british", f"the {change(american)}, so") == f"the {change(british)}, so"
    assert apply("american", f"{british.capitalize()}’s here.") == f"{american.capitalize()}’s here."


def test_the_lists_are_long_and_neither_writes_what_it_replaces():
    assert min(len(TO_AMERICAN), len(TO_BRITISH)) > 500
    assert not set(TO_AMERICAN) & set(TO_AMERICAN.values())
    assert not set(TO_BRITISH) & set(TO_BRITISH.values())
    assert all(word.isalpha() and word.islower() for word in [*TO_AMERICAN, *TO_BRITISH])
    assert all(a != b for table in (TO_AMERICAN, TO_BRITISH) for a, b in table.items())


def test_the_lists_undo_each_other_where_both_directions_can_tell():
    both = [(british, american) for british, american in TO_AMERICAN.items() if american in TO_BRITISH]
    assert len(both) > 500
    assert all(TO_BRITISH[american] == british for british, american in both)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("british", "I exercise, advertise, improvise, surprise and seize a prize of this size."),
        ("british", "Check the program: practice, license, tire, story, meter, curb."),
        ("american", "The analyses rise; otherwise advise, revise, promise, devise the four hours of your tour."),
        ("american", "We controlled, propelled and compelled the hall, well and metallic."),
        ("american", "Le centre est dans une ville, et l'organisation des catalogues est pour les enfants."),
        ("american", "the Labour Party, the Sydney Harbour Bridge and the Centre Pompidou"),
        ("british", "at Pearl Harbor, the Department of Defense, Color Me Mine"),
        ("british", '`color` and http://color.org/gray, "my favorite color", ```\ngray\n```'),
        ("british", "self.color, color=3, color(s), color_map, #gray, @gray, color.txt, /color, $color, eColor"),
    ],
)
def test_what_is_spelled_alike_or_is_a_name_stays(name, reply):
    assert apply(name, reply) is None


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("american", "the tyres, cheques and programmes I practise", "the tires, checks and programs I practice"),
        ("british", "She analyzes the gray-colored labels.", "She analyses the grey-coloured labels."),
        ("british", "Color it. Gray is fine.\n- Organize it\n1. Realize it", "Colour it. Grey is fine.\n- Organise it\n1. Realise it"),
        ("american", "Smith et al. on colour, Jones et al. on tyres, est. 1900", "Smith et al. on color, Jones et al. on tires, est. 1900"),
        ("british", "Gray Davis. Color is.", "Gray Davis. Colour is."),
        ("british", "the neighbor's COLOR", "the neighbour's COLOUR"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_known_reply(name, reply, expected):
    assert apply(name, reply) == expected
