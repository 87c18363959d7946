"""Each feature against hand-made replies, and the table they make."""

import gzip
import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest

from harness.errors import InputError
from harness.preference import Message, Unit
from harness.text.features import FEATURES, feature, featurize


def value(name: str, reply: str, prompt: str = "") -> float:
    return FEATURES.get(name).function(prompt, reply)


def unit(unit_id: str, *turns: str) -> Unit:
    conversation = tuple(Message("user" if i % 2 == 0 else "assistant", t) for i, t in enumerate(turns))
    return Unit(unit_id, "i", "c", "d", "s", "other", "chosen", conversation)


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("log_words", "one two  three", math.log(4)),
        ("log_words", "", 0.0),
        ("question", "Why not? Because.", 1.0),
        ("question", "Because.", 0.0),
        ("exclamation", "Stop!", 1.0),
        ("exclamation", "Stop.", 0.0),
        ("refusal", "I'm sorry, but I can’t help with that.", 1.0),
        ("refusal", "I am unable to do so", 1.0),
        ("refusal", "You can't help liking it. That's illegal in most places.", 0.0),
        ("refusal", "word " * 60 + "I cannot help", 0.0),
        ("hedging", "maybe " + "word " * 99, math.log(2)),
        ("hedging", "maybe maybe", math.log(21)),
        ("politeness", "please " + "word " * 99, math.log(2)),
        ("first_person", "I’m " + "word " * 49, math.log(3)),
        ("first_person", "", 0.0),
        ("lists", "Do:\n- one\n- two", 1.0),
        ("lists", "1. one\n2) two", 1.0),
        ("lists", "- one point\nonly", 0.0),
        ("lists", "-5 and -6\n-7", 0.0),
        ("bold", "this is **very bold** text", 1.0),
        ("bold", "2 ** 3 ** 4", 0.0),
        ("code", "```python\nx\n```", 1.0),
        ("code", "`x`", 0.0),
        ("digits_urls", "in 1999 and 2001, see https://a.b/2024/05", math.log(4)),
        ("digits_urls", "none", 0.0),
        ("lexical_diversity", "a b a b", 0.5),
        ("lexical_diversity", "", 0.0),
        ("sentiment", "", 0.0),
    ],
)
def test_a_feature_of_a_known_reply(name, reply, expected):
    assert value(name, reply) == pytest.approx(expected)


def test_overlap_is_the_share_of_long_words_the_prompt_uses():
    assert value("overlap", "Bake the potatoes slowly", prompt="How do I bake POTATOES?") == pytest.approx(2 / 3)
    assert value("overlap", "so it is", prompt="so it is") == 0.0


def test_sentiment_has_the_sign_of_the_text():
    assert value("sentiment", "What a wonderful, lovely idea") > 0.5
    assert value("sentiment", "What a horrible, cruel idea") < -0.5


def test_diversity_reads_only_the_first_hundred_words():
    varied = " ".join(f"w{i}" for i in range(100))
    assert value("lexical_diversity", varied + " w0" * 400) == 1.0


def test_rates_do_not_track_length():
    text = "maybe I thank you for it "
    for name in ("hedging", "politeness", "first_person"):
        assert value(name, text) == pytest.approx(value(name, text * 10))


def test_featurize_joins_by_id_and_hides_the_reply_from_the_prompt():
    frame = featurize(
        [unit("a", "tell potatoes", "first", "again", "potatoes"), unit("b", "x", "")], ["overlap", "log_words"]
    )
    assert list(frame.columns) == ["unit_id", "x_overlap", "x_log_words"]
    assert frame.set_index("unit_id").loc["a", "x_overlap"] == 1.0
    assert frame.set_index("unit_id").loc["b"].tolist() == [0.0, 0.0]


def test_featurize_of_nothing_still_has_its_columns():
    assert list(featurize([], ["question"]).columns) == ["unit_id", "x_question"]


def test_every_feature_is_finite_and_deterministic_on_odd_texts():
    odd = ["", " ", "\ud800", "🙂" * 50, "?" * 2000, "a" * 5000, "1" * 400, "\n- \n- x"]
    units = [unit(str(i), prompt, reply) for i, (prompt, reply) in enumerate(zip(odd[::-1], odd, strict=True))]
    first, second = featurize(units), featurize(units[::-1])
    assert np.isfinite(first.drop(columns="unit_id").to_numpy()).all()
    assert first.set_index("unit_id").equals(second.set_index("unit_id").loc[first["unit_id"]])


def test_a_new_feature_is_a_decorated_function_and_names_are_not_stolen(monkeypatch):
    monkeypatch.setattr(FEATURES, "_objects", dict(FEATURES._objects))

    @feature("spoiler", "binary", desired_sign=-1)
    def ellipsis(prompt: str, reply: str) -> float:
        return float("..." in reply)

    assert featurize([unit("a", "p", "well...")], ["ellipsis"])["x_ellipsis"].tolist() == [1.0]
    with pytest.raises(InputError, match="two features are called 'log_words'"):

        @feature("control", "log")
        def log_words(prompt: str, reply: str) -> float:
            return 0.0


def test_importing_the_features_loads_neither_torch_nor_vader():
    code = "import sys, harness.text.features; print([m for m in ('torch', 'vaderSentiment', 'transformers') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_speed_and_spread_on_real_replies(shared):
    path = shared / "data/Anthropic/hh-rlhf/harmless-base/test.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["chosen"] for line, _ in zip(lines, range(600), strict=False)]
    units = [unit(str(i), *text.rsplit("\n\nAssistant:", 1)) for i, text in enumerate(texts)]
    start = time.process_time()
    frame = featurize(units)
    rate = len(units) / (time.process_time() - start)
    assert rate > 1000, f"{rate:.0f} replies a second"
    assert (frame[["x_log_words", "x_question", "x_refusal", "x_sentiment", "x_first_person"]].std() > 0).all()
