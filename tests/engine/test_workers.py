"""Everything runs in one Ray of two CPUs and one (pretended) GPU, which other processes join by its address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from operator import attrgetter, methodcaller
from pathlib import Path

import numpy as np
import pytest

from harness.condition import Ablation, Condition
from harness.config import LoadOptions
from harness.engine.engine import Engine, Job
from harness.engine.ray_session import SESSION
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.engine.work import Work
from harness.engine.workers import IN_FLIGHT, RESTARTS, RayPool, here, pool_opener
from harness.errors import HarnessError, InputError
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.reading import Reading
from harness.score import score_file
from harness.testing.tiny import tiny_model
from tests.conftest import ROOT
from tests.engine.fakes import Counting, resolved, unit
from tests.engine.scripted import logged, scripted, see, tell_threads, works

pytest.importorskip("ray", reason="Ray is an extra: pip install 'reward-harness[ray]'")
import ray
from ray.cluster_utils import Cluster

WORDS = ["bake", "bread", "at", "home", "mix", "flour", "water", "yeast", "and", "salt", "hello", "no", "yes", "rain"]
UNITS = [unit(" ".join(np.random.default_rng(i).choice(WORDS, 1 + (7 * i) % 45)), item=str(i)) for i in range(40)]
TEXTS = [f"{i:02d}" for i in range(24)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """The Ray that all tests share; its workers find the tests' own modules."""
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.pop("RAY_ADDRESS", None)
    soon = {"health_check_period_ms": 500}  # how often machines are asked whether they are up: 3 s otherwise
    head = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "_system_config": soon}
    machines = Cluster(True, head_node_args=head)
    ray.init(machines.address, log_to_driver=False, logging_level="ERROR")
    yield machines
    ray.shutdown()
    machines.shutdown()
    os.environ.clear()
    os.environ.update(before)


def asked(texts) -> list[Job]:
    return [Job(unit(t, item=t)) for t in texts]


def values(engine: Engine, jobs) -> np.ndarray:
    return np.array([engine.outputs(job).outputs[0] for job in jobs])


# --- the same numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "template"), [("llama", "tokenizer"), ("bert", {"pair": "plain"})])
def test_scores_captures_conditions_and_sums_are_those_of_the_local_engine(tmp_path, family, template):
    model = resolve(ModelSpec(model=str(tiny_model(tmp_path / "m", family)), template=template))
    zeroed = Condition("ablate/x", (Ablation(np.array([0, 1]), np.array([3, 4]), np.zeros(2)),))
    jobs = [Job(u, condition=c, capture="head_input") for u in UNITS for c in (Condition("none"), zeroed)]
    engines = [
        Engine(model, ScoreStore(tmp_path / f"{n}.sqlite"), budget=200, open_pool=pool_opener(n)) for n in (1, 2)
    ]
    found = []
    for engine in engines:
        engine.ensure(jobs)
        sums = engine.accumulate(UNITS, [1.0] * len(UNITS), Reading(skip=2))
        found.append([values(engine, jobs), np.stack([engine.captured(j) for j in jobs]), *map(sums.get, sorted(sums))])
    try:
        for local, remote in zip(*found, strict=True):
            assert np.abs(local - remote).max() <= 1e-6 * max(1, np.abs(local).max())
        assert found[0][0].std() > 0.01
        pool = engines[1].pool
        assert pool.traits == engines[0].pool.traits
        assert pool._settle(pool._send(0, tell_threads)) == (1, 1, "1")  # two workers on two CPUs
        again = Engine(model, engines[1].store)
        again.ensure(jobs)
        assert again.timing.load == 0  # same keys in the same store
    finally:
        engines[1].close()


def test_out_of_memory_is_halved_inside_the_worker(tmp_path):
    engine = Engine(resolved(Counting(most=5)), ScoreStore(tmp_path / "s"), budget=1000, open_pool=pool_opener(2))
    jobs = asked(["a", "bb", "ccc", "dddd"])
    engine.ensure(jobs)
    assert values(engine, jobs) == pytest.approx([0.97, 1.96, 2.97, 4.0])
    with pytest.raises(HarnessError, match="--max-length"):
        engine.ensure(asked(["eeeeee"]))
    engine.close()


# --- one pool and what can happen to it -------------------------------------------------------------


