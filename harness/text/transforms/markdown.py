"""Markdown and lists taken away or put in; what is quoted, addressed or code stays to the letter."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from harness.text.invariants import CODE, INVARIANTS, QUOTED, URL, broken
from harness.text.surface import FENCED
from harness.text.transform import transform

Span = tuple[int, int]

KEPT = tuple(INVARIANTS)
TABLE = re.compile(r"^[ \t]*\|.*$", re.MULTILINE)
OPAQUE = (FENCED, CODE, URL, QUOTED, TABLE)
"""What no transform of this module looks into."""

BARE_CODE = re.compile(
    r"^[^\\\n]*[{}][ \t]*$|^(?![ \t]*(?:[-*•]|\d+[.)]) )[^\n]*;[ \t]*$"
    r"|^[ \t]*(?:#include\b|print\(|return\b|import \w|from [\w.]+ import |(?:async )?def \w+\(|class \w+[(:])",
    re.MULTILINE,
)
"""Lines of code outside fences, where comments look like headings, pointers and products like emphasis."""

RUN = re.compile(r"(?<!\*)\*{1,3}(?!\*)")
OPENS = re.compile(r"(?<![^\s(\[{\"“—–>])\*{1,3}(?=[^\s*])")
CLOSES = re.compile(r"(?<=[^\s*(\[{])\*{1,3}(?=\s|$|[,;!?)\]}\"”—–…]|\.(?!\S)|:(?!/))")
HEAD = re.compile(r"^ {0,3}(?:#{1,6}[ \t]+)+(?=\S)", re.MULTILINE)
UNDERLINE = re.compile(r"(?<=\S)(?:\n={3,}[ \t]*)+$", re.MULTILINE)
POINT = r"(?:[-*•][ \t]+)+"
"""A plus begins a point too, but a line of a sum as well: it is left alone."""

MARK = re.compile(rf"^[ \t]*({POINT}|>[ \t]+)(?=\S)", re.MULTILINE)
RULE = re.compile(r"^ {0,3}(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)

ITEM = re.compile(rf"[ \t]*(?:{POINT}|(\d{{1,3}})[.)][ \t]+)(?=\S)")
INDENTED = re.compile(r"(?: {2,}|[ \t]*\t)\S")
ENDED = re.compile(rf"[.!?:…。！？：][\W_]*$|{URL.pattern}$", re.IGNORECASE)
"""A mark with no word behind it, but quotation marks, brackets or emoji; or an address."""

PLAIN = re.compile(r"[\w\"“(]")
ABBREVIATED = r"(?<!\b[A-Z])(?<!\bM[rs])(?<!\b[DMS]r)(?<!\bMrs)(?<!\bSt)(?<!\bvs)(?<!\betc)(?<!\b[ei]\.[ge])(?<!\bProf)"
SENTENCE = re.compile(rf"(?:(?<=[^\W\d]){ABBREVIATED}\.|(?<=[\w)%])[!?]|(?<=[)%])\.)(?P<gap>[ \t]+)(?=[A-Z])")
PAIRED = (("(", ")"), ("[", "]"), ("{", "}"))
EVEN = ("*", "$", '"')
LEAST = 3


# --- marks away -----------------------------------------------------------------------------------


@transform("core", KEPT, idempotent=True)
def strip_markdown(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Headings, asterisks of emphasis, marks of bullets and quoted blocks, and rules go; their text stays where it was.

    Numbers of points stay, since they are digits and other sentences refer to them; links stay, since an address is
    content; emphasis by underscores stays, since it cannot be told from names in code. Code and tables are left alone.
    """
    return _without(reply, _every_mark)


