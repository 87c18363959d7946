"""Forms of English verbs, as far as they tell `would` from `had` and `is` from `has` in a contraction. The lists are our own."""

from __future__ import annotations

from harness.text.feature import lexicon

ADVERBS = lexicon(
    "not never always also just really probably definitely certainly ever only already still even actually surely "
    "likely possibly perhaps often usually sometimes simply honestly absolutely personally generally especially "
    "recently finally previously long much"
)
"""What may stand between an auxiliary and its verb."""

BASES = lexicon(
    "be have do go get say see know think want need like love hate prefer suggest recommend advise imagine guess "
    "expect hope enjoy make take give find keep look ask tell try use work help start begin stop avoid consider "
    "add buy pay eat drink cook call talk speak write learn teach feel hear watch play live move stay leave wait "
    "die kill lose win meet bring build choose check change turn show send spend save sell share order follow "
    "believe agree argue assume appreciate offer join happen seem appear remember forget understand explain "
    "describe mean rate encourage urge allow wish bake fall grow hold sleep stand sit throw wear feed proceed speed "
    "succeed exceed end visit return answer discuss consult contact mention include require fly drive "
    "rather sooner"
)
"""Verbs that are no participle, and what follows `would` alone."""

PARTICIPLES = lexicon(
    "been had done gone got gotten seen heard said known thought made taken given found kept told felt left lost won "
    "met brought built chosen shown sent spent sold meant understood grown held slept stood sat thrown worn fallen "
    "written spoken eaten drunk driven flown begun broken forgotten hidden ridden risen shaken stolen sworn torn "
    "woken learnt dreamt bought caught fought taught sought dealt fed led paid laid stuck struck sung swum drawn "
    "frozen bitten born become come run put set cut hit let read cost hurt shut beat"
)
"""Irregular past participles; the regular ones end in -ed."""

SAME = lexicon("become come run put set cut hit let read cost hurt shut beat quit split spread bet")
"""Participles that are bases too: nothing tells what stands before them."""

HAVE_BEEN = lexicon("been got gotten had become")
"""Participles that go with `has` and not with `is`."""

ARE_DONE = lexicon(
    "called known made used based considered named supposed needed required recommended written located designed meant "
    "intended allowed related associated said believed done stuck born connected caused aimed worn sold played eaten "
    "served filled covered divided composed limited interested supported involved excited tired worried pleased "
    "delighted married"
)
"""Participles that go with `is` after a thing; a person may have done them."""


def participle(word: str) -> bool:
    """Whether a lower-case word is the past participle of a verb, as far as its form tells."""
    return word in PARTICIPLES or (word.endswith("ed") and not word.endswith("eed") and len(word) > 3)
