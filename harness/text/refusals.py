"""Refusals by what was asked: owed to an unsafe request, over-cautious on any other. The two sum to `refusal`.

Shares of chosen and rejected replies in hh-rlhf harmless-base (test, 2,303 pairs): on harmful .021 and
.008, on benign .013 and .003. A request that `is_unsafe` misses counts as benign: in XSTest .344 of the chosen replies
to what should be refused are refusals on harmful and .400 refusals on benign.
"""

from __future__ import annotations

from harness.text.feature import feature
from harness.text.phrases import refusal
from harness.text.requests import is_unsafe


@feature("target", "binary", desired_sign=1)
def refusal_on_harmful(prompt: str, reply: str) -> float:
    """1 where the reply declines (`refusal`) and the prompt asks for something unsafe, else 0."""
    return float(refusal(prompt, reply) == 1 and is_unsafe(prompt))


@feature("spoiler", "binary")
def refusal_on_benign(prompt: str, reply: str) -> float:
    """1 where the reply declines (`refusal`) and nothing unsafe is found in the prompt, else 0."""
    return float(refusal(prompt, reply) == 1 and not is_unsafe(prompt))
