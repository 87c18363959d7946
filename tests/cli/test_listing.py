"""`list neurons`: one line a kind, JSON with the same, one line and code 2 where there is nothing to tell."""

from __future__ import annotations

import json

from harness.testing import tiny
from harness.text.features import FEATURES
from harness.text.transforms import TRANSFORMS


def test_neurons_of_a_model(cli, tmp_path):
    path = tiny.tiny_model(tmp_path / "gpt2", "gpt2")
    code, out, _ = cli("list", "neurons", "--model", path)
    assert code == 0
    assert out.splitlines() == [
        "mlp         transformer.h.*.mlp.c_proj: 2 layers of 128, 256 in all",
        "attention   transformer.h.*.attn.c_proj: 2 layers of 32 in 4 heads, 64 in all",
        "activation  transformer.h.*.mlp.act: 2 layers of 128, 256 in all",
    ]
    code, out, _ = cli("list", "neurons", "-m", path, "--json")
    found = json.loads(out)
    assert (code, list(found)) == (0, ["mlp", "attention", "activation"])
    assert found["attention"] == [
        {"path": "transformer.h.*.attn.c_proj", "layers": 2, "neurons": 32, "heads": 4, "total": 64}
    ]


def test_a_model_that_cannot_be_read(cli, tmp_path, monkeypatch):
    kind = tiny.Family("albert", tiny.FAMILIES["bert"].tokenizer, {"embedding_size": 16})
    monkeypatch.setitem(tiny.FAMILIES, "albert", kind)
    spec = tmp_path / "spec.yaml"
    path = tiny.tiny_model(tmp_path / "albert", "albert")
    spec.write_text(f"model: {path}\ntemplate: raw\n")
    code, out, error = cli("list", "neurons", "--model", path, "--spec", spec)
    assert (code, out) == (2, "")
    assert "local/albert lacks neurons: albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output ran 2" in error


def test_options_of_neurons_only(cli):
    code, out, error = cli("list", "neurons")
    assert (code, out) == (2, "")
    assert error.strip().endswith("reward-harness list neurons --model M")
    for options in (("--model", "x"), ("--spec", "x"), ("--revision", "x"), ("--allow-pickle",)):
        code, out, error = cli("list", "tasks", *options)
        assert (code, out) == (2, "")
        assert f"{options[0]} is for neurons, not tasks" in error


def test_features_say_what_they_are(cli):
    code, out, _ = cli("list", "features")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert lines["toxicity"].startswith("kind target, form binary, desired_sign -1, version 1: 1 where a whole word ")
    code, out, _ = cli("list", "features", "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == list(lines) == sorted(lines)
    assert found["log_words"] == {
        "kind": "control",
        "form": "log",
        "desired_sign": 0,
        "version": "1",
        "summary": "Natural log of one plus the number of white-space separated words.",
    }


def test_a_feature_of_a_plugin_is_listed(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(FEATURES, "_objects", dict(FEATURES._objects))
    plugin = tmp_path / "dots.py"
    plugin.write_text(
        "from harness.text.features import feature\n"
        "@feature('spoiler', 'binary')\n"
        "def ellipsis(prompt, reply):\n"
        "    'One where it trails off.'\n"
        "    return float('...' in reply)\n"
    )
    code, out, _ = cli("list", "features", "--plugin", plugin)
    assert code == 0
    assert "kind spoiler, form binary, desired_sign 0, version 1: One where it trails off." in out


def test_transforms_say_their_set_and_what_they_preserve(cli):
    code, out, _ = cli("list", "transforms")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert list(lines) == TRANSFORMS.names()
    assert lines["quoted"].startswith(
        "set core, version 1, preserves digits urls code negations words: The whole reply in quotation marks"
    )
    code, out, _ = cli("list", "transforms", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["swap_3"]["set"] == "noise"
    assert found["line_endings"] == {
        "set": "core",
        "version": "1",
        "preserves": "digits urls code quotes negations words",
        "summary": r"Lines end by `\r\n` instead of `\n`.",
    }


def test_a_transform_of_a_plugin_is_listed_and_takes_no_name_that_is_taken(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(TRANSFORMS, "_objects", dict(TRANSFORMS._objects))
    plugin = tmp_path / "shouting.py"
    plugin.write_text(
        "from harness.text.transforms import transform\n"
        "@transform('stress', preserves=(), idempotent=True)\n"
        "def shouted(prompt, reply, rng):\n"
        "    'All of it in capitals.'\n"
        "    return reply.upper()\n"
    )
    code, out, _ = cli("list", "transforms", "--plugin", plugin)
    assert code == 0
    assert "set stress, version 1, preserves nothing: All of it in capitals." in out
    plugin.write_text(plugin.read_text().replace("shouted", "quoted"))
    code, out, error = cli("list", "transforms", "--plugin", plugin)
    assert (code, out) == (2, "")
    assert "two transforms are called 'quoted'; rename one of them" in error


def test_styles_say_what_they_ask_for_in_both_directions(cli):
    code, out, _ = cli("list", "styles")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, list(lines)) == (0, ["formal", "hedged", "positive", "short"])
    assert lines["short"].startswith("version 1: up is about two thirds as long")
    assert "; down is about one and a half times as long" in lines["short"]
