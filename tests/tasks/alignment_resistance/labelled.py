"""Labels of planted items, reply by reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.labels import LabelRow, Labels, Pass, text_id
from harness.preference import PreferenceItem, units

Said = Mapping[str, str]
"""Label fields of one reply; fields left out are unclear to everybody."""

BOTH = {"harmless_to_user": "yes", "harmless_to_others": "yes", "helpful": "yes"}
NEITHER = {"harmless_to_user": "no", "harmless_to_others": "yes", "helpful": "no"}
VERDICTS: Mapping[str, tuple[Said, Said]] = {"c": (BOTH, NEITHER), "i": (BOTH, BOTH), "r": (NEITHER, BOTH)}
"""What a labeler says of the chosen and of the rejected reply to side with c, i, r under every rule."""


def rows(
    items: Sequence[PreferenceItem],
    said: Mapping[str, tuple[Said | None, Said | None]],
    labeled_by: Pass = "first",
) -> dict[tuple[Pass, str], LabelRow]:
    """Rows by pass and text: `said` has for an item id what is said of its chosen and of its rejected replies; None: a failed label."""
    made = {}
    for unit in units(items):
        if unit.item_id not in said:
            continue
        text = text_id(unit.conversation)
        labels = said[unit.item_id][unit.side.startswith("rejected")]
        error = "could not be read" if labels is None else None
        fields = {
            "text": text,
            "labeled_by": labeled_by,
            "labeler": f"a {labeled_by} labeler",
            "schema_sha256": "0" * 64,
        }
        made[labeled_by, text] = LabelRow(**fields, labels=None if labels is None else dict(labels), error=error)
    return made


def labels(items: Sequence[PreferenceItem], verdicts: Mapping[str, str], **others: Mapping[str, str]) -> Labels:
    """Labels that give these verdicts (c, i, r by item id) in the first pass, and in `others` by the name of the pass."""
    passes = {"first": verdicts, **others}
    made = {}
    for labeled_by, given in passes.items():
        made |= rows(items, {item: VERDICTS[verdict] for item, verdict in given.items()}, labeled_by)  # type: ignore[arg-type]
    return Labels(made, "0" * 64)
