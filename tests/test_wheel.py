"""The built wheel carries everything: tasks, cards, boards, templates; and works outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel, built without network and unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = ("harness", "tasks", "leaderboards", "pyproject.toml", "README.md", "LICENSE")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *kept],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if files.returncode:
        pytest.skip("not a git checkout: what belongs into the wheel is not known")
    for name in files.stdout.split("\n"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def run(installed: Path, code: str, cwd: Path) -> str:
    env = os.environ | {"PYTHONPATH": str(installed), "REWARD_HARNESS_STORE": str(cwd / "s.sqlite")}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_in_it(installed, tmp_path):
    code = """
import harness, json
from importlib import resources
from harness.inventory import INVENTORY
assert not [n for n in ("tasks", "leaderboards", "tests") if __import__("importlib").util.find_spec(n)]
cards = [bool(resources.files(f"harness.tasks.{t}").joinpath("README.md").read_text()) for t in harness.TASKS.names()]
print(json.dumps([harness.__file__, {k: [n for n, _ in v()] for k, v in INVENTORY.items()}, cards]))
"""
    file, inventory, cards = json.loads(run(installed, code, tmp_path))
    assert Path(file).is_relative_to(installed)
    assert {"alignment_resistance", "objective_interference"} <= set(inventory["tasks"])
    assert "alignment_tension.yaml" in inventory["leaderboards"]
    assert {"hh-rlhf", "rm-bench", "xstest"} <= set(inventory["datasets"])
    assert "sequence-classification" in inventory["adapters"]
    assert "Skywork/Skywork-Reward-V2-Llama-3.1-8B" in inventory["models"]
    assert cards
    assert all(cards)


def test_it_evaluates_and_renders(installed, tmp_path):
    code = """
import json
from pathlib import Path
import harness
from harness.leaderboard.files import build_files
from importlib import resources
rows = [{"id": str(i), "prompt": "p", "chosen": "a b " * (i + 1), "rejected": "c"} for i in range(5)]
Path("p.jsonl").write_text("".join(json.dumps(r) + "\\n" for r in rows))
(result,) = harness.run("null/longest", ["alignment_resistance"], data=["p.jsonl"], params={"alignment_resistance": {"draws": "10"}})
spec = resources.files("harness.leaderboards").joinpath("alignment_tension.yaml")
files = build_files(Path(str(spec)), Path("results"), Path("board"))
print(result.record.status, len(files))
"""
    assert run(installed, code, tmp_path).split() == ["success", "4"]
