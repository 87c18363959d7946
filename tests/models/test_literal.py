"""Special tokens that users write stay text, in tokenizers whose model would find them by itself."""

from __future__ import annotations

import string
from typing import Any

import pytest
from transformers import DebertaV2Tokenizer, T5Tokenizer

from harness.models.encoding import TextEncoder
from harness.models.literal import hide_pieces
from harness.models.spec import ModelSpec
from harness.testing.tiny import FAMILIES
from tests.models.conftest import talk

PIECES = [
    ("▁", -3.0),
    *((f"▁{word}", -5.0) for word in ("the", "cat", "sat")),
    *((c, -8.0) for c in string.printable[:94]),
]
FREE = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(99, -1, -1))]


def t5() -> Any:
    return T5Tokenizer(vocab=[*((piece, 0.0) for piece in FREE[:3]), *PIECES, *((piece, 0.0) for piece in FREE[3:])])


def deberta() -> Any:
    return DebertaV2Tokenizer(vocab=[*((p, 0.0) for p in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")), *PIECES], unk_id=3)


@pytest.mark.parametrize(("make", "special"), [(t5, "</s>"), (t5, "<extra_id_7>"), (deberta, "[SEP]")])
def test_a_unigram_model_finds_no_special_token_in_a_text(make: Any, special: str) -> None:
    tokenizer = make()
    backend = tokenizer.backend_tokenizer
    told, known = backend.token_to_id(special), tokenizer("the cat")["input_ids"]
    backend.encode_special_tokens = True
    text = f"the {special} cat"
    assert told in backend.encode(text, add_special_tokens=False).ids, "it did, or this test shows nothing"
    hide_pieces(backend, [special])
    pieces = backend.encode(text, add_special_tokens=False)
    assert told not in pieces.ids
    assert "".join(pieces.tokens).replace("▁", "") == text.replace(" ", "")
    assert backend.token_to_id(special) == told
    assert tokenizer("the cat")["input_ids"] == known
    backend.encode_special_tokens = False
    assert told in backend.encode(text, add_special_tokens=False).ids, "a template's own tokens are found all the same"


@pytest.mark.parametrize("make", [t5, deberta])
def test_the_encoder_hides_them(make: Any) -> None:
    tokenizer = make()
    coder = TextEncoder(tokenizer, ModelSpec(model="m", template="hh"))
    special = [token for token in tokenizer.all_special_tokens if token != tokenizer.unk_token]
    plain, written = coder.encode([talk("the cat", "sat"), talk(f"the cat {' '.join(special)}", "sat")])
    mark = tokenizer.convert_tokens_to_ids(special)
    count = [sum(int(i) in mark for i in encoded.ids) for encoded in (plain, written)]  # type: ignore[union-attr]
    assert count[0] == count[1] > 0


def test_other_tokenizers_stay_as_they_are() -> None:
    for family in ("bert", "gpt2", "llama-sp"):
        backend = FAMILIES[family].tokenizer().backend_tokenizer
        before = backend.to_str()
        hide_pieces(backend, ["[SEP]", "</s>"])
        assert backend.to_str() == before
