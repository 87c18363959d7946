"""The same words written another way: contractions and small numbers."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from harness.text.contractions import AUXILIARIES, CONTRACTION, expanded
from harness.text.feature import lexicon
from harness.text.invariants import DIGITS
from harness.text.substitution import substitute
from harness.text.transform import transform
from harness.text.verbs import BASES

LEFT = ("urls", "code", "quotes", "negations")

# --- contractions ---------------------------------------------------------------------------------


@transform("core", preserves=("digits", *LEFT), idempotent=True)
def expand_contractions(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """`it's` as `it is` or `it has`, `don't you` in a question as `do you not`; possessives and what is ambiguous stay."""
    text = reply
    while (again := substitute(CONTRACTION, expanded, text)) != text:
        text = again  # a word tells what the one before it stands for, and may have been contracted itself
    return text


def _either(*words: str) -> str:
    return "|".join(f"[{word[0].upper()}{word[0]}]{word[1:]}" for word in words)


DENIED = re.compile(
    rf"(?<![\w'’-])(?:(?P<verb>{_either(*sorted(AUXILIARIES - {'need'}), 'will')}) not|(?P<can>[Cc]an)not)(?![\w'’-]| only\b)"
)
CONTRACTED = tuple(
    (re.compile(rf"(?<![\w'’-])(?P<who>{_either(*who)}) {verb}(?= {follows})"), end)
    for who, verb, end, follows in (
        (("I",), "am", "m", "[a-z]"),
        (("you", "we", "they"), "are", "re", "[a-z]"),
        (("it", "that", "there"), "is", "s", "[a-z]"),
        (("he", "she"), "is", "s", r"(?!\w+ed\b)[a-z]"),
        (("what",), "is", "s", r"(?:the|your|a|an|going|wrong|happening)\b"),
        (("I", "you", "he", "she", "it", "we", "they"), "will", "ll", "[a-z]"),
        (("I", "you", "he", "she", "we", "they"), "would", "d", rf"(?:{'|'.join(sorted(BASES))})\b"),
        (("I", "you", "we", "they"), "have", "ve", r"(?:been|seen|heard|gone|had|never|already)\b"),
    )
)
"""Pronoun and verb before what must follow, and the letters that stand for the verb."""

CLAUSE = re.compile(
    r"(?:\A|[.!?,;:\n(—–]|\b(?:and|but|because|if|think|believe|hope|sure|although|while|until|unless))[\s*_]*\Z"
)
"""Where a clause begins: a verb further on, as in `how old he is`, may stand for what went before and is said in full."""

ELLIPTIC = re.compile(
    r" (?:and|but|or|because|so|as|if|when|while|though|although|since|than|too|also|that|who|which|i|you|he|she|it|we|they)\b"
)
REACH = 30


@transform("core", preserves=("digits", *LEFT), idempotent=True)
def contract(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """`do not` as `don't`, `it is` at the beginning of a clause as `it's`."""
    text = substitute(DENIED, _denied, reply)
    for pattern, end in CONTRACTED:
        text = substitute(pattern, partial(_contracted, end), text)
    return text


def _denied(match: re.Match[str]) -> str:
    verb = match["verb"]
    if verb is None:
        return f"{match['can']}'t"
    return f"{verb[0]}on't" if verb in ("will", "Will") else f"{verb}n't"


def _contracted(end: str, match: re.Match[str]) -> str:
    text = match.string
    begins = CLAUSE.search(text, max(0, match.start() - REACH), match.start()) is not None
    return f"{match['who']}'{end}" if begins and not ELLIPTIC.match(text, match.end()) else match[0]


# --- numbers --------------------------------------------------------------------------------------

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT = re.compile(r"(?P<before>\b[a-z]+,?) (?P<number>\d)(?= (?P<after>[a-z]+)\b)", re.ASCII)
NAMED = re.compile(rf"(?P<before>\b[a-z]+,?) (?P<number>{'|'.join(NAMES[2:])})(?= (?P<after>[a-z]+)\b)", re.ASCII)
"""A number of at least two: `one` is a pronoun more often than a number."""

NUMBER_WORD = re.compile(
    rf"\b(?:{'|'.join(NAMES[2:])}|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|"
    r"thousand|million|billion|dozen)\b",
    re.IGNORECASE,
)
LABELS = lexicon(
    "version chapter step phase type level page grade class number no figure section part stage episode season option "
    "question example rule tier category article item line channel room day week python windows covid omega x y z v n "
    "plus minus times equals equal over january february march april may june july august september october november "
    "december jan feb mar apr jun jul aug sep sept oct nov dec"
)
"""What a digit behind it is the name of, or the value in a formula."""

UNITS = lexicon(
    "am pm x kg g mg km cm mm m ml l ft lb lbs oz mph min sec hr hrs gb mb kb k c f v w plus minus times equals over"
)
PARTS = lexicon(
    "hundred thousand million billion trillion dozen half halves third thirds quarter quarters fourths fifth fifths sixth "
    "sixths eighth eighths tenth tenths point of and in on at with from for"
)
"""What makes a larger number or a fraction of the word before it, or leaves it without a noun."""

SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")


@transform("core", preserves=LEFT, idempotent=True)
def digits_to_words(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Whole numbers below ten in words, in sentences that have no other number; not in lists, times, names and formulas."""
    return _rewritten(reply, DIGIT, DIGITS, _counts_digit, lambda digit: NAMES[int(digit)])


@transform("core", preserves=LEFT, idempotent=True)
def words_to_digits(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Number words from two to nine as digits, in sentences that have no other number word."""
    return _rewritten(reply, NAMED, NUMBER_WORD, _counts_word, lambda word: str(NAMES.index(word)))


def _counts_digit(match: re.Match[str]) -> bool:
    return match["before"] not in LABELS and match["after"] not in UNITS


def _counts_word(match: re.Match[str]) -> bool:
    return match["before"] not in ("one", "or", "you", "us", "them", "in", "into") and match["after"] not in PARTS


def _rewritten(
    text: str,
    pattern: re.Pattern[str],
    numbers: re.Pattern[str],
    counts: Callable[[re.Match[str]], bool],
    spelled: Callable[[str], str],
) -> str:
    """`spelled` of what `pattern` finds where it `counts`, in sentences all of whose `numbers` do: one style a sentence."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    left = Counter(bisect_right(ends, match.start()) for match in numbers.finditer(text))
    left.subtract(bisect_right(ends, match.start("number")) for match in pattern.finditer(text) if counts(match))

    def changed(match: re.Match[str]) -> str:
        """The match with its number written the other way, or itself."""
        alone = left[bisect_right(ends, match.start("number"))] == 0
        return f"{match['before']} {spelled(match['number'])}" if alone and counts(match) else match[0]

    return substitute(pattern, changed, text)
