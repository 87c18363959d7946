from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.llm.ask import MODES, Ask, Reply, Turn, Usage
from harness.llm.cache import ReplyCache, default_path, endpoint_name, key, place, question
from harness.llm.endpoint import Endpoint

ENDPOINT = Endpoint(model="m", base_url="http://localhost:8000/v1")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
ASK = Ask("a", (Turn("system", "s"), Turn("user", "u")), schema=SCHEMA)
KNOWN = "f9902229531ebbbf53851552292e215a7db45da33db6242370bb5289adaec3ed"
REPLY = Reply("a", "text", None, None, Usage(10, 5), 0.5, "fp", "json_schema")


@pytest.mark.parametrize(
    ("endpoint", "ask"),
    [
        ({"model": "other"}, {}),
        ({"base_url": "http://localhost:8001/v1"}, {}),
        ({"base_url": None}, {}),
        ({"temperature": 0.5}, {}),
        ({"seed": 1}, {}),
        ({"seed": None}, {}),
        ({"max_tokens": 7}, {}),
        ({}, {"max_tokens": 7}),
        ({}, {"turns": (Turn("system", "s"), Turn("user", "v"))}),
        ({}, {"turns": (Turn("user", "s"), Turn("user", "u"))}),
        ({}, {"turns": (Turn("system", "su"), Turn("user", ""))}),
        ({}, {"turns": (Turn("system", "s"), Turn("user", "u\ud83d"))}),
        ({}, {"schema": None}),
        ({}, {"schema": {"type": "object"}}),
        ({}, {"schema": SCHEMA | {"properties": dict(reversed(SCHEMA["properties"].items()))}}),
        ({}, {"schema_name": "other"}),
        ({}, {"repeat": 1}),
    ],
)
def test_a_key_tells_apart_what_decides_a_reply(endpoint, ask):
    changed = ENDPOINT.model_copy(update=endpoint), replace(ASK, **ask)
    assert key(*changed, "text") != key(ENDPOINT, ASK, "text")
    assert question(*changed) != question(ENDPOINT, ASK)


def test_a_key_tells_the_modes_apart():
    assert len({key(ENDPOINT, ASK, mode) for mode in MODES}) == 3


@pytest.mark.parametrize(
    ("endpoint", "ask"),
    [
        ({"api_key_env": "OTHER"}, {}),
        ({"structured": "text"}, {}),
        ({"timeout_s": 1.0, "max_retries": 1, "concurrency": 1}, {}),
        ({"requests_per_minute": 1.0, "tokens_per_minute": 1.0}, {}),
        ({"price_in": 1.0, "price_out": 1.0, "batch_factor": 1.0}, {}),
        ({"base_url": "http://user:word@LOCALHOST:8000/v1/?token=x"}, {}),
        ({}, {"id": "b"}),
        ({}, {"max_tokens": ENDPOINT.max_tokens}),
    ],
)
def test_a_key_forgets_what_decides_nothing(endpoint, ask):
    changed = ENDPOINT.model_copy(update=endpoint), replace(ASK, **ask)
    assert key(*changed, "text") == key(ENDPOINT, ASK, "text")


def test_a_key_does_not_change_between_versions():
    assert key(ENDPOINT, ASK, "json_schema") == KNOWN


def test_a_place_has_no_secret():
    assert place(ENDPOINT.model_copy(update={"base_url": "https://u:p@Host.org/v1/?k=1"})) == "https://host.org/v1"
    assert endpoint_name(Endpoint(model="m")) == "m at openai"


def test_what_is_put_comes_back_in_another_process_as_cached_and_the_first_stays(cache):
    cache.put("k", REPLY)
    cache.put("k", replace(REPLY, text="another"))
    found = ReplyCache(cache.path).get(["k", "absent"])
    assert found == {"k": replace(REPLY, id="", cached=True)}


@pytest.mark.parametrize("failure", ["refused", "empty", "cut", "filtered", "rejected"])
def test_a_failure_that_would_come_again_is_stored(cache, failure):
    cache.put("k", Reply("a", None, failure, "why"))
    assert cache.get(["k"]) == {"k": Reply("", None, failure, "why", cached=True)}


