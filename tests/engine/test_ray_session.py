from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from harness.engine import ray_session
from harness.engine.ray_session import Session, import_ray, on_cpus, on_gpus
from harness.errors import HarnessError, InputError


def node(name: str, cpus: float, gpus: float = 0, alive: bool = True):
    resources = {"CPU": cpus, "memory": 1e9} | ({"GPU": gpus} if gpus else {})
    return {"NodeID": name * 56, "Alive": alive, "Resources": resources}


class FakeRay:
    """What a session asks of Ray, kept in a list."""

    def __init__(self, nodes, initialized=False, broken=None):
        self.machines, self.up, self.broken = nodes, initialized, broken
        self.joined, self.shut = [], 0

    def is_initialized(self):
        return self.up

    def init(self, **options):
        if self.broken:
            raise self.broken
        self.joined.append(options)
        self.up = True

    def shutdown(self):
        self.up = False
        self.shut += 1

    def nodes(self):
        return self.machines


class FakePool:
    def __init__(self, session, backend="cpu", n=2):
        self.session, self.n, self.resolved = session, n, SimpleNamespace(backend=backend)
        self.slept = 0

    def sleep(self):
        self.slept += 1
        self.session.awake.remove(self)

    def close(self):
        self.sleep()
        self.session.leave()


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    def make(nodes, **more):
        ray = FakeRay(nodes, **more)
        monkeypatch.setattr(ray_session, "import_ray", lambda: ray)
        return ray, Session()

    return make


# --- where workers go -------------------------------------------------------------------------------


def share(places):
    """(node letter, threads) of each worker, in order; nothing is reserved."""
    assert all(p.options["num_cpus"] == 0 for p in places)
    return sorted((p.options["scheduling_strategy"].node_id[0], p.threads) for p in places)


def test_workers_of_one_machine_divide_its_cpus_and_never_get_less_than_one():
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'reward-harness[ray]'")
    assert share(on_cpus([node("a", 8)], 2)) == [("a", 4), ("a", 4)]
    assert share(on_cpus([node("a", 8)], 3)) == [("a", 2)] * 3
    assert share(on_cpus([node("a", 2)], 5)) == [("a", 1)] * 5


def test_workers_go_where_most_cpus_are_left_for_each():
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'reward-harness[ray]'")
    machines = [node("a", 4), node("b", 16), node("c", 0)]
    assert share(on_cpus(machines, 1)) == [("b", 16)]
    assert share(on_cpus(machines, 3)) == [("b", 5)] * 3  # a fourth of "b" is as much as all of "a"
    assert share(on_cpus(machines, 5)) == [("a", 4), *[("b", 4)] * 4]


def test_every_worker_takes_a_whole_gpu_and_a_share_of_its_machines_cpus():
    machines = [node("a", 64, 8), node("b", 12, 2), node("c", 128)]
    assert [(p.options, p.threads) for p in on_gpus(machines, 2)] == [({"num_cpus": 0, "num_gpus": 1}, 6)] * 2
    assert len(on_gpus(machines, 10)) == 10
    assert on_gpus([node("a", 1, 4)], 4)[0].threads == 1


@pytest.mark.parametrize(("gpus", "cure"), [(2, "--workers 2"), (0, "--device cpu")])
def test_too_few_gpus_are_an_error_at_once_and_not_a_wait(gpus, cure):
    with pytest.raises(InputError, match=f"has {gpus}; use {cure}"):
        on_gpus([node("a", 8, gpus)], 3)


# --- which Ray --------------------------------------------------------------------------------------


def test_ray_is_started_by_the_first_pool_and_shut_down_after_the_last(fake):
    ray, session = fake([node("a", 4, 4)])
    pools = [FakePool(session, "cuda") for _ in range(2)]
    for pool in pools:
        session.enter(pool)
    assert [j["address"] for j in ray.joined] == ["local"]
    pools[0].close()
    assert (ray.up, ray.shut) == (True, 0)
    pools[1].close()
    assert (ray.up, ray.shut) == (False, 1)
    session.leave()
    assert ray.shut == 1


def test_the_ray_that_runs_in_this_process_is_used_and_left_alone(fake):
    ray, session = fake([node("a", 4, 2)], initialized=True)
    pool = FakePool(session, "cuda")
    session.enter(pool)
    pool.close()
    assert (ray.joined, ray.shut) == ([], 0)


def test_a_cluster_is_joined_by_its_address(fake, monkeypatch):
    ray, session = fake([node("a", 4, 2)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        session.enter(FakePool(session, "cuda"))
    assert ray.joined[0]["address"] == address
    assert "include_dashboard" not in ray.joined[0]  # Ray refuses options of a start when it joins


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_never_given_to_ray(fake, monkeypatch, scheme):
    ray, session = fake([node("a", 4)])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = f"{scheme}127.0.0.1:{listening.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(HarnessError, match=rf"RAY_ADDRESS={closed}: start one.*refused"):
        session.enter(FakePool(session))
    assert ray.joined == []


@pytest.mark.parametrize(("address", "cure"), [("auto", "ray start --head"), (None, "--workers 1")])
def test_no_ray_to_work_in_is_one_line_with_the_cure(fake, monkeypatch, address, cure):
    _, session = fake([], broken=ConnectionError("tried\nand failed to connect"))
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(HarnessError, match=rf"{cure}.*\(and failed to connect\)"):
        session.enter(FakePool(session))
    assert not session.ours


def test_without_ray_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'reward-harness\[ray\]'"):
        import_ray()


# --- who may hold the gpus --------------------------------------------------------------------------


def test_pools_share_the_gpus_if_there_are_enough_and_take_turns_if_not(fake):
    _, session = fake([node("a", 8, 4), node("dead", 8, 8, alive=False)])
    first, second, third = (FakePool(session, "cuda") for _ in range(3))
    session.enter(first)
    session.enter(second)
    assert (first.slept, second.slept) == (0, 0)
    session.enter(third)
    assert (first.slept, second.slept) == (1, 1)
    assert session.awake == [third]


def test_pools_on_cpus_live_side_by_side(fake, monkeypatch):
    monkeypatch.setitem(ray_session.PLACES, "cpu", lambda nodes, n: [None] * n)
    _, session = fake([node("a", 2, 1)])
    pools = [FakePool(session) for _ in range(5)] + [FakePool(session, "cuda", 1)]
    for pool in pools:
        session.enter(pool)
    assert session.awake == pools
