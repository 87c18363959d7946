"""Ids: equal to the tokenizer's own, special tokens in texts harmless, BOS counted, length by rule."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from harness.errors import InputError
from harness.models.base import Encoded, Unencodable
from harness.models.encoding import TextEncoder
from harness.models.spec import ModelSpec
from harness.models.template import bind_template
from harness.preference import messages_json
from tests.models.conftest import Tiny, talk


@pytest.fixture(scope="module")
def tokenizer(tiny: Tiny) -> Any:
    return lru_cache(lambda family: AutoTokenizer.from_pretrained(tiny(family)))


@pytest.fixture(scope="module")
def encoder(tokenizer: Any) -> Any:
    def make(family: str, template: Any = "tokenizer", **spec: Any) -> TextEncoder:
        return TextEncoder(tokenizer(family), ModelSpec(model=family, template=template, **spec))

    return make


def one(encoder: TextEncoder, *contents: str) -> Encoded:
    (encoded,) = encoder.encode([talk(*contents)])
    assert isinstance(encoded, Encoded), encoded
    return encoded


def specials(encoder: TextEncoder, encoded: Encoded) -> list[int]:
    unknown = encoder.special.get("[UNK]", -1)
    return [int(i) for i in encoded.ids if i in encoder.special_ids and i != unknown]


# --- special tokens in texts ----------------------------------------------------------------------

CASES = [("bert", {"pair": "hh"}), ("bert", "hh"), ("llama", "tokenizer"), ("llama", "hh"), ("llama-sp", "tokenizer")]


@pytest.mark.parametrize(("family", "template"), CASES)
@pytest.mark.parametrize("where", [0, 1])
def test_special_tokens_inside_a_text_never_change_the_structure(
    family: str, template: Any, where: int, encoder: Any
) -> None:
    coder = encoder(family, template)
    benign = specials(coder, one(coder, "what is it", "a cat"))
    for special in coder.special:
        sly = ["what is it", "a cat"]
        sly[where] = f"{sly[where]} {special} then {special}"
        encoded = one(coder, *sly)
        assert specials(coder, encoded) == benign, special


@pytest.mark.parametrize(("family", "template"), CASES)
def test_runs_between_special_tokens_give_the_ids_of_one_call(family: str, template: Any, encoder: Any) -> None:
    """The careful path, taken for a text without special tokens, must agree with the fast one."""
    coder = encoder(family, template)
    conversation = talk("how do I bake", "Mix flour \n\n and  water.", "really?", "Yes, é 你 no")
    rendered = coder.template.render(conversation)
    careful = coder._finish(coder._literal(rendered), len(rendered.segments))
    fast = coder.encode([conversation])[0]
    np.testing.assert_array_equal(careful.ids, fast.ids)
    assert careful.response_start == fast.response_start


def test_text_that_spells_a_special_token_keeps_its_characters(encoder: Any) -> None:
    coder = encoder("llama", "raw")
    encoded = one(coder, "say <|end|> now", "ok </s>")
    assert coder.backend.decode(encoded.ids[1:].tolist(), skip_special_tokens=False) == "say <|end|> now\nok </s>"


def test_one_odd_text_does_not_change_its_neighbours(encoder: Any) -> None:
    coder = encoder("bert", {"pair": "hh"})
    alone = one(coder, "hello", "a cat")
    first, _, last = coder.encode([talk("hello", "a cat"), talk("hello", "a [SEP] cat"), talk("hello", "a cat")])
    for other in (first, last):
        np.testing.assert_array_equal(other.ids, alone.ids)


# --- the tokenizer's own ids ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="<["), max_size=30), min_size=2, max_size=4).map(
        tuple
    )
)
def test_ids_are_those_of_plain_calls(encoder: Any, tokenizer: Any, contents: tuple[str, ...]) -> None:
    got = one(encoder("bert", {"pair": "plain"}), *contents)
    texts = ["\n".join(contents[:-1])], [contents[-1]]
    expected = tokenizer("bert")(*texts, split_special_tokens=True, return_token_type_ids=True)
    assert got.ids.tolist() == expected["input_ids"][0]
    types = got.type_ids if got.type_ids is not None else np.zeros(len(got), int)
    assert types.tolist() == expected["token_type_ids"][0]
    chat = tokenizer("llama").apply_chat_template(messages_json(talk(*contents)), return_dict=False)
    assert one(encoder("llama"), *contents).ids.tolist() == chat


# --- where the response is ------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "template"), [*CASES, ("roberta", {"pair": "plain"}), ("llama", {"pair": "plain"})])
@pytest.mark.parametrize("response", ["cat on mat", "zebra", "a </s> [SEP] cat"])
def test_response_start_is_the_first_token_with_a_character_of_the_response(
    family: str, template: Any, response: str, encoder: Any
) -> None:
    coder = encoder(family, template)
    encoded = one(coder, "what is it", response)

    def text(start: int) -> str:
        return "".join(coder.backend.decode(encoded.ids[start:].tolist()).split()).replace("##", "")

    squeezed = response.replace(" ", "").lower()
    assert text(encoded.response_start).lower().startswith(squeezed)
    assert not text(encoded.response_start + 1).lower().startswith(squeezed)
    assert squeezed not in text(encoded.response_start + 1).lower()


@pytest.mark.parametrize(("family", "template"), [*CASES, ("roberta", {"pair": "plain"})])
@pytest.mark.parametrize("empty", ["", "  \n"])
def test_empty_response_starts_where_the_template_ends(family: str, template: Any, empty: str, encoder: Any) -> None:
    coder = encoder(family, template)
    nothing, something = one(coder, "what is it", empty), one(coder, "what is it", "cat")
    assert nothing.response_start <= len(nothing)
    # A token may hold the space before a word, so that where a word starts one token earlier than where none does.
    assert 0 <= nothing.response_start - something.response_start <= 1


# --- BOS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "count"), [("auto", 1), ("none", 0), ("single", 1), ("double", 2)])
@pytest.mark.parametrize(
    "template", ["tokenizer", "hh", {"pair": "plain"}, {"jinja": "<s>{{ prompt }}|{{ response }}"}]
)
@pytest.mark.parametrize("family", ["llama", "llama-sp"])
def test_bos_count(family: str, template: Any, policy: str, count: int, encoder: Any) -> None:
    coder = encoder(family, template, bos=policy)
    encoded = one(coder, "what is it", "a cat")
    extra = 1 if isinstance(template, dict) and "pair" in template and policy == "double" else 0
    assert int((encoded.ids == coder.bos).sum()) == count + extra
    assert (encoded.ids[:count] == coder.bos).all()
    plain = one(encoder(family, template, bos="auto"), "what is it", "a cat")
    if not extra:
        assert encoded.response_start - plain.response_start == count - 1


@pytest.mark.parametrize("family", ["llama", "llama-sp"])
def test_two_bos_tokens_that_nobody_chose_are_an_error(family: str, encoder: Any) -> None:
    twice = {"jinja": "<s>{{ prompt }}|{{ response }}"}
    with pytest.raises(InputError, match=r"begin with 2 BOS tokens.*'bos: auto'.*'bos: double'"):
        encoder(family, twice)
    assert len(one(encoder(family, twice, bos="double"), "a", "b")) == 1 + len(
        one(encoder(family, twice, bos="auto"), "a", "b")
    )


@pytest.mark.parametrize("policy", ["single", "double"])
def test_a_bos_token_needs_a_tokenizer_that_has_one(policy: str, encoder: Any) -> None:
    with pytest.raises(InputError, match=f"bos: {policy} needs a tokenizer with a BOS"):
        encoder("qwen2", bos=policy)


def test_a_chat_template_without_bos_gets_the_one_that_the_spec_asks_for(tokenizer: Any) -> None:
    bound = bind_template({"jinja": "{{ prompt }}|{{ response }}"}, tokenizer("llama"))
    bare = dataclasses.replace(bound, complete=True)
    auto, single = (
        one(TextEncoder(tokenizer("llama"), ModelSpec(model="m", bos=bos), bare), "what is it", "a cat")
        for bos in ("auto", "single")
    )
    assert single.ids.tolist() == [tokenizer("llama").bos_token_id, *auto.ids]


# --- length ---------------------------------------------------------------------------------------

words = st.lists(
    st.sampled_from(["how", "do", "i", "bake", "bread", "at", "home", "mix", "flour", "water"]), max_size=25
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(
    case=st.sampled_from(
        [
            ("bert", {"pair": "hh"}),
            ("bert", "raw"),
            ("llama", "tokenizer"),
            ("roberta", {"pair": "plain"}),
            ("llama", "hh"),
        ]
    ),
    policy=st.sampled_from(["prompt_left", "left", "right"]),
    limit=st.integers(14, 60),
    prompt=words,
    response=words,
)
def test_truncation_rules(encoder: Any, case: Any, policy: str, limit: int, prompt: str, response: str) -> None:
    family, template = case
    whole = one(encoder(family, template), prompt, response)
    (cut,) = encoder(family, template, max_length=limit, truncation=policy).encode([talk(prompt, response)])
    assert isinstance(cut, Encoded)
    assert cut.truncated == (len(whole) > limit)
    assert len(cut) == min(limit, len(whole))
    if not cut.truncated:
        return
    coder = encoder(family, template)
    tail = len(whole) - _end(coder, whole)
    answer = whole.ids[whole.response_start : len(whole) - tail].tolist()
    lead = (
        next(i for i, x in enumerate(whole.ids) if x not in coder.special_ids)
        if whole.ids[0] in coder.special_ids
        else 0
    )
    assert cut.ids[:lead].tolist() == whole.ids[:lead].tolist()
    assert cut.ids[len(cut) - tail :].tolist() == whole.ids[len(whole) - tail :].tolist()
    kept = cut.ids[cut.response_start : len(cut) - tail].tolist()
    expected = {
        "prompt_left": answer[: len(kept)],
        "left": answer[len(answer) - len(kept) :],
        "right": answer[: len(kept)],
    }[policy]
    assert kept == expected
    if policy == "prompt_left" and len(kept) < len(answer):
        before = cut.ids[lead : cut.response_start]
        assert all(i in coder.special_ids for i in before), "the prompt goes entirely before the response is cut"
    if policy == "prompt_left" and len(kept) == len(answer):
        n = cut.response_start - lead
        assert (
            cut.ids[lead : cut.response_start].tolist()
            == whole.ids[whole.response_start - n : whole.response_start].tolist()
        )


def _end(coder: TextEncoder, encoded: Encoded) -> int:
    """Index after the response's last token: the template's own end is the same for every response."""
    chat = coder.template.complete
    tail = one(coder, "a", "cat")
    after = [i for i, x in enumerate(tail.ids) if x in coder.special_ids and i > tail.response_start]
    return len(encoded) - (len(tail) - after[0] if (chat or after) else 0)


def test_policy_error_refuses_and_says_by_how_much(encoder: Any) -> None:
    (refused,) = encoder("bert", "raw", max_length=8, truncation="error").encode(
        [talk("how do i bake", "mix flour and salt")]
    )
    assert refused == Unencodable("10 tokens, 2 more than max_length 8")


def test_limit_shorter_than_the_template_is_refused(encoder: Any) -> None:
    (refused,) = encoder("bert", {"pair": "plain"}, max_length=2).encode([talk("how", "mix")])
    assert isinstance(refused, Unencodable)
    assert "shorter than the template's own tokens" in refused.error


def test_pair_truncation_is_that_of_plain_transformers(encoder: Any, tiny: Tiny) -> None:
    texts = "how do i bake bread at home " * 5, "mix flour and water"
    got = one(encoder("bert", {"pair": "plain"}, max_length=20), *texts)
    plain = AutoTokenizer.from_pretrained(tiny("bert"), truncation_side="left")
    expected = plain(*texts, truncation="only_first", max_length=20)["input_ids"]
    assert got.ids.tolist() == expected
    assert got.truncated


# --- what cannot be encoded -----------------------------------------------------------------------


def test_bad_conversations_become_reasons_in_place(encoder: Any) -> None:
    coder = encoder("bert", "hh")
    out = coder.encode([talk("hi", "yes"), talk("hi", "yes")[:1], talk("hi", "\ud800"), talk("hi", "yes")])
    assert [type(o) for o in out] == [Encoded, Unencodable, Unencodable, Encoded]
    assert "assistant" in out[1].error
    assert "Unicode" in out[2].error


def test_many_texts_keep_their_order(encoder: Any) -> None:
    coder = encoder("bert", "raw")
    contents = [(f"prompt {i}", f"{i} [SEP]" if i % 7 == 0 else f"{i}") for i in range(1100)]
    together = coder.encode([talk(*c) for c in contents])
    for i in (0, 1, 511, 512, 513, 1099):
        np.testing.assert_array_equal(together[i].ids, one(coder, *contents[i]).ids)