@transform("core", KEPT, idempotent=True)
def unbold(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Bold and italic words in plain letters: pairs of one, two or three asterisks on a line go."""
    return _without(reply, _emphasis)


@transform("core", KEPT, idempotent=True)
def unhead(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Headings, by hashes or underlined with equals signs, as plain lines; nothing is put after them."""
    return _without(reply, _headings)


def _without(reply: str, marks: Callable[[str], Iterable[Span]]) -> str | None:
    """The reply without the marks, and without those that appear when others are gone.

    None for a reply with bare code, or with nothing but marks.
    """
    hidden = _hidden(reply)
    if BARE_CODE.search(hidden):
        return None
    while found := sorted(marks(hidden)):
        reply, hidden = _cut(reply, found), _cut(hidden, found)
    return reply if reply.strip() else None


def _hidden(text: str) -> str:
    """The text with an `x` for every character of what is opaque, line breaks apart: as long as the text."""
    hidden = list(text)
    for pattern in OPAQUE:
        for found in pattern.finditer(text):
            hidden[found.start() : found.end()] = ["\n" if c == "\n" else "x" for c in found[0]]
    return "".join(hidden)


def _cut(text: str, spans: Iterable[Span]) -> str:
    """The text without some spans, sorted by their beginning; they may overlap."""
    kept, last = [], 0
    for start, end in spans:
        kept.append(text[last : max(start, last)])
        last = max(end, last)
    return "".join([*kept, text[last:]])


def _emphasis(text: str) -> Iterator[Span]:
    """Asterisks that open and close emphasis; a run closes the latest of its length that was opened on its line."""
    opened: dict[int, list[Span]] = defaultdict(list)
    line = 0
    for run in RUN.finditer(text):
        if text.find("\n", line, run.start()) >= 0:
            opened.clear()
        line = run.start()
        waiting = opened[len(run[0])]
        if waiting and CLOSES.match(text, run.start()):
            yield from (waiting.pop(), run.span())
        elif OPENS.match(text, run.start()):
            waiting.append(run.span())


def _headings(text: str) -> Iterator[Span]:
    for pattern in (HEAD, UNDERLINE):
        yield from (found.span() for found in pattern.finditer(text))


def _every_mark(text: str) -> Iterator[Span]:
    """One dash is not a list: marks of bullets count from two on."""
    yield from _emphasis(text)
    yield from _headings(text)
    yield from (found.span() for found in RULE.finditer(text))
    marks = list(MARK.finditer(text))
    yield from (found.span(1) for found in marks if len(marks) >= 2 or found[1].startswith(">"))


# --- lists and sentences --------------------------------------------------------------------------


@transform("core", KEPT, idempotent=True)
def bullets_to_sentences(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Every list of two or more points becomes one paragraph of its points in order, each with a full stop.

    What the reply ends with stays as it is, since a reply that was cut off should look it. A point's number stays as `(2)`, since other sentences refer to it. Points inside points follow the one they belong
    to. A list is left alone where joining its lines would make or break a quotation, an address or code.
    """
    if BARE_CODE.search(hidden := _hidden(reply)):
        return None
    lines, shown = reply.split("\n"), hidden.split("\n")
    listed = _listed(shown)
    out: list[str] = []
    for number, places in groupby(range(len(lines)), key=listed.__getitem__):
        at = list(places)
        block = [lines[i] for i in at]
        out += _joined(block, ends=at[-1] == len(lines) - 1) if number else block
    return "\n".join(out)


def _listed(lines: list[str]) -> list[int]:
    """For every line the number of the list it belongs to, 0 outside; blank lines after a list's last point are outside."""
    listed = [0] * len(lines)
    number = last = 0
    inside = False
    for at, line in enumerate(lines):
        if ITEM.match(line) or (inside and INDENTED.match(line)):
            number += not inside
            first = last + 1 if inside else at
            listed[first : at + 1] = [number] * (at + 1 - first)
            inside, last = True, at
        elif line.strip():
            inside = False
    return listed


def _joined(lines: list[str], ends: bool) -> list[str]:
    """The points of a list as one line; the lines themselves where they are fewer than two points or cannot be joined."""
    points: list[str] = []
    for line in lines:
        if found := ITEM.match(line):
            points.append((f"({found[1]}) " if found[1] else "") + line[found.end() :].strip())
        elif line.strip():
            points[-1] += " " + line.strip()
    sentence = " ".join([*map(_stopped, points[:-1]), points[-1] if ends else _stopped(points[-1])])
    text = "\n".join(lines)
    spoiled = len(points) < 2 or "```" in text or broken(text, sentence, KEPT)
    return lines if spoiled else [sentence]


def _stopped(point: str) -> str:
    """The point with a full stop unless it has its mark or ends in an address; a comma or semicolon at its end gives way."""
    return point if ENDED.search(point) else point.rstrip(",;") + "."


@transform("core", KEPT, idempotent=True)
def sentences_to_bullets(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Every plain line of three or more sentences becomes a list of them.

    A line is left alone where it leads to what follows (ends in a colon), and where a cut would part brackets, emphasis
    or formulas; there is no cut after initials, common abbreviations and numbers.
    """
    if BARE_CODE.search(hidden := _hidden(reply)):
        return None
    out, start = [], 0
    for line in hidden.split("\n"):
        out.append(_bullets(reply[start : start + len(line)], line))
        start += len(line) + 1
    return "\n".join(out)


def _bullets(line: str, hidden: str) -> str:
    gaps = [found.span("gap") for found in SENTENCE.finditer(hidden)]
    leads = hidden.rstrip().endswith(":")
    if len(gaps) + 1 < LEAST or leads or not PLAIN.match(hidden) or ITEM.match(hidden):
        return line
    edges = [0, *(place for gap in gaps for place in gap), len(line)]
    cuts = list(zip(edges[::2], edges[1::2], strict=True))
    if not all(_whole(hidden[a:b]) for a, b in cuts):
        return line
    return "\n".join(f"- {line[a:b]}" for a, b in cuts)


def _whole(sentence: str) -> bool:
    paired = all(sentence.count(a) == sentence.count(b) for a, b in PAIRED)
    return paired and not any(sentence.count(mark) % 2 for mark in EVEN)
