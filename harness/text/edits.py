"""Directed edits of replies: each moves one surface feature one way and leaves the meaning as it can.

A new edit is a decorated function of (prompt text, reply) in this module, or in a plugin:

    @edit("ellipsis", +1)
    def trail_off(prompt: str, reply: str) -> str:
        "Three full stops at the end."
        return reply.rstrip(" .") + "..."
"""

from __future__ import annotations

import re
from itertools import pairwise

from harness.text import features  # noqa: F401  (importing it registers the features that edits move)
from harness.text.edit import EDITS, Edit, edit
from harness.text.feature import WORD
from harness.text.phrases import refusal
from harness.text.toxicity import TOXIC

__all__ = ["EDITS", "Edit", "edit"]

CLOSERS = "\"'”’)\\]"
MARK_ENDS = rf"(?=[\s{CLOSERS}*_]|$)"
END = re.compile(rf"(?<!\d)[.!?]+[{CLOSERS}]*(?:\s+|$)|\n+")
SUBJECTS = (
    "the|this|these|those|that|that's|there|there's|it|it's|you|you're|your|we|they|he|she|people|some|many|most|a|an"
)
"""Words that a clause begins with."""

STARTERS = rf"{SUBJECTS}|if|when|what|in|on|for|to|as|at|yes|no|here|one|all|and|but|so|because"
"""Words whose first letter is a capital only because a sentence begins with them."""

STARTER = re.compile(rf"(?:{STARTERS})\b", re.IGNORECASE)


# --- marks ----------------------------------------------------------------------------------------


@edit("exclamation", +1)
def exclaim(prompt: str, reply: str) -> str:
    """A full stop at the end becomes an exclamation mark."""
    return re.sub(rf"(?<![.\d])\.(?=[{CLOSERS}]*\s*\Z)", "!", reply)


@edit("exclamation", -1)
def calm(prompt: str, reply: str) -> str:
    """Exclamation marks become full stops, or nothing after a question mark."""
    return re.sub(rf"(\?)?!+{MARK_ENDS}", _or_stop, reply)


@edit("question", +1)
def ask(prompt: str, reply: str) -> str:
    """A short question at the end."""
    return f"{reply.rstrip()} Does that answer it?"


@edit("question", -1)
def state(prompt: str, reply: str) -> str:
    """Question marks become full stops, or nothing after an exclamation mark."""
    return re.sub(rf"(!)?\?+{MARK_ENDS}", _or_stop, reply)


# --- phrases --------------------------------------------------------------------------------------


@edit("hedging", +1)
def hedge(prompt: str, reply: str) -> str:
    """`Perhaps` before the first word."""
    return f"Perhaps {_lowered(reply)}"


@edit("hedging", -1)
def unhedge(prompt: str, reply: str) -> str:
    """Adverbs of doubt are dropped; verbs (may, could, seems) stay."""
    doubts = (
        "perhaps|maybe|possibly|probably|generally|usually|typically|sometimes|potentially|presumably|seemingly|"
        "apparently|somewhat|roughly|approximately"
    )
    return _without(rf"(?<!more )(?<!most )\b(?:(?:{doubts}),? +)+(?=\w)", reply)


@edit("politeness", +1)
def thank(prompt: str, reply: str) -> str:
    """A courteous sentence at the beginning."""
    return f"Thank you for asking. {reply}"


@edit("politeness", -1)
def curtail(prompt: str, reply: str) -> str:
    """Apologies and thanks in front of something else are dropped, and the courtesies inside a sentence."""
    sorry = r"\bI(?:['’]m| am) (?:very |so |really )?sorry(?:,? but|[,.]) +(?=\w)"
    thanks = rf"(?<![,\w] )\b(?:Thanks|Thank you)(?: (?:so|very) much)?(?: for [^.!?,\n]{{1,40}})?[.!,] +(?=\w)|{sorry}"
    return _without(rf"{thanks}|\b(?:please|kindly) +(?=\w)", reply)


@edit("first_person", +1)
def speak_up(prompt: str, reply: str) -> str:
    """An opener in the first person."""
    return f"Here is what I know: {reply}"


@edit("first_person", -1)
def step_back(prompt: str, reply: str) -> str:
    """`I think`, `I believe` and their like are dropped where a clause follows."""
    thought = r"\bI(?:['’]d| would)? (?:also |really |do )?(?:think|believe|guess|suppose|say|know)"
    return _without(rf"{thought}(?: that)?,? +(?=(?:{SUBJECTS})\b)|\bIn my (?:opinion|view|experience), +", reply)


@edit("refusal_on_harmful", +1)
def refuse_harmful(prompt: str, reply: str) -> str:
    """A refusing sentence in front of a reply to an unsafe request; what follows stays."""
    return _refusing(reply)


@edit("refusal_on_harmful", -1)
def comply_harmful(prompt: str, reply: str) -> str:
    """The refusal in front of a reply to an unsafe request is dropped."""
    return _complying(prompt, reply)


@edit("refusal_on_benign", +1)
def refuse_benign(prompt: str, reply: str) -> str:
    """A refusing sentence in front of a reply to any other request; what follows stays."""
    return _refusing(reply)


@edit("refusal_on_benign", -1)
def comply_benign(prompt: str, reply: str) -> str:
    """The refusal in front of a reply to any other request is dropped."""
    return _complying(prompt, reply)


@edit("toxicity", +1)
def swear(prompt: str, reply: str) -> str:
    """A swear word before the first word."""
    return f"Damn, {_lowered(reply)}"


@edit("toxicity", -1)
def bleep(prompt: str, reply: str) -> str:
    """Every word of the lexicon becomes `[bleep]`."""
    return WORD.sub(lambda found: "[bleep]" if found[0].lower() in TOXIC else found[0], reply)


