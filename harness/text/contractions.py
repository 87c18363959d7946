"""What a contraction stands for, by the words around it: `it's` is `it is` or `it has`, `don't you` is `do you not`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.text.feature import APOSTROPHES, lexicon
from harness.text.verbs import ADVERBS, ARE_DONE, BASES, HAVE_BEEN, SAME, participle

AUXILIARIES = lexicon("is are was were do does did have has had would could should must need")
NOT = {f"{verb}n't": verb for verb in sorted(AUXILIARIES)} | {"can't": "can", "won't": "will", "shan't": "shall"}
"""Contraction to the verb that is denied."""

SURE = {
    "i'm": "i am",
    "let's": "let us",
    **{f"{word}'ll": f"{word} will" for word in sorted(lexicon("i you he she it we they that this there who"))},
    **{f"{word}'re": f"{word} are" for word in sorted(lexicon("you we they there who"))},
    **{f"{word}'ve": f"{word} have" for word in sorted(lexicon("i you we they who could should would might must"))},
}
"""What stands for one thing whatever is around it."""

OF_S = lexicon("it he she that there here what who where how")
OF_D = lexicon("i you he she it we they that there")
PERSONS = lexicon("he she who")
SUBJECTS = lexicon("i you we they he she it there that this who which these those")
OPENERS = lexicon("and but so or because then also why how where when what since")
"""Words behind which a question may begin; behind `why` it may be a suggestion, which only the contraction is."""

CONTRACTION = re.compile(
    r"(?<![\w'’-])(?P<short>[^\W\d_]+['’][^\W\d_]+)(?![\w'’])(?: (?P<asked>I|i|you|we|they|he|she|it|there)(?![\w'’-]))?"
)
"""A word with an apostrophe, and the pronoun behind it that would be its subject in a question."""

ASKING = re.compile(r"[^.!?\n]*\?")
NEXT = re.compile(r" ([^\W\d_]+)(?![\w'’])")
BEFORE = re.compile(r"(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*) \Z")
REACH = 30
"""How many characters before a word are looked at for the word before it."""


def expanded(match: re.Match[str]) -> str:
    """The words that a match of `CONTRACTION` stands for, with the pronoun behind it; the match where that cannot be told."""
    short = match["short"].translate(APOSTROPHES).lower()
    if short in NOT:
        return _denied(match, short)
    full = SURE.get(short) or _is_or_has(match, short) or _would_or_had(match, short)
    return match[0] if full is None else _like(match["short"], full) + match[0][len(match["short"]) :]


def _denied(match: re.Match[str], short: str) -> str:
    verb, asked = NOT[short], match["asked"]
    before = BEFORE.search(match.string, max(0, match.start() - REACH), match.start())
    last = "" if before is None else before["word"].lower()
    opens = before is None or last in OPENERS
    asks = ASKING.match(match.string, match.end()) is not None
    if asked is not None and last not in SUBJECTS:
        turned = opens and asks and last != "why" and (short, asked) != ("aren't", "I")
        return f"{_like(match['short'], verb)} {asked} not" if turned else match[0]
    if opens and asks:
        return match[0]
    full = "cannot" if verb == "can" else f"{verb} not"
    return _like(match["short"], full) + match[0][len(match["short"]) :]


def _is_or_has(match: re.Match[str], short: str) -> str | None:
    word, _, end = short.partition("'")
    if end != "s" or word not in OF_S:
        return None
    verb = _verb(match)
    if verb == "own" or (word == "what" and match["asked"] not in (None, "it", "there")):
        return None
    if verb in HAVE_BEEN:
        return f"{word} has"
    told = not participle(verb) or (verb in ARE_DONE and word not in PERSONS)
    return f"{word} is" if told else None


def _would_or_had(match: re.Match[str], short: str) -> str | None:
    word, _, end = short.partition("'")
    if end != "d" or word not in OF_D:
        return None
    verb = _verb(match)
    if verb in BASES:
        return f"{word} would"
    had = verb in ("better", "best") or (participle(verb) and verb not in SAME)
    return f"{word} had" if had else None


def _verb(match: re.Match[str]) -> str:
    """The first word behind the contraction that is no adverb, in small letters; empty where a mark comes first."""
    return next((word for word in _following(match.string, match.end("short")) if word not in ADVERBS), "")


def _following(text: str, start: int) -> Iterator[str]:
    while (found := NEXT.match(text, start)) is not None:
        yield found[1].lower()
        start = found.end()


def _like(short: str, full: str) -> str:
    if short.isupper():
        return full.upper()
    return full[0].upper() + full[1:] if short[0].isupper() else full