def test_what_the_model_raises_comes_out_as_it_is_and_the_pool_goes_on(tmp_path):
    pool = RayPool(scripted(tmp_path / "a"), 1)
    engine = Engine(scripted(tmp_path / "a"), ScoreStore(tmp_path / "s"), open_pool=lambda _: pool)
    with pytest.raises(InputError, match=r"^bad text: write another$") as bad:
        engine.ensure(asked(["bad"]))
    assert type(bad.value) is InputError
    assert "forward" in str(bad.value.__cause__)  # the worker's trace
    with pytest.raises(ValueError, match=r"^a bug$") as bug:
        list(pool.map(works([*TEXTS, "bug"])))
    assert type(bug.value) is ValueError
    assert [f.outputs[0, 0] for _, f, _ in pool.map(works(["7"]))] == [7]
    assert pool._settle(pool._send(0, see("OMP_NUM_THREADS"))) == "2"  # all CPUs are the only worker's
    pool.close()


def test_works_come_back_as_the_same_objects_and_are_taken_only_when_there_is_room(tmp_path):
    pool = RayPool(scripted(tmp_path / "a"), 2)
    given, taken = works(TEXTS), []
    answers = pool.map(taken.append(w) or w for w in given)
    first, found, seconds = next(answers)
    assert len(taken) <= 2 * IN_FLIGHT
    assert seconds >= 0
    assert found.outputs.tolist() == [[float(first.texts[0].ids.tobytes())]]
    assert found.outputs.flags.writeable
    answers.close()
    assert len(taken) <= 2 * IN_FLIGHT
    done = [w for w, _, _ in pool.map(given)]  # nothing that was under way before is among them
    assert sorted(map(id, done)) == sorted(map(id, given))
    assert [f.outputs[0, 0] for w, f, _ in pool.map(given[:1])] == [0]
    assert list(pool.map([])) == []
    waiting = [pool._send(i, methodcaller("answer", w)) for i, w in enumerate(works(["wait", "wait"]))]
    assert [len(e) for e in pool.encode([(j.unit, None) for j in asked(["a", "bb", "ccc"])])] == [1, 2, 3]
    (tmp_path / "a" / "go").touch()
    assert [pool._settle(sent)[0].outputs.tolist() for sent in waiting] == [[[-1]], [[-1]]]
    pool.close()


def test_a_worker_that_dies_is_replaced_and_nothing_that_was_stored_is_done_again(tmp_path):
    engine = Engine(scripted(tmp_path / "a"), ScoreStore(tmp_path / "s"), budget=2, open_pool=pool_opener(2))
    answered: list[Work] = []
    inner = engine.pool.map

    def watched(given):
        for work, found, seconds in inner(given):
            answered.append(work)
            yield work, found, seconds

    engine.pool.map = watched  # type: ignore[method-assign]
    jobs = asked([*TEXTS, "kill"])
    engine.ensure(jobs)
    assert (tmp_path / "a" / "killed").exists()
    assert values(engine, jobs).tolist() == [*map(float, TEXTS), -1]
    assert len(answered) == len(set(map(id, answered))) == len(jobs)
    assert logged(tmp_path / "a") == Counter([*TEXTS, "kill"])
    engine.close()


def test_workers_killed_from_outside_lose_only_what_was_under_way(tmp_path):
    pool = RayPool(scripted(tmp_path / "a"), 2)
    starts, start = [], pool._start
    pool._start = lambda place: starts.append(place) or start(place)  # type: ignore[method-assign]
    answers = pool.map(works(TEXTS))
    seen = [next(answers)[0].texts[0].ids.tobytes().decode() for _ in range(6)]
    for seat in pool._seats:
        ray.kill(seat.actor)
    seen += [w.texts[0].ids.tobytes().decode() for w, _, _ in answers]
    assert sorted(seen) == TEXTS
    times = logged(tmp_path / "a")
    assert all(times[t] == 1 for t in seen[:6])
    assert sum(times.values()) <= len(TEXTS) + 2 * IN_FLIGHT
    assert [seat.restarts for seat in pool._seats] == [0, 0]
    starts.clear()
    lost = [pool._send(0, methodcaller("answer", w)) for w in works(["wait", "wait"])]
    ray.kill(pool._seats[0].actor)
    (tmp_path / "a" / "go").touch()
    assert [pool._settle(sent)[0].outputs.tolist() for sent in lost] == [[[-1]], [[-1]]]
    assert len(starts) == 1  # one a death, not one a work that was lost with it
    ray.kill(pool._seats[1].actor)
    assert [len(e) for e in pool.encode([(j.unit, None) for j in asked(["a", "bb", "ccc"])])] == [1, 2, 3]
    pool.close()