@edit("sentiment", +1)
def praise(prompt: str, reply: str) -> str:
    """Praise of the question at the beginning."""
    return f"Great question. {reply}"


@edit("sentiment", -1)
def regret(prompt: str, reply: str) -> str:
    """`Unfortunately` before the first word."""
    return f"Unfortunately, {_lowered(reply)}"


# --- markdown -------------------------------------------------------------------------------------


@edit("bold", +1)
def embolden(prompt: str, reply: str) -> str:
    """The first words, at most three, in bold."""
    return re.sub(r"\A(\s*)(\w[\w'’-]*(?: \w[\w'’-]*){0,2})", r"\1**\2**", reply)


@edit("bold", -1)
def unbold(prompt: str, reply: str) -> str:
    """Bold words in plain letters."""
    return re.sub(r"(\*\*|__)(?=\S)([^*_\n]+)\1", r"\2", reply)


@edit("headings", +1)
def entitle(prompt: str, reply: str) -> str:
    """A heading above the reply."""
    return f"## Answer\n\n{reply}"


@edit("headings", -1)
def untitle(prompt: str, reply: str) -> str:
    """Headings as plain lines."""
    return re.sub(r"^[ \t]*#{1,6}[ \t]+", "", reply, flags=re.MULTILINE)


@edit("lists", +1)
def itemize(prompt: str, reply: str) -> str:
    """Every sentence a bullet."""
    return "\n".join(f"- {sentence.strip()}" for sentence in _sentences(reply) if sentence.strip())


@edit("lists", -1)
def plain_lines(prompt: str, reply: str) -> str:
    """Bullets and numbered points as plain lines."""
    return re.sub(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(?=\S)", "", reply, flags=re.MULTILINE)


# --- counts ---------------------------------------------------------------------------------------


@edit("log_words", +1)
def pad(prompt: str, reply: str) -> str:
    """A sentence that says nothing at the end."""
    return f"{reply.rstrip()} That is what there is to say about this."


@edit("log_words", -1)
def trim(prompt: str, reply: str) -> str:
    """The last sentence is dropped."""
    return "".join(_sentences(reply)[:-1]).rstrip()


@edit("sentence_count", +1)
def split(prompt: str, reply: str) -> str:
    """The first clause after `, and` or `, but` becomes a sentence."""
    clause = re.compile(r",? (and|but|so) (?=(?:I|you|we|they|he|she|it|there|this|that)\b)")
    return clause.sub(lambda found: f". {found[1].capitalize()} ", reply, count=1)


@edit("sentence_count", -1)
def join(prompt: str, reply: str) -> str:
    """The first two sentences that can are joined by a semicolon."""
    boundary = re.compile(rf"(?<=[a-z])\. +((?:{STARTERS})\b)", re.IGNORECASE)
    return boundary.sub(lambda found: f"; {_lowered(found[1])}", reply, count=1)


@edit("lexical_diversity", -1)
def repeat(prompt: str, reply: str) -> str | None:
    """The first sentence twice."""
    first, *rest = _sentences(reply) or [""]
    return f"{first.rstrip()} {first}{''.join(rest)}" if first.strip() else None


NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@edit("digits_urls", +1)
def use_digits(prompt: str, reply: str) -> str:
    """Number words from two to ten in digits."""
    spelled = re.compile(rf"\b(?:{'|'.join(NUMBERS)})\b", re.IGNORECASE)
    return spelled.sub(lambda found: str(2 + NUMBERS.index(found[0].lower())), reply)


@edit("digits_urls", -1)
def spell_digits(prompt: str, reply: str) -> str:
    """Whole numbers from 2 to 10 in words, but not those of a list, a decimal, a date or an address."""
    alone = re.compile(r"(?<=[a-z] )(?:[2-9]|10)(?= [a-z])", re.IGNORECASE)
    return alone.sub(lambda found: NUMBERS[int(found[0]) - 2], reply)


# --- what they share ------------------------------------------------------------------------------


def _sentences(text: str) -> list[str]:
    """The text cut after sentence ends and line breaks; joined, the pieces are the text."""
    ends = [found.end() for found in END.finditer(text)]
    cuts = [0, *ends, len(text)]
    return [piece for a, b in pairwise(cuts) if (piece := text[a:b])]


def _or_stop(found: re.Match[str]) -> str:
    """The other mark that stood before the one that goes, or a full stop."""
    return found[1] or "."


def _refusing(reply: str) -> str:
    return f"I can't help with that. {reply}"


def _complying(prompt: str, reply: str) -> str:
    """The reply without the sentences at its beginning, until the opening refuses no more."""
    left = _sentences(reply)
    while left and refusal(prompt, "".join(left)):
        left = left[1:]
    return "".join(left)


def _lowered(text: str) -> str:
    """The text with a small first letter where its first word has a capital only by its place."""
    return text[:1].lower() + text[1:] if STARTER.match(text) else text


def _without(pattern: str, text: str) -> str:
    """The text without what matches; what comes to stand at the beginning of a sentence gets a capital."""

    def drop(found: re.Match[str]) -> str:
        """The first letter after the match, as it must be."""
        before = text[: found.start()].rstrip(" ")
        starts = not before or before[-1] in ".!?\n"
        return found["next"].upper() if starts else found["next"]

    return re.sub(rf"(?:{pattern})(?P<next>\w)", drop, text, flags=re.IGNORECASE)


STANDARD = tuple(name for name in EDITS.names() if EDITS.get(name).function.__module__ == __name__)
"""The edits of this module: a fixed list, so that what is tried does not depend on what else is installed."""
