"""Training rows of hh-rlhf (Bai et al. 2022, 2204.05862): what neurons are scored on, never what a model is judged by."""

from __future__ import annotations

from typing import ClassVar

from harness.datasets import _fields, _transcript
from harness.datasets._base import DATASETS, Family, Hub, Pair, Row


@DATASETS.register("hh-rlhf-train")
class HHRLHFTrain(Family):
    """Two subsets of the train split, as transcripts (the Hub) or as pairs with a prompt (a local extract)."""

    name = "hh-rlhf-train"
    objectives: ClassVar = {"helpful-base": "helpful", "harmless-base": "safety_mixed"}
    mirror = "preference/train-only.{subset}.*.jsonl.gz"
    hub = Hub("Anthropic/hh-rlhf", split="train", data_dir="{subset}")
    license = "MIT"

    def pair(self, row: Row, subset: str, index: int) -> Pair:
        """The row as it stands where it has a prompt of its own, else the two transcripts taken apart."""
        if "prompt" in row:
            prompt, chosen, rejected = _fields.prompt(row), *(_fields.replies(row, s) for s in ("chosen", "rejected"))
        else:
            prompt, *replies = _transcript.fork(_fields.text(row, "chosen"), _fields.text(row, "rejected"))
            chosen, rejected = ((reply,) for reply in replies)
        return Pair(self.item_id(row.get("id") or f"{subset}/train/{index:05d}"), prompt, chosen, rejected)
