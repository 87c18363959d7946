"""The catalogue: every spec in it can be used, the right one is found, and none is used unasked."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.errors import InputError
from harness.inventory import INVENTORY
from harness.models import catalogue
from harness.models.base import ADAPTERS
from harness.models.options import parse_options
from harness.models.pooling import pooling
from harness.models.prompt import compile_prompt, render_prompt
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.steps import Marker
from harness.models.template import bind_template, parse_template
from harness.preference import Message
from tests.conftest import ROOT
from tests.models.conftest import Tiny

SHIPPED = {entry.name: entry.read() for entry in catalogue.shipped()}
ID = re.compile(r"[\w.-]+/[\w.-]+")


# --- every spec -----------------------------------------------------------------------------------


def test_every_file_is_a_spec_of_one_model() -> None:
    files = sorted(Path(str(catalogue.OWN)).iterdir())
    assert [f.suffix for f in files] == [".yaml"] * len(SHIPPED)
    for name, spec in SHIPPED.items():
        assert spec.model == name
        assert ID.fullmatch(name.replace("*", ""))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_spec_can_be_used(name: str) -> None:
    spec = SHIPPED[name]
    adapter = ADAPTERS.get(spec.adapter or "")
    options = getattr(sys.modules[adapter.__module__], "Options", None)
    if options is None:
        assert spec.options == {}
    else:
        parse_options(options, spec)
    for key in ("prompt", "source", "candidate"):
        compile_prompt(spec.options.get(key) or "")
    if spec.template is not None:
        kind, text = parse_template(spec.template)
        compile_prompt(text if kind == "jinja" else "")
    pooling(spec.pooling, 0)
    assert not spec.requires or all(metadata.version(re.split(r"[<>=!~ ]", r)[0]) for r in spec.requires)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_spec_says_what_it_knows_and_what_it_does_not(name: str) -> None:
    spec = SHIPPED[name]
    assert spec.revision is None  # A commit is never one from memory.
    notes = spec.notes or ""
    assert "hecked against the real weights." in notes
    assert spec.license or "icence" in notes
    assert spec.training_datasets != ()
    assert all(ID.fullmatch(data) for data in spec.training_datasets or ())
    for probe in spec.probe:
        assert probe.expected is not None
        assert [m.role for m in probe.messages][-1] == "assistant"
        assert "*" not in name  # A value is one model's.


def test_several_outputs_have_names() -> None:
    for spec in SHIPPED.values():
        if spec.heads is not None:
            assert len(spec.heads.names) == len(spec.heads.weights) > 1


# --- texts as their sources have them -------------------------------------------------------------

DIALOGUE = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "?"},
]
TWO = [{"role": "response_1", "content": "one"}, {"role": "response_2", "content": "two"}]


def test_the_pair_preference_model_is_asked_as_it_was_trained() -> None:
    prompt = compile_prompt(SHIPPED["RLHFlow/pair-preference-model-LLaMA3-8B"].options["prompt"])
    turns = "\n<turn> user\n Hi\n<turn> assistant\n Hello\n<turn> user\n ?\n"
    assert render_prompt(prompt, DIALOGUE + TWO) == f"[CONTEXT] \n{turns} [RESPONSE A] one [RESPONSE B] two \n"


def test_math_shepherd_reads_a_mark_behind_every_step() -> None:
    spec = SHIPPED["peiyi9979/math-shepherd-mistral-7b-prm"]
    options = spec.options
    assert spec.template is not None
    marker = Marker(options["marker"], options["between"])
    bound = marker.bind(bind_template(spec.template, None), options["separator"])
    question, reply = (m.content for m in spec.probe[0].messages)
    (text,) = bound.render((Message("user", question), Message("assistant", reply))).segments
    assert text.startswith(f"{question} Step 1: Janet's ducks lay 16 eggs per day. ки\nStep 2: She eats")
    assert text.endswith(" The answer is: 18 ки")
    assert text.count(" ки") == 4


# --- which one is found ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in SHIPPED if "*" not in n])
def test_no_glob_shadows_an_exact_id(name: str) -> None:
    assert catalogue.find(name) == SHIPPED[name]
    assert catalogue.find(name.upper()) == SHIPPED[name].model_copy(update={"model": name.upper()})


def test_a_glob_is_for_all_that_fit() -> None:
    name = "Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M"
    found = catalogue.find(name)
    assert found is not None
    assert (found.model, found.license, found.probe) == (name, "llama3.1", ())


@pytest.mark.parametrize(
    ("name", "by"), [("a/bc", "a/bc"), ("A/BC", "a/bc"), ("a/bcd", "a/*b*c*"), ("a/bx", "a/b*"), ("a/x", "a/*")]
)
def test_an_exact_id_comes_first_and_then_the_longest_glob(name: str, by: str, plugged: Any) -> None:
    specs = [ModelSpec(model=model, notes=model) for model in ("a/*", "a/*b*c*", "a/bc", "a/b*")]
    plugged(one=lambda: specs, two=lambda: specs[::-1])
    assert catalogue.find(name) == ModelSpec(model=name, notes=by)


def test_what_nobody_knows_is_not_found() -> None:
    assert catalogue.find("org/name") is None
    assert catalogue.find("local/Skywork-Reward-V2-Qwen3-4B") is None


def test_only_the_wanted_file_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    load = yaml.safe_load
    monkeypatch.setattr(catalogue.yaml, "safe_load", lambda text: (parsed.append(text), load(text))[1])
    catalogue.find("Skywork/Skywork-Reward-V2-Qwen3-4B")
    assert len(parsed) == 1


def test_the_catalogue_imports_no_model_library() -> None:
    code = (
        "import sys; from harness.models import catalogue; "
        "assert catalogue.find('Skywork/Skywork-Reward-V2-Qwen3-4B'); "
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- specs of other packages ----------------------------------------------------------------------


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put in place what entry points of the group load, by name."""

    def put(**found: Any) -> None:
        def load(what: Any) -> Any:
            if isinstance(what, Exception):
                raise what
            return what

        points = [
            SimpleNamespace(name=n, load=lambda w=w: load(w), dist=SimpleNamespace(name=f"{n}-package"))
            for n, w in found.items()
        ]
        monkeypatch.setattr(
            catalogue.metadata, "entry_points", lambda *, group: points if group == catalogue.GROUP else []
        )

    return put