def test_one_worker_dying_after_the_other_is_an_error_with_the_cure(tmp_path):
    pool = RayPool(scripted(tmp_path / "a"), 1)
    with pytest.raises(HarnessError, match=r"4 workers died .*fewer --workers"):
        list(pool.map(works([*TEXTS[:6], "poison"])))
    assert logged(tmp_path / "a") == Counter(TEXTS[:6])
    assert RESTARTS == 3
    pool.close()


def test_a_model_that_cannot_be_loaded_says_why_and_leaves_no_pool(tmp_path):
    with pytest.raises(InputError, match=r"^no head: use another checkpoint$"):
        RayPool(scripted(tmp_path / "a", "local/broken"), 1)
    assert SESSION.awake == []
    assert ray.is_initialized()


# --- several pools ----------------------------------------------------------------------------------


def test_the_members_of_a_family_take_turns_on_few_cpus(tmp_path):
    models = [scripted(tmp_path / name, f"local/{name}") for name in "ab"]
    store = ScoreStore(tmp_path / "s")
    engines = [Engine(m, store, open_pool=pool_opener(2)) for m in models]
    pools = [e.pool for e in engines]
    for round_ in range(3):
        for engine in engines:
            engine.ensure(asked(TEXTS[8 * round_ : 8 * round_ + 8]))
    for engine, folder in zip(engines, "ab", strict=True):
        assert values(engine, asked(TEXTS)).tolist() == list(map(float, TEXTS))
        assert logged(tmp_path / folder) == Counter(TEXTS)
    assert all(p._seats for p in pools)  # type: ignore[attr-defined]
    for engine in engines:
        engine.close()
    assert ray.is_initialized()  # it was there before the pools


def test_two_models_on_one_gpu_take_turns(tmp_path):
    pools = [RayPool(scripted(tmp_path / name, device="cuda"), 1) for name in "ab"]
    assert [bool(p._seats) for p in pools] == [False, True]
    for texts in (TEXTS[:4], TEXTS[4:8]):
        for pool in pools:
            assert sorted(f.outputs[0, 0] for _, f, _ in pool.map(works(texts))) == list(map(float, texts))
            assert sum(bool(p._seats) for p in pools) == 1
    assert pools[1]._settle(pools[1]._send(0, see("CUDA_VISIBLE_DEVICES"))) == "0"
    for pool in pools:
        pool.close()


def test_workers_are_spread_over_machines_and_survive_the_loss_of_one(tmp_path, cluster):
    def where(replica: Replica) -> str:
        return ray.get_runtime_context().get_node_id()

    head, other = ray.get_runtime_context().get_node_id(), cluster.add_node(num_cpus=4)
    pool = RayPool(scripted(tmp_path / "a"), 3)
    assert Counter(pool._settle(pool._send(i, where)) for i in range(3)) == {head: 1, other.node_id: 2}
    assert sorted(s.place.threads for s in pool._seats) == [2, 2, 2]
    answers = pool.map(works(TEXTS))
    seen = [next(answers)[0] for _ in range(3)]
    cluster.remove_node(other, allow_graceful=False)
    late = time.monotonic() + 60
    while {pool._settle(pool._send(i, where)) for i in range(3)} != {head}:  # its processes outlive it for a while
        assert time.monotonic() < late
        time.sleep(0.2)
    seen += [work for work, _, _ in answers]
    assert sorted(w.texts[0].ids.tobytes().decode() for w in seen) == TEXTS
    pool.close()


# --- what is sent, and what cannot be ---------------------------------------------------------------


PLUGIN_TEXT = """
import os
import numpy as np
import ray
from pathlib import Path
from harness.models.base import ADAPTERS, Adapter, Encoded, Forwarded

OFFSET = 100.0
LOG = {log!r}

def score(text):
    return [text.ids.sum() / 100 + OFFSET]

@ADAPTERS.register("shifted")
class Shifted(Adapter):
    @classmethod
    def load(cls, resolved):
        if ray.is_initialized():
            with Path(LOG).open("a") as log:
                log.write(ray.get_runtime_context().get_node_id() + "\\n")
        return cls()

    def encode(self, units):
        return [Encoded(np.frombuffer(u.conversation[-1].content.encode(), np.uint8)) for u in units]

    def forward(self, batch, capture=frozenset()):
        if not Path(LOG + ".killed").exists():
            Path(LOG + ".killed").touch()
            os._exit(1)
        return Forwarded(np.array([score(text) for text in batch], np.float32))
"""


