from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.testing.tiny import tiny_model

EXE = [sys.executable, "-c", "from harness.cli.main import run; run()"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("REWARD_HARNESS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def write_pairs(path: Path, n: int = 40) -> Path:
    rng = np.random.default_rng(0)
    words = [
        "how",
        "do",
        "i",
        "bake",
        "bread",
        "at",
        "home",
        "mix",
        "flour",
        "water",
        "yeast",
        "and",
        "salt",
        "red",
        "green",
        "spring",
    ]
    rows = []
    for i in range(n):
        prompt, chosen, rejected = (" ".join(rng.choice(words, int(rng.integers(3, 40)))) for _ in range(3))
        rows.append({"id": f"r{i}", "prompt": prompt, "chosen": chosen, "rejected": rejected})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs.jsonl")


RESISTANCE = ("--tasks", "alignment_resistance", "-P", "alignment_resistance.draws=50")


def test_run_show_recompute_validate_compare(cli, pairs, tmp_path):
    folders = []
    for model in ("null/longest", "null/shortest"):
        code, out, err = cli("run", "--model", model, *RESISTANCE, "--data", pairs, "--results", "out")
        assert code == 0, err
        folders.append(re.search(r"written to (.*)", out)[1])
    code, out, _ = cli("run", "--model", "null/longest", *RESISTANCE, "--data", pairs, "--results", "out")
    assert code == 0
    assert "up to date" in out
    assert "resistance" in cli("show", folders[0])[1]
    assert cli("recompute", folders[0])[:2] == (0, cli("recompute", folders[0])[1])
    assert "identical" in cli("recompute", folders[0])[1]
    code, out, err = cli("validate", "out")
    assert (code, out.splitlines()[-1]) == (0, "2 results, 0 findings"), out + err
    code, out, err = cli("compare", *folders)
    assert code == 0, err
    record = json.loads((Path(folders[0]) / "result.json").read_text())
    assert str(tmp_path) not in json.dumps(record)
    assert record["run"]["command"].startswith("reward-harness run --model null/longest")


def test_json_is_the_result(cli, pairs):
    code, out, _ = cli("run", "--model", "null/random", *RESISTANCE, "--data", pairs, "--json")
    (result,) = json.loads(out)
    assert code == 0
    assert result["status"] == "success"
    assert Path(result["folder"], "result.json").exists()


def test_changed_samples_are_noticed(cli, pairs):
    _, out, _ = cli("run", "--model", "null/longest", *RESISTANCE, "--data", pairs)
    folder = Path(re.search(r"written to (.*)", out)[1])
    table = pd.read_parquet(folder / "samples.parquet")
    table.assign(score=-table["score"]).to_parquet(folder / "samples.parquet", index=False)
    code, out, _ = cli("recompute", folder)
    assert (code, "DIFFERENT" in out) == (1, True)
    assert cli("validate", "results")[0] == 1


def test_score_writes_a_line_for_a_line_and_scores_file_reads_it_back(cli, pairs):
    lines = [json.loads(line) for line in pairs.read_text().splitlines()]
    lines.insert(3, {"id": "bad", "prompt": "?", "chosen": "", "rejected": "x"})
    pairs.write_text("".join(json.dumps(x) + "\n" for x in lines))
    code, out, err = cli("score", "--model", "null/longest", "--input", pairs, "--output", "scores.jsonl")
    assert code == 0, err
    scored = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert [s["id"] for s in scored] == [x["id"] for x in lines]
    assert scored[3]["chosen_score"] is None
    assert "empty" in scored[3]["error"]
    assert scored[0]["chosen_score"] == len(lines[0]["chosen"].split())
    results = {}
    for model in ("null/longest", "scores:scores.jsonl"):
        code, out, err = cli("run", "--model", model, *RESISTANCE, "--data", pairs, "--json")
        assert code == 0, err
        results[model] = {(m["name"], str(m["dims"])): m["value"] for m in json.loads(out)[0]["metrics"]}
    assert results["null/longest"] == results["scores:scores.jsonl"]


def test_scores_file_does_not_depend_on_row_order(cli, pairs):
    cli("score", "--model", "null/longest", "--input", pairs, "--output", "a.jsonl")
    lines = Path("a.jsonl").read_text().splitlines()
    Path("b.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    values = []
    for name in ("a", "b"):
        _, out, _ = cli("run", "--model", f"scores:{name}.jsonl", *RESISTANCE, "--data", pairs, "--json")
        values.append([m["value"] for m in json.loads(out)[0]["metrics"]])
    assert values[0] == values[1]


def test_store_info_clear_import(cli, pairs):
    cli("run", "--model", "null/longest", *RESISTANCE, "--data", pairs)
    _, out, _ = cli("store", "info", "--json")
    (row,) = json.loads(out)["models"]
    assert row["model"] == "null/longest"
    before = row["scores"]
    assert f"forgot {before}" in cli("store", "clear")[1]
    assert "took 80 scores from 1 results" in cli("store", "import", "results")[1]


def test_list(cli):
    for kind, name in (
        ("tasks", "alignment_resistance"),
        ("datasets", "hh-rlhf"),
        ("adapters", "sequence-classification"),
        ("models", "null/random"),
    ):
        code, out, _ = cli("list", kind)
        assert code == 0
        assert any(line.startswith(name) for line in out.splitlines())
    assert "broken" not in out


def test_dry_run_scores_a_sample_and_writes_no_result(cli, pairs):
    code, out, _ = cli("run", "--model", "null/longest", *RESISTANCE, "--data", pairs, "--dry-run")
    assert code == 0
    assert "40 items, 80 texts" in out
    assert not Path("results").exists()


def test_a_plugin_adds_a_task_on_the_command_line(cli, pairs):
    Path("mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from harness.task import TASKS, Metric, Score, Task, TaskMeta\n"
        "@TASKS.register('mean_score')\n"
        "class MeanScore(Task):\n"
        "    '''Mean score.'''\n"
        "    meta = TaskMeta('mean_score', '1', 'mean score', ('hh-rlhf',))\n"
        "    @dataclass(frozen=True)\n"
        "    class Params: pass\n"
        "    def steps(self, data, params): yield Score(data.units())\n"
        "    def evaluate(self, table, arrays, params):\n"
        "        return [Metric('mean', table['score'].mean(), 'ratio', main=True)]\n"
    )
    code, out, err = cli(
        "run", "--model", "null/longest", "--tasks", "mean_score", "--plugin", "mine.py", "--data", pairs
    )
    assert code == 0, err
    assert "mean = " in out


BAD = [
    (("run", "--model", "null/longets", *RESISTANCE), 2, "null/longest"),
    (("run", "--model", "null/longest", "--tasks", "alignment_resistence"), 2, "did you mean alignment_resistance"),
    (("run", "--model", "null/longest"), 2, "no task was named"),
    (("run", "--tasks", "alignment_resistance"), 2, "exactly one of --model"),
    (("run", "--model", "null/longest", *RESISTANCE, "-P", "draws=5"), 2, "TASK.PARAM=VALUE"),
    (("run", "--model", "null/longest", *RESISTANCE, "--role", "helpful"), 2, "MEMBER=MODEL"),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "notjson.jsonl"), 2, "line 1"),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "missing.jsonl"), 2, "no column rejected"),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "empty.jsonl"), 2, "empty.jsonl"),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "absent.jsonl"), 2, "absent.jsonl"),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "hh-rlfh"), 2, "hh-rlhf"),
    (("run", "--model", "folder", *RESISTANCE), 2, "folder"),
    (
        ("run", "--model", "null/longest", *RESISTANCE, "--data", "good.jsonl", "--results", "good.jsonl/x"),
        1,
        "cannot write",
    ),
    (("run", "--model", "null/longest", *RESISTANCE, "--data", "good.jsonl", "--store", "good.jsonl/x"), 1, "--store"),
    (("run", "--model", "null/longest", *RESISTANCE, "--plugin", "absent.py"), 2, "absent.py"),
    (("score", "--model", "null/longest", "--input", "good.jsonl", "--output", "good.jsonl/x"), 1, "cannot write"),
    (("recompute", "folder"), 2, "no result"),
    (("show", "folder"), 2, "no result"),
    (("validate", "folder"), 2, "no result.json"),
    (("compare", "folder", "folder"), 2, "no result"),
    (("store", "import", "folder"), 2, "no result.json"),
    (("leaderboard", "build", "absent.yaml"), 2, "absent.yaml"),
]


