"""What is read from a model's neurons in one streaming pass: plain data, and part of the key of the stored sums."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """Which sums, at which neurons, over which tokens.

    `what` is a name in `harness.models.accumulate.ACCUMULATORS`, `site` one in `harness.models.sites.SITES`,
    `span` one in `harness.models.accumulate.SPANS`; the first `skip` positions of every text are left out, but for the
    one where the score is read if the span names it.
    """

    what: str = "moments"
    site: str = "mlp"
    span: str = "response"
    skip: int = 0

    @property
    def key(self) -> str:
        """What enters the key of stored sums."""
        return f"{self.what}|{self.site}|{self.span}|{self.skip}"


MOMENTS = Reading()
