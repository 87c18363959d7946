"""Code without comments, or without what Python does not read."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from harness.text.transform import transform
from harness.text.transforms.comments import c_uncommented, parsed, python_uncommented, same_tree, tokens

Rewrite = Callable[[str], str]

FENCE = re.compile(r"^[ \t]*```([^`\n]*)$", re.MULTILINE)
NAMES = {
    "python": "python py python3",
    "c": "c cpp c++ cc cxx h hpp",
    "java": "java",
    "javascript": "javascript js typescript ts",
    "go": "go golang",
    "rust": "rust rs",
}
LANGUAGES = {alias: language for language, aliases in NAMES.items() for alias in aliases.split()}

STATEMENTS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.For, ast.While, ast.With,
    ast.Try, ast.Return,
)  # fmt: skip
"""What prose does not happen to be: `x = 4` under a heading `# Answer` is Python too."""

DEPTH = {"INDENT": 1, "DEDENT": -1}
LITERAL = {"FSTRING_START": 1, "FSTRING_END": -1}
UNREAD = ("COMMENT", "NL", "INDENT", "DEDENT", "ENDMARKER")
"""Tokens of which nothing stays."""


@transform("core", (), idempotent=True)
def strip_comments(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Comments of code go: of fenced blocks, or of a whole reply that is Python.

    Python, C, C++, Java, JavaScript, TypeScript, Go and Rust; docstrings stay. A block is left alone where its language
    is another, where it would change what Python parses, and where a literal or comment is unfinished.
    """
    others = {name: c_uncommented(name) for name in NAMES if name != "python"}
    return _rewritten(reply, {"python": python_uncommented, **others})


@transform("core", (), idempotent=True)
def minify(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Python in fenced blocks, or as a whole reply, without comments, blank lines and spaces around operators.

    One space of indentation a level; names and docstrings stay. A block is left alone where Python would parse another
    syntax tree.
    """
    return _rewritten(reply, {"python": _minified})


def _rewritten(reply: str, rewrites: Mapping[str, Rewrite]) -> str | None:
    """The reply with its code rewritten by language; without fences it is code as a whole or not at all."""
    if "```" not in reply:
        return rewrites["python"](reply) if is_python(reply) else None
    out, last = [], 0
    for info, start, end in blocks(reply):
        source = reply[start:end]
        named = info.split()
        language = LANGUAGES.get(named[0].lower()) if named else "python" if is_python(source) else None
        out += [reply[last:start], rewrites.get(language or "", str)(source)]
        last = end
    return "".join([*out, reply[last:]])


def blocks(reply: str) -> Iterator[tuple[str, int, int]]:
    """Fenced blocks that are closed: the words after the opening fence, begin and end of the code without its last line break."""
    opening: re.Match[str] | None = None
    for fence in FENCE.finditer(reply):
        if opening is None:
            opening = fence
        elif not fence[1].strip():
            if opening.end() + 1 < fence.start():
                yield opening[1], opening.end() + 1, fence.start() - 1
            opening = None


def is_python(source: str) -> bool:
    """Whether a text parses as Python and holds a statement that prose does not happen to be."""
    tree = parsed(source)
    return tree is not None and any(isinstance(node, STATEMENTS) for node in ast.walk(tree))


def _minified(source: str) -> str:
    """Python source as short as it gets without another name or tree; as it is where the tree would change."""
    shortened = "\n".join(_short_lines(source))
    return shortened if shortened and same_tree(source, shortened) else source


def _short_lines(source: str) -> Iterator[str]:
    """The logical lines of Python source; what stands between brackets comes on one line, f-strings as they are."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    base = first[: len(first) - len(first.lstrip(" \t"))]
    depth, literal, last, line = -bool(base), 0, 0, ""
    for token, (start, end) in tokens(source):
        kind = tokenize.tok_name[token.type]
        depth += DEPTH.get(kind, 0)
        if kind == "NEWLINE":
            yield line
            line = ""
        elif kind not in UNREAD:
            gap = source[last:start]
            if not line:
                gap = base + " " * depth
            elif not literal:
                gap = " " * (bool(gap) and all(map(_wordlike, (line[-1], source[start]))))
            line += gap + source[start:end]
        if kind not in UNREAD:
            last = end
        literal += LITERAL.get(kind, 0)


def _wordlike(character: str) -> bool:
    return character.isalnum() or character in "_.\"'"
