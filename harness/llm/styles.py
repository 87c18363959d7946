"""Directed attributes of style: what a rewriter is asked to change in a reply while it leaves everything else alone.

Pairs of rewrites, one up and one down, price one attribute (RATE, arXiv 2410.11348).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.registry import Registry

Range = tuple[float, float]

LENGTH: Range = (0.7, 1.4)
"""How long a rewrite may be beside what it was made from, both ends included: the usual gate for rewrites whose length is
to stay, about symmetric in the logarithm."""


@dataclass(frozen=True)
class Style:
    """An attribute of style. `up` and `down` say in words, as they stand behind "Rewrite the last reply so that it", what is
    asked for in each direction; `length_up` and `length_down` are the ratios of characters that count as an answer to it.

    `version` goes up whenever a word or a number of it changes: answers to other words are other answers.
    """

    name: str
    version: str
    up: str
    down: str
    length_up: Range = LENGTH
    length_down: Range = LENGTH


STYLES: Registry[Style] = Registry("style", "reward_harness.styles")
"""Every style by name: those below, of plugins, of entry points."""


def style(entered: Style) -> Style:
    """Enters a style under its name and returns it. Raises InputError where another one has the name."""
    return STYLES.register(entered.name)(entered)


style(
    Style(
        "positive",
        "1",
        "sounds clearly more positive: warm, friendly and optimistic",
        "sounds clearly more negative: cool, gloomy and pessimistic",
    )
)
style(
    Style(
        "formal",
        "1",
        "is clearly more formal, as in an official letter: full forms, no slang, an impersonal tone",
        "is clearly more informal, as in a chat between friends: short forms, everyday words, a personal tone",
    )
)
style(
    Style(
        "short",
        "1",
        "is about two thirds as long: say the same in fewer words",
        "is about one and a half times as long: say the same in more words and add no fact, no advice and no example",
        # The ratio that is asked for, give or take the same factor (about 1.5, 1.4 towards no change) in both directions.
        length_up=(0.4, 0.9),
        length_down=(1.1, 2.5),
    )
)
style(
    Style(
        "hedged",
        "1",
        "is clearly more hedged: what it claims is put as likely, possible or an impression",
        "is clearly more confident: what it claims is put as certain, without words such as perhaps, might or seems",
    )
)
