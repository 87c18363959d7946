"""`list neurons`: one line a kind, JSON with the same, one line and code 2 where there is nothing to tell."""

from __future__ import annotations

import json

from harness.testing import tiny


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
