"""Source code without its comments: Python by its tokens, languages of C's family by a small lexer."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Callable, Iterable
from itertools import accumulate

Span = tuple[int, int]

UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)
"""What Python's parser raises on text that is no Python, or too deep for it."""

HEADER = "if True:\n"

LINE, BLOCK = r"//[^\n]*", r"/\*.*?\*/"
DOUBLE, SINGLE = r'"(?:\\.|[^"\\\n])*"', r"'(?:\\.|[^'\\\n])*'"
LIFETIME_OR_CHAR = r"'(?:\\.[^\n']*|[^\\'\n])'|'[A-Za-z_]\w*"
RAW_C, RAW_RUST = r'R"(?P<c>[^()\\\s]{0,16})\(.*?\)(?P=c)"', r'\bb?r(?P<r>#*)".*?"(?P=r)'
REGEX = r"(?:(?<=[(=,:\[!&|?{};])|\breturn\b)[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n]){0,200}\]|[^/\\\[\n])+/"
DIGITS = r"\b\d[\w']*"
STRAY = r"[\"'`]"
"""A mark that begins no literal, so that the lexer no longer knows where it is."""

SYNTAX = {
    "c": (DIGITS, RAW_C, DOUBLE, SINGLE),
    "java": (r'"""(?:\\.|[^\\])*?"""', DOUBLE, SINGLE),
    "javascript": (r"`(?:\\.|[^`\\])*`", DOUBLE, SINGLE, REGEX),
    "go": (r"`[^`]*`", DOUBLE, SINGLE),
    "rust": (RAW_RUST, r'"(?:\\.|[^"\\])*"', LIFETIME_OR_CHAR),
}
"""Patterns of what comments cannot begin in, by language."""

LEXERS = {
    name: re.compile("|".join((*literals, f"(?P<comment>{LINE}|{BLOCK})", f"(?P<stray>{STRAY}|/\\*)")), re.DOTALL)
    for name, literals in SYNTAX.items()
}
BLANK = (" ", "\t", "\r")
DOUBTFUL = re.compile(r"//[^\n]*\\\n|//go:|\bimport \"C\"|\$\{[^}]*`")
"""Comments that go on or instruct a compiler, templates in templates."""


def parsed(source: str) -> ast.Module | None:
    """The syntax tree of Python source, at any indentation; None where it is none, or too deep to be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(_headed(source))
    except UNPARSED:
        return None


def same_tree(before: str, after: str) -> bool:
    """Whether two Python sources have the same syntax tree, positions apart; False where one has none."""
    trees = parsed(before), parsed(after)
    try:
        return None not in trees and len({ast.dump(tree) for tree in trees if tree}) == 1
    except (RecursionError, MemoryError):
        return False


def tokens(source: str) -> list[tuple[tokenize.TokenInfo, Span]]:
    """The tokens of Python source at any indentation, each with its place in it; none where they cannot be told."""
    text = _headed(source)
    offset = len(text) - len(source)
    lines = [-offset, *accumulate(map(len, io.StringIO(text, newline="")), initial=-offset)]
    try:
        found = list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
    except UNPARSED:
        return []
    placed = [(t, (lines[t.start[0]] + t.start[1], lines[t.end[0]] + t.end[1])) for t in found]
    return [(token, span) for token, span in placed if span[0] >= 0]


def _headed(source: str) -> str:
    """Source that begins indented, as the body of a function does, under a header that lets it be parsed."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    return f"{HEADER}{source}" if first[:1] in (" ", "\t") else source


def python_uncommented(source: str) -> str:
    """Python source without comments, or as it is where its syntax tree would change or nothing would be left."""
    spans = [span for token, span in tokens(source) if token.type == tokenize.COMMENT]
    changed = _without(source, spans)
    return changed if changed.strip() and same_tree(source, changed) else source


def c_uncommented(language: str) -> Callable[[str], str]:
    """A function that gives source of a language of `SYNTAX` without comments, or as it is where that is in doubt.

    In doubt is an unfinished literal or comment, a comment that goes on or instructs the compiler, and one within another.
    """
    lexer = LEXERS[language]

    def uncommented(source: str) -> str:
        """The source without comments."""
        found = list(lexer.finditer(source))
        comments = [m for m in found if m["comment"]]
        if DOUBTFUL.search(source) or any(m["stray"] or "/*" in (m["comment"] or "")[2:] for m in found):
            return source
        changed = _without(source, [m.span() for m in comments])
        return changed if changed.strip() else source

    return uncommented


def _without(source: str, comments: Iterable[Span]) -> str:
    """The source without some spans: lines that were comment alone go whole, others lose the space before it.

    Between code on one line a space is left, or a line break where the comment had one.
    """
    kept, last = [], 0
    for start, end in comments:
        line = source.rfind("\n", 0, start) + 1
        before = max(last, line + len(source[line:start].rstrip(" \t")))
        after = next(place for place in range(end, len(source) + 1) if source[place : place + 1] not in BLANK)
        alone, closes = before == line, source[after : after + 1] in ("", "\n")
        kept.append(source[last:before])
        if alone and closes:
            last = after + 1
        elif closes:
            last = after
        else:
            kept.append(source[before:start] if alone else "\n" if "\n" in source[start:end] else " ")
            last = after
    return "".join([*kept, source[last:]])
