"""The command line as it can be printed beside a result."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

BEFORE = re.compile(r"(?:.*=)?(?:scores:|endpoint:)?")
"""What may stand in front of a path in an argument: an option or a member, and what kind of file a model is."""


def command_line() -> str:
    """The command that is running, quoted for a shell; absolute paths below the working folder or its parent are made relative.

    A path elsewhere keeps only its last part behind `…/`: a published result names no folder of somebody's machine.
    `--overwrite` is left out: it says nothing of what was measured.
    """
    return shlex.join(["reward-harness", *(_portable(a) for a in sys.argv[1:] if a != "--overwrite")])


def _portable(argument: str) -> str:
    head = BEFORE.match(argument)[0]  # type: ignore[index]  # it matches nothing, too
    tail = argument.removeprefix(head)
    path = Path(tail)
    if not path.is_absolute():
        return argument
    here = Path.cwd()
    if path.is_relative_to(here):
        tail = str(path.relative_to(here))
    elif path.is_relative_to(here.parent):
        tail = str(Path("..") / path.relative_to(here.parent))
    else:
        tail = f"…/{path.name}"
    return f"{head}{tail}"