@pytest.mark.parametrize("failure", ["unreachable", "expired", "not_asked"])
def test_a_failure_that_may_pass_is_not(cache, failure):
    cache.put("k", Reply("a", None, failure, "why"))
    assert cache.get(["k"]) == {}


def test_more_keys_than_a_statement_takes(cache):
    keys = [f"k{i}" for i in range(2000)]
    for of in keys[::2]:
        cache.put(of, replace(REPLY, text=of))
    assert {of: reply.text for of, reply in cache.get(keys).items()} == {of: of for of in keys[::2]}


def test_replies_are_found_by_id_in_any_mode_that_counts_the_remembered_one_first(cache):
    cache.put(key(ENDPOINT, ASK, "text"), replace(REPLY, mode="text"))
    same = replace(ASK, id="b")
    assert {i: (r.id, r.mode) for i, r in cache.find(ENDPOINT, [ASK, same]).items()} == {
        "a": ("a", "text"),
        "b": ("b", "text"),
    }
    cache.put(key(ENDPOINT, ASK, "json_object"), replace(REPLY, mode="json_object"))
    assert cache.find(ENDPOINT, [ASK])["a"].mode == "json_object"
    cache.remember_mode(ENDPOINT, "text")
    assert cache.find(ENDPOINT, [ASK])["a"].mode == "text"
    fixed = ENDPOINT.model_copy(update={"structured": "json_schema"})
    assert cache.find(fixed, [ASK]) == {}


def test_modes_are_remembered_by_model_and_place(cache):
    other = ENDPOINT.model_copy(update={"model": "other"})
    assert cache.mode(ENDPOINT) is None
    cache.remember_mode(ENDPOINT, "json_schema")
    cache.remember_mode(ENDPOINT, "json_object")
    assert ReplyCache(cache.path).mode(ENDPOINT) == "json_object"
    assert cache.mode(other) is None


def test_batches_stay_open_until_they_are_closed(cache):
    other = ENDPOINT.model_copy(update={"model": "other"})
    cache.save_batch("b1", ENDPOINT, {"c1": "k1", "c2": "k2"})
    cache.save_batch("b2", ENDPOINT, {"c3": "k3"})
    cache.save_batch("b3", other, {"c4": "k4"})
    assert ReplyCache(cache.path).open_batches(ENDPOINT) == {"b1": {"c1": "k1", "c2": "k2"}, "b2": {"c3": "k3"}}
    cache.close_batch("b1")
    assert cache.open_batches(ENDPOINT) == {"b2": {"c3": "k3"}}


def test_the_path_is_the_variables_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("REWARD_HARNESS_LLM_CACHE", str(tmp_path / "x" / "r.sqlite"))
    assert ReplyCache().path == tmp_path / "x" / "r.sqlite"
    monkeypatch.delenv("REWARD_HARNESS_LLM_CACHE")
    assert default_path().name == "replies.sqlite"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="REWARD_HARNESS_LLM_CACHE"):
        ReplyCache(tmp_path / "file" / "r.sqlite")


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from harness.llm.ask import Reply
    from harness.llm.cache import ReplyCache
    cache = ReplyCache(Path(sys.argv[1]))
    for i in range(int(sys.argv[3])):
        cache.put(f"{sys.argv[2]}{i}", Reply("", str(i)))
        print(i, flush=True)
""")


def writer(path: Path, name: str, n: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once_and_lose_nothing(cache):
    jobs = [writer(cache.path, name, 200) for name in "ab"]
    assert [job.communicate() and job.returncode for job in jobs] == [0, 0]
    assert len(cache.get([f"{name}{i}" for name in "ab" for i in range(200)])) == 400


def test_a_reader_waits_for_no_writer(cache):
    cache.put("k", REPLY)
    other = ReplyCache(cache.path)
    other._db.execute("BEGIN EXCLUSIVE")
    assert list(cache.get(["k"])) == ["k"]
    other._db.execute("ROLLBACK")


def test_a_killed_writer_leaves_all_that_it_said_it_had_put(cache):
    with writer(cache.path, "a", 1_000_000) as job:
        said = [job.stdout.readline() for _ in range(50)]
        job.kill()
    found = cache.get([f"a{int(line)}" for line in said])
    assert [found[f"a{int(line)}"].text for line in said] == [line.strip() for line in said]