@pytest.fixture
def plugin(tmp_path):
    """A plugin file with an adapter that once dies, and the log where it writes on which machine it was loaded."""
    file, log = tmp_path / "my_plugin.py", tmp_path / "loaded"
    file.write_text(PLUGIN_TEXT.format(log=str(log)))
    return file, log


def pairs(path: Path) -> Path:
    lines = [
        {"prompt": "hello", "chosen": a.conversation[-1].content, "rejected": b.conversation[-1].content}
        for a, b in zip(UNITS[::2], UNITS[1::2], strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def scores(path: Path) -> np.ndarray:
    lines = map(json.loads, path.read_text().splitlines())
    return np.array([[line["chosen_score"], line["rejected_score"]] for line in lines])


def command(folder: Path, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in another process, without this one's paths."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RAY_ADDRESS")}
    return subprocess.run(
        [sys.executable, "-c", "from harness.cli.main import run; run()", *map(str, args)],
        cwd=folder,
        env=kept | {"REWARD_HARNESS_STORE": str(folder / "store.sqlite")} | environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


def said(ran: subprocess.CompletedProcess[str]) -> tuple[int, str, list[str]]:
    """Exit code, output, and what stands on standard error besides the progress."""
    return ran.returncode, ran.stdout, [line for line in ran.stderr.splitlines() if " texts " not in line]


def test_a_plugins_adapter_survives_a_death_on_a_cluster_named_by_its_address(tmp_path, plugin, cluster):
    file, log = plugin
    model = tiny_model(tmp_path / "m", "bert")
    (model / "reward_model.yaml").write_text("model: m\nadapter: shifted\n")
    source, target = pairs(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    args = ["score", "-m", model, "-i", source, "-o", target, "--plugin", file, "--workers", 2]
    ran = command(tmp_path, *args, RAY_ADDRESS=cluster.address)
    assert said(ran) == (0, f"{target}: 20 lines, 0 without a score\n", [])
    loaded = log.read_text().split()
    assert set(loaded) == {ray.get_runtime_context().get_node_id()}
    assert len(loaded) in (3, 4)  # both may have died at once
    expected = [sum(u.conversation[-1].content.encode()) / 100 + 100 for u in UNITS]
    assert scores(target).ravel() == pytest.approx(expected)
    assert ray.nodes()[0]["Alive"]


def test_the_command_starts_and_ends_a_ray_of_its_own(tmp_path):
    source, target = pairs(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    args = ["score", "-m", "null/longest", "-i", source, "-o", target, "--workers", 2]
    before = sessions()
    ran = command(tmp_path, *args)
    assert said(ran) == (0, f"{target}: 20 lines, 0 without a score\n", [])
    assert scores(target)[0].tolist() == [len(u.conversation[-1].content.split()) for u in UNITS[:2]]
    assert sessions() == before


def sessions() -> int:
    """Ray servers that run on this machine."""
    import psutil

    return sum("gcs_server" in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))


def test_an_adapter_object_goes_to_the_workers_if_it_pickles(tmp_path):
    source = pairs(tmp_path / "in.jsonl")
    adapter = Counting()
    options = LoadOptions(workers=2)
    score_file(adapter, source, tmp_path / "out.jsonl", options=options, store=tmp_path / "s")
    assert adapter.batches == []  # the workers' copies were asked
    assert scores(tmp_path / "out.jsonl")[0, 0] == pytest.approx(sum(UNITS[0].conversation[-1].content.encode()) / 100)
    adapter.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"cannot be sent to workers .*lock.*--workers 1"):
        score_file(adapter, source, tmp_path / "out.jsonl", options=options, store=tmp_path / "t")


@pytest.mark.parametrize(
    ("workers", "device", "said"),
    [(0, "cpu", "--workers 0"), (2, "cuda:1", "use --device cuda"), (2, "cuda", "has 1; use --workers 1")],
)
def test_wrong_requests_are_refused_before_anything_starts(tmp_path, workers, device, said):
    with pytest.raises(InputError, match=said):
        pool_opener(workers)(scripted(tmp_path, device=device))


def test_one_worker_is_this_process(tmp_path):
    assert pool_opener(1) == Replica.load


def test_a_machine_without_the_model_says_where_it_belongs(tmp_path):
    with pytest.raises(InputError, match="under the same path"):
        here(scripted(tmp_path, path=tmp_path / "absent"))
    assert attrgetter("device", "path")(here(scripted(tmp_path, device="cuda", path=tmp_path))) == ("cuda", tmp_path)
