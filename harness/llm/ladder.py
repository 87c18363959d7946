"""Which way an endpoint is asked for JSON: a strict schema, any JSON object, or words, and how one goes down."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from harness.errors import HarnessError
from harness.llm.ask import MODES, Ask, Mode
from harness.llm.endpoint import Endpoint

FORMAT_WORDS = re.compile(r"response[_ ]format|json[_ ]?(schema|object|mode)|structured[_ ]output|guided|grammar", re.I)
"""What a server says when it is the form of the answer that it does not take, and not the question."""


def rungs(endpoint: Endpoint, ask: Ask, remembered: Mode | None) -> tuple[Mode, ...]:
    """Modes in which a reply to `ask` counts, the one to send in first: all of them under `auto`, else the one asked for."""
    if ask.schema is None:
        return ("text",)
    if endpoint.structured != "auto":
        return (endpoint.structured,)
    first = remembered or MODES[0]
    return (first, *(mode for mode in MODES if mode != first))


class Ladder:
    """The rung one endpoint stands on. It goes down only where a question that failed on one rung succeeds below it."""

    def __init__(
        self, endpoint: Endpoint, remembered: Mode | None, remember: Callable[[Mode], None] = lambda mode: None
    ) -> None:
        self._endpoint = endpoint
        self._known = remembered
        self._remember = remember

    @property
    def known(self) -> bool:
        """Whether it is settled how to ask: nothing has to be tried first."""
        return self._endpoint.structured != "auto" or self._known is not None

    def start(self, ask: Ask) -> Mode:
        """The mode to send `ask` in first."""
        return rungs(self._endpoint, ask, self._known)[0]

    def below(self, ask: Ask, mode: Mode, said: str) -> Mode | None:
        """The mode to try after the server called `ask` wrong and `said` why; None where the question itself is at fault.

        Before any success every such answer may be about the form; after one only an answer that names the form is.
        Raises HarnessError where the endpoint's file allows no other mode and the server names the form.
        """
        if mode == MODES[-1] or (self.known and not blames_format(said)):
            return None
        if self._endpoint.structured != "auto":
            raise HarnessError(
                f"{self._endpoint.model} does not take questions in the mode {mode}: write `structured: auto` into the "
                "endpoint's file, which finds one that it takes"
            )
        return MODES[MODES.index(mode) + 1]

    def landed(self, ask: Ask, mode: Mode) -> None:
        """The server took `ask` in this mode: remembered unless a lower rung is needed already."""
        if ask.schema is None or self._endpoint.structured != "auto":
            return
        if self._known is None or MODES.index(mode) > MODES.index(self._known):
            self._known = mode
            self._remember(mode)


def blames_format(said: str) -> bool:
    """Whether a server's complaint is about the form of the answer (`response_format` and its kin)."""
    return FORMAT_WORDS.search(said) is not None


def extract_json(text: str) -> dict[str, object] | None:
    """The first JSON object in a text, past prose and code fences; None where there is none.

    A brace inside a string closes nothing, and a brace that opens no valid object is passed over. A line end inside a
    string stands for itself: models that no schema holds to JSON forget to escape it in texts of several lines.
    """
    decoder = json.JSONDecoder(strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # also a number of too many digits
            start = text.find("{", start + 1)
        else:
            return dict(found)
    return None
