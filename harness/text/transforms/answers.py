r"""Final answers of mathematics, in `\boxed{...}` or under the heading `# Answer`.

They are the two forms of RewardBench's mathematics: of the solutions of MATH (all chosen there) and of PRM800K.
"""

from __future__ import annotations

import re

import numpy as np

from harness.text.invariants import broken
from harness.text.transform import transform

BOX = "\\boxed{"
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
ANSWER = re.compile(r"^ {0,3}#{1,6}[ \t]+(?:final[ \t]+)?answer(?:[ \t]*:)?[ \t]*$", re.IGNORECASE | re.MULTILINE)
FORBIDDEN = re.compile(r"[`\"“”\n]|://|www\.|\\boxed", re.IGNORECASE)
PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
BOXED = ("urls", "code", "quotes")
HEADED = ("digits", "urls", "code", "quotes", "negations")


@transform("core", BOXED, idempotent=True)
def boxed_to_heading(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """The last box is opened where it stands, and what was in it stands again under `# Answer` at the end.

    The sentence around the box needs its answer, so that digits, words and negations of the answer come twice. Left
    alone is a reply which has such a heading, or a box that touches a quotation, an address or code.
    """
    start = reply.rfind(BOX)
    end = _closing(reply, start + len(BOX)) if start >= 0 else None
    if end is None or ANSWER.search(reply):
        return None
    content = reply[start + len(BOX) : end]
    if not content.strip():
        return None
    solved = f"{reply[:start]}{content}{reply[end + 1 :]}".rstrip()
    changed = f"{solved}\n\n# Answer\n\n{content.strip()}"
    return None if broken(reply, changed, BOXED) else changed


@transform("core", HEADED, idempotent=True)
def heading_to_boxed(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    r"""The one line under a heading `# Answer` at the end stands in a box instead, `$\boxed{...}$`; words as `\text{...}`.

    Left alone is a reply with a box, and an answer with unbalanced braces, a quotation, an address or code in it.
    """
    heading = next(reversed(list(ANSWER.finditer(reply))), None)
    if heading is None or BOX in reply:
        return None
    content = reply[heading.end() :].strip()
    inner = content[1:-1].strip() if re.fullmatch(r"\$[^$]+\$", content) else content
    if not inner or FORBIDDEN.search(inner) or _closing(inner + "}", 0) != len(inner):
        return None
    written = f"\\text{{{inner}}}" if "$" in inner or ("\\" not in inner and PROSE.search(inner)) else inner
    return f"{reply[: heading.start()]}${BOX}{written}}}$"


def _closing(text: str, start: int) -> int | None:
    """Where the brace closes that was opened just before `start`; None where it does not."""
    depth = 1
    for found in BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return None
