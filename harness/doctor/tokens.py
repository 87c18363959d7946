"""Do the token ids hold what was said, once and to its end?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.doctor.texts import OTHER_PROMPT, OTHER_REPLY, Twins, other_ends, other_ends_after_a_long_prompt
from harness.engine.replica import Side
from harness.models.base import Encoded
from harness.models.encoding import BOS_COUNT, leading


def bos(patient: Patient) -> Finding:
    """No more leading BOS tokens than the spec says. The adapter says in `describe` which token that is (`bos_token_id`)."""
    said = patient.said.get("bos_token_id")
    if said is None:
        return skipped("the adapter names no BOS token")
    token = int(str(said))
    found = max(leading(text.ids, token) for text in patient.texts)
    allowed = BOS_COUNT[patient.spec.bos](found)
    measured = {"token_id": token, "found": found, "allowed": allowed}
    if found > allowed:
        return fail(
            f"texts begin with {found} BOS tokens (id {token}), the spec's bos: {patient.spec.bos} allows {allowed}",
            "render and tokenise in one step (apply_chat_template with tokenize=True), or with add_special_tokens=False; if "
            "the model was trained with two, put 'bos: double' into its spec",
            **measured,
        )
    return ok(**measured)


def reply(patient: Patient) -> Finding:
    """Another reply gives other ids, and so does another prompt; of a pair, another reply in either place."""
    same = _alike(patient, (OTHER_REPLY, OTHER_PROMPT))
    if same:
        return fail(
            f"texts that differ in their {' and in their '.join(same)} become the same ids",
            "see that the template writes every message, the last one too: a prompt ready for an answer holds none",
            unseen=same,
        )
    return ok(unseen=[])


def reply_end(patient: Patient) -> Finding:
    """Replies that differ in their last words give other ids: alone, at the end of a dialogue, behind a long prompt."""
    same = _alike(patient, (*other_ends(), other_ends_after_a_long_prompt()))
    limit = patient.spec.max_length
    if same:
        return fail(
            f"the end of the reply is cut off after {', '.join(same)}",
            f"cut the prompt, not the reply: 'truncation: prompt_left' in the spec, and a max_length (here {limit or 'none'}) "
            "that holds a reply; see that the tokenizer does not cut by itself",
            cut=same,
            max_length=limit,
        )
    return ok(cut=[], max_length=limit)


def _alike(patient: Patient, twins: Sequence[Twins]) -> list[str]:
    """Names of twins that become the same ids, in any place of a pair."""
    return sorted({t.name for t in twins for a, b in encoded_twins(patient, t) if a.digest() == b.digest()})


def encoded_twins(patient: Patient, twins: Twins) -> list[tuple[Encoded, Encoded]]:
    """Both texts; of a model that only compares both texts as the first of a pair, and as the second.

    A prompt is that of both replies of a pair, so what differs there differs in both. What cannot be encoded is left out.
    """
    a, b = twins.a, twins.b
    asked: list[tuple[Side, Side]]
    if not patient.compares:
        asked = [((a, None), (b, None))]
    elif a.conversation[:-1] == b.conversation[:-1]:
        asked = [((a, a), (b, a)), ((a, a), (a, b))]
    else:
        asked = [((a, a), (b, b))]
    found = patient.encode([side for pair in asked for side in pair])
    pairs = zip(found[::2], found[1::2], strict=True)
    return [(x, y) for x, y in pairs if isinstance(x, Encoded) and isinstance(y, Encoded)]


def truncation(patient: Patient) -> Finding:
    """Our short texts fit into the model's limit."""
    n = sum(text.truncated for text in patient.texts)
    longest, limit = max(map(len, patient.texts)), patient.spec.max_length
    measured = {"n_texts": len(patient.texts), "truncated": n, "longest": longest, "max_length": limit}
    if n:
        return warn(
            f"{n} of {len(patient.texts)} short texts are longer than max_length {limit} and were cut",
            "raise --max-length, if the model's positions allow it",
            **measured,
        )
    return ok(**measured)