def test_a_package_of_files_and_a_function_add_specs(
    plugged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "specs_of_a_stranger"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "one.yaml").write_text("license: mit\nmodel: 'mine/one'  # ours\n")
    (folder / "README.md").write_text("model: mine/readme\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module(folder.name)
    plugged(files=package, function=lambda: [ModelSpec(model="mine/*", notes="two"), ModelSpec(model="Skywork/*")])
    one, two = catalogue.find("mine/one"), catalogue.find("mine/two")
    assert one is not None
    assert two is not None
    assert (one.license, two.model, two.notes) == ("mit", "mine/two", "two")
    assert catalogue.find("mine/readme") == ModelSpec(model="mine/readme", notes="two")
    # What is shipped comes first, however short its glob.
    ours = catalogue.find("Skywork/Skywork-Reward-V2-Qwen3-4B")
    assert ours is not None
    assert ours.license == "apache-2.0"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (ImportError("no module named gone"), "ImportError: no module named gone"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: None, "TypeError"),
    ],
)
def test_a_broken_package_is_named_and_listed(broken: Any, reason: str, plugged: Any) -> None:
    plugged(bad=broken)
    with pytest.raises(
        InputError, match=f"the specs 'bad' of bad-package cannot be read: {reason}.*; update or remove"
    ):
        catalogue.find("org/name")
    assert catalogue.find("Skywork/Skywork-Reward-V2-Qwen3-4B")
    rows = INVENTORY["models"]()
    assert reason in str(rows[-1][1])
    assert {name for name, _ in rows} > set(SHIPPED)


@pytest.mark.parametrize(("text", "error"), [("adapter: x\n", "no line 'model:"), ("model: a/b\nx: [\n", "is no YAML")])
def test_a_broken_file_is_named(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=f"bad.yaml.*{error}"):
        [entry.read() for entry in catalogue._in_folder(tmp_path)]


def test_list_models_tells_adapter_and_licence() -> None:
    rows = dict(INVENTORY["models"]())
    assert rows["OpenAssistant/reward-model-deberta-v3-base"] == {
        "adapter": "sequence-classification",
        "licence": "mit",
        "summary": "DeBERTa-v3 encoder with one output",
    }
    assert {"null/random", "FOLDER", "ORG/NAME"} < set(rows)


def test_the_page_of_kinds_has_every_adapter() -> None:
    page = (ROOT / "harness" / "models" / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\|[^|]*\| `([a-z0-9-]+)` \|", page, re.MULTILINE))
    ours = {f.stem.replace("_", "-") for f in (ROOT / "harness" / "models" / "adapters").glob("[a-z]*.py")}
    assert told == ours - {"backbone", "null", "scores-file"}  # These are nobody's reward models.


# --- when it counts -------------------------------------------------------------------------------


@pytest.fixture
def on_the_hub(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of a tiny Llama under whatever id is asked for."""
    path = Path(shutil.copytree(tiny("llama"), tmp_path / "snapshots" / ("5" * 40)))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo, **_: str(path))
    return path


def test_a_known_id_is_scored_by_its_spec(on_the_hub: Path) -> None:
    name = "weqweasdas/RM-Mistral-7B"
    known = resolve(name).spec
    assert (known.bos, known.model, known.adapter) == ("single", name, "sequence-classification")
    assert known.notes == SHIPPED[name].notes
    assert resolve("org/name").spec.bos == "auto"


def test_the_authors_own_spec_and_an_explicit_one_beat_the_catalogue(on_the_hub: Path, tmp_path: Path) -> None:
    name = "weqweasdas/RM-Mistral-7B"
    (on_the_hub / "reward_model.yaml").write_text("model: .\ntemplate: hh\n")
    assert (resolve(name).spec.template, resolve(name).spec.bos) == ("hh", "auto")
    (tmp_path / "mine.yaml").write_text("model: .\ntemplate: raw\n")
    assert resolve(name, spec=tmp_path / "mine.yaml").spec.template == "raw"
    assert resolve(ModelSpec(model=name, template={"pair": "hh"})).spec.template == {"pair": "hh"}


def test_a_folder_is_never_taken_for_a_public_model(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny("llama"), tmp_path / "weqweasdas" / "RM-Mistral-7B")
    monkeypatch.chdir(tmp_path)
    assert resolve("weqweasdas/RM-Mistral-7B").spec.bos == "auto"