@pytest.mark.parametrize(("args", "code", "says"), BAD, ids=[" ".join(a)[:70] for a, _, _ in BAD])
def test_bad_input_gets_one_clear_line(cli, args, code, says):
    Path("folder").mkdir()
    Path("notjson.jsonl").write_text("this is not json\n")
    Path("missing.jsonl").write_text('{"prompt": "a", "chosen": "b"}\n')
    Path("empty.jsonl").write_text("")
    write_pairs(Path("good.jsonl"), 3)
    found, _, err = cli(*args)
    assert found == code
    lines = [line for line in err.splitlines() if line.startswith("reward-harness: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in err


def test_a_full_disk_is_one_clear_line_and_loses_no_result(pairs, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    code = f"{limit} from harness.cli.main import run; run()"
    args = ["run", "--model", "null/longest", *RESISTANCE, "--data", str(pairs)]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("reward-harness: ")
    assert "Traceback" not in done.stderr
    assert subprocess.run([*EXE, *args], capture_output=True).returncode == 0


SLOW = """
import time
from harness.models.adapters.sequence_classification import SequenceClassifier
forward = SequenceClassifier.forward
def slow(self, batch, capture=frozenset()):
    time.sleep(0.05)
    return forward(self, batch, capture)
SequenceClassifier.forward = slow
"""


def test_a_killed_run_resumes_with_the_same_rows_and_numbers(tmp_path):
    model = tiny_model(tmp_path / "model", "bert", seed=1)
    (model / "reward_model.yaml").write_text("model: .\nadapter: sequence-classification\ntemplate: {pair: hh}\n")
    pairs, slow = write_pairs(tmp_path / "p.jsonl", 300), tmp_path / "slow.py"
    slow.write_text(SLOW)
    args = ["run", "--model", str(model), *RESISTANCE, "--data", str(pairs), "--plugin", str(slow)]

    def run_with(store: Path, results: str, kill: bool = False) -> None:
        env = os.environ | {"REWARD_HARNESS_STORE": str(store)}
        job = subprocess.Popen(
            [*EXE, *args, "--results", results], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while kill and scored(store) < 100:
            assert job.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        if kill:
            job.send_signal(signal.SIGKILL)
        _, err = job.communicate()
        assert job.returncode == (-9 if kill else 0), err.decode()

    def scored(store: Path) -> int:
        try:
            with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
                return int(db.execute("SELECT COUNT(*) FROM scores").fetchone()[0])
        except sqlite3.Error:
            return 0

    run_with(tmp_path / "killed.sqlite", "killed", kill=True)
    assert 100 <= scored(tmp_path / "killed.sqlite") < 600
    assert not list(Path("killed").rglob("result.json"))
    run_with(tmp_path / "killed.sqlite", "killed")
    run_with(tmp_path / "whole.sqlite", "whole")
    (a,), (b,) = (list(Path(d).rglob("result.json")) for d in ("killed", "whole"))
    resumed, whole = pd.read_parquet(a.parent / "samples.parquet"), pd.read_parquet(b.parent / "samples.parquet")
    exact = [c for c in whole.columns if c not in ("score", "score_raw")]
    pd.testing.assert_frame_equal(resumed[exact], whole[exact])
    assert np.abs(resumed["score"] - whole["score"]).max() < 1e-5
    one, two = json.loads(a.read_text()), json.loads(b.read_text())
    assert one["counts"] == two["counts"]
    assert [m["name"] for m in one["metrics"]] == [m["name"] for m in two["metrics"]]
    for m, n in zip(one["metrics"], two["metrics"], strict=True):
        assert m["value"] == pytest.approx(n["value"], abs=1e-5)
