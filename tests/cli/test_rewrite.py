"""The verb `rewrite` against a server on loopback, and `run --rewrites` on its file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.datasets import load
from harness.llm.styles import STYLES
from harness.preference import units
from harness.rewrites import read_rewrites
from tests.llm.rewriting import reply, said
from tests.llm.server import answer, cut_body, dropped, hung_up, refusal, script, serving, status

KEY = "sk-very-secret"
N = 30
WORDS = {"in other words": "!", "more formal": "+", "more informal": "-", "two thirds": "<", "one and a half": ">"}
FAULTS = [
    status(429, headers={"Retry-After": "0.01"}),
    status(500),
    dropped(),
    hung_up(),
    cut_body(),
    answer('{"rewritten": "half'),
    answer("In other words."),
    answer(f"{said('one')} or {said('two')}"),
]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REWARD_HARNESS_LLM_CACHE", str(tmp_path / "replies.sqlite"))
    monkeypatch.setenv("REWRITE_KEY", KEY)
    monkeypatch.setattr(STYLES, "_objects", dict(STYLES._objects))
    rows = [
        {"id": f"r{i}", "prompt": f"question {i}?", "chosen": f"a good reply, number {i}", "rejected": f"a bad reply, number {i}"}
        for i in range(N)
    ]  # fmt: skip
    Path("pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def endpoint(server, name="first.yaml", **changes) -> str:
    given = {"model": "m", "base_url": server.url, "api_key_env": "REWRITE_KEY", "max_retries": 0, "timeout_s": 5}
    given |= {"price_in": 1.0, "price_out": 2.0} | changes
    Path(name).write_text(json.dumps({k: v for k, v in given.items() if v is not None}))
    return name


def rewrite(cli, *more):
    return cli("rewrite", "--data", "pairs.jsonl", "--endpoint", "first.yaml", "--out", "r.jsonl", *more)


def user(seen) -> str:
    return seen.body["messages"][1]["content"]


def rewording(seen) -> str:
    """A mark at the end by what was asked, as often as the seed says; the judge finds no meaning in `bad`."""
    if "first reply" in user(seen):
        return json.dumps({"same": "no" if "a bad reply" in user(seen) else "yes"})
    system = seen.body["messages"][0]["content"]
    mark = next(mark for words, mark in WORDS.items() if words in system)
    return said(reply(user(seen)) + mark * (1 + seen.body["seed"]))


REWRITE = answer(rewording)


def rows():
    return read_rewrites(Path("r.jsonl")).rows


def test_every_reply_is_rewritten_in_every_kind_and_sample_and_run_reads_the_file(cli):
    n = 8
    with serving(REWRITE) as server:
        endpoint(server, temperature=0.7)
        code, out, err = rewrite(cli, "--kinds", "paraphrase,style:formal", "--max-pairs", n)
        assert code == 0, err
        assert len(server.bodies) == 2 * n * 5 * 2
        assert {body["temperature"] for body in server.bodies} == {0.7}
    found = read_rewrites(Path("r.jsonl"))
    assert len(found.rows) == 2 * n * 5 * 2
    ends = {"paraphrase": "!", "style:formal:up": "+", "style:formal:down": "-", "style:formal:up:down": "+-", "style:formal:down:up": "-+"}  # fmt: skip
    taken = [u for u in units(load(["pairs.jsonl"]).items) if found.of(u, ("paraphrase", 0))]
    assert len(taken) == 2 * n
    for unit in taken:
        for kind, marks in ends.items():
            for sample in (0, 1):
                row = found.of(unit, (kind, sample))
                end = "".join(mark * (1 + sample) for mark in marks)
                assert row.rewritten == unit.conversation[-1].content + end
                assert (row.rewriter, row.problems) == ("m", ())
    assert f"r.jsonl: {2 * n * 10} of {2 * n * 10} rewritten\n" in out
    assert f"style:formal:up:down, rejected: {2 * n} of {2 * n} valid\n" in out
    assert f"m at {server.url}: {2 * n * 10} requests (0 replies are cached), 1,600 tokens in and 800 out" in out
    assert KEY not in Path("r.jsonl").read_text() + out + err
    task = "rewrite_robustness"
    few = ("-P", f"{task}.draws=50", "-P", f"{task}.transforms=quoted", "-P", f"{task}.max_pairs={n}")
    given = ("--tasks", task, *few, "--data", "pairs.jsonl", "--rewrites", "r.jsonl", "--json")
    code, out, err = cli("run", "--model", "null/longest", *given)
    assert code == 0, err
    used = json.loads(out)[0]["task"]["rewrites"]
    assert (used["n_texts"], used["n_failed"], used["kinds"]) == (2 * n, 0, sorted(ends))


def test_a_second_run_sends_nothing_and_writes_the_same_bytes(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        assert rewrite(cli, "--kinds", "style:short")[0] == 0
        asked, first = len(server.bodies), Path("r.jsonl").read_bytes()
        assert asked == 2 * N * 4
        lines = Path("pairs.jsonl").read_text().splitlines(keepends=True)
        Path("pairs.jsonl").write_text("".join(lines[::-1]))
        code, out, _ = rewrite(cli, "--kinds", "style:short")
        assert (code, len(server.bodies), Path("r.jsonl").read_bytes()) == (0, asked, first)
        assert f"0 requests ({asked} replies are cached)" in out
    assert rewrite(cli, "--kinds", "style:short", "--replay")[0] == 0
    assert Path("r.jsonl").read_bytes() == first


def test_faults_on_the_way_change_nothing_in_the_file(cli):
    tried = set()

    def choose(seen):
        question = json.dumps(seen.body["messages"])
        again = question in tried or len(seen.body["messages"]) > 2
        tried.add(question)
        number = int(re.search(r"question (\d+)", user(seen))[1])
        return REWRITE if again else FAULTS[number % len(FAULTS)]

    with serving(script(choose)) as server:
        endpoint(server, max_retries=3)
        code, _, err = rewrite(cli, "--kinds", "style:formal", "--max-pairs", 12)
        assert code == 0, err
        faulty = Path("r.jsonl").read_bytes()
        assert len(server.bodies) == 2 * 2 * 12 * 4
    with serving(REWRITE) as server:
        endpoint(server)
        assert rewrite(cli, "--kinds", "style:formal", "--max-pairs", 12, "--cache", "another.sqlite")[0] == 0
    assert Path("another.sqlite").exists()
    assert Path("r.jsonl").read_bytes() == faulty


def test_problems_are_tabulated_by_kind_and_side_and_what_failed_by_reason(cli):
    def choose(seen):
        text = reply(user(seen))
        if "good reply, number 1" in text:
            return answer(said("I'm sorry, but I can't help."))
        return refusal("I cannot rewrite that.") if text.endswith("bad reply, number 3") else REWRITE

    with serving(script(choose)) as server:
        endpoint(server)
        code, out, err = rewrite(cli)
        assert code == 0, err
        assert f"r.jsonl: {2 * N - 1} of {2 * N} rewritten\n  refused: 1, such as: " in out
        assert f"paraphrase, chosen: {N - 11} of {N} valid; digits 11, negations 11, refused 11\n" in out
        assert f"paraphrase, rejected: {N - 1} of {N} valid; refused 1\n" in out
        code, out, _ = rewrite(cli, "--json")
    found = json.loads(out)
    assert (found["rewritten"], found["failed"], found["unjudged"]) == (2 * N - 1, {"refused": 1}, None)
    assert "I cannot rewrite that." in found["words"]["refused"]
    chosen, rejected = found["tallies"]
    assert chosen == {"kind": "paraphrase", "side": "chosen", "n": N, "valid": N - 11,
                      "problems": {"digits": 11, "negations": 11, "refused": 11}}  # fmt: skip
    assert rejected["problems"] == {"refused": 1}


def test_more_than_two_per_cent_without_an_answer_end_with_code_1_and_the_file(cli):
    with serving(script(lambda seen: refusal() if '"question 1' in user(seen) else REWRITE)) as server:
        endpoint(server)
        code, _, err = rewrite(cli)
    assert (code, len(rows())) == (1, 2 * N)
    assert f"22 of {2 * N} replies are not rewritten, at most 2% may be" in err


def test_a_judge_is_asked_in_both_orders_and_its_no_is_a_problem(cli):
    with serving(REWRITE) as server, serving(REWRITE) as other:
        endpoint(server)
        endpoint(other, "judge.yaml", model="j")
        code, out, err = rewrite(cli, "--judge", "judge.yaml")
        assert code == 0, err
        assert (len(server.bodies), len(other.bodies)) == (2 * N, 4 * N)
    assert f"paraphrase, chosen: {N} of {N} valid\n" in out
    assert f"paraphrase, rejected: 0 of {N} valid; meaning {N}\n" in out
    assert "0 rewrites without a verdict" in out
    assert re.search(rf"j at \S+: {4 * N} requests", out)
    assert {row.judged for row in rows().values()} == {"yes", "no"}


def test_an_encoder_gives_every_rewrite_a_similarity(cli, monkeypatch):
    named = []

    def fake(name):
        named.append(name)
        return lambda pairs: [0.6 if "bad" in before else 0.8 for before, _ in pairs]

    monkeypatch.setattr("harness.llm.similarity.encoder", fake)
    with serving(REWRITE) as server:
        endpoint(server)
        code, out, _ = rewrite(cli, "--encoder", "some/encoder")
        assert (code, named) == (0, ["some/encoder"])
        assert f"paraphrase, rejected: 0 of {N} valid; similarity {N}\n" in out
        assert rewrite(cli, "--encoder", "some/encoder", "--dry-run")[0] == 0
    assert named == ["some/encoder"], "a dry run loads no encoder"
    assert {row.similarity for row in rows().values()} == {0.6, 0.8}


def test_a_dry_run_sends_and_writes_nothing_and_says_the_cost_of_each_stage(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        endpoint(server, "judge.yaml", model="j")
        asked = ("--kinds", "paraphrase,style:formal", "--judge", "judge.yaml", "--dry-run")
        code, out, err = rewrite(cli, *asked)
        assert code == 0, err
        for line in (
            f"first stage by m: {6 * N} questions, {6 * N} requests (0 replies are cached), about",
            f"second stage by m: {4 * N} questions, {4 * N} requests",
            f"judge by j: {20 * N} questions, {20 * N} requests",
        ):
            assert line in out
        assert re.search(r"in all about 0\.\d+ dollars, at most \d\.\d+ before repairs; nothing was sent", out)
        stages = json.loads(rewrite(cli, *asked, "--json")[1])["stages"]
        assert [stage["stage"] for stage in stages] == ["first stage", "second stage", "judge"]
        for stage in stages:
            cost = stage["cost"]
            assert cost["dollars"] == pytest.approx((cost["prompt_tokens"] + 2 * cost["completion_tokens"]) / 1e6)
            assert stage["most"] > cost["dollars"]
        assert "second stage" not in rewrite(cli, "--dry-run")[1]
        assert not server.bodies
    assert not Path("r.jsonl").exists()


def test_more_than_may_be_spent_is_refused_before_anything_is_sent(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        code, _, err = rewrite(cli, "--max-cost", 0.001)
        assert (code, "above the limit of 0.001" in err) == (1, True)
        endpoint(server, price_in=None, price_out=None)
        code, _, err = rewrite(cli, "--max-cost", 5)
        assert (code, "price_in" in err) == (2, True)
        assert not server.bodies


def test_max_pairs_takes_the_items_a_limit_takes(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        assert rewrite(cli, "--max-pairs", 3)[0] == 0
        assert len(server.bodies) == len(rows()) == 6


def test_a_style_of_a_plugin_is_asked_for_in_its_own_words(cli):
    Path("plugin.py").write_text(
        "from harness.llm.styles import Style, style\n"
        "style(Style('loud', '4', 'is written IN OTHER WORDS', 'is whispered in other words'))\n"
    )
    with serving(REWRITE) as server:
        endpoint(server)
        assert rewrite(cli, "--kinds", "style:loud")[0] == 2
        code, _, _ = rewrite(cli, "--kinds", "style:loud", "--plugin", "plugin.py")
        assert code == 1, "words of this test that no mark belongs to"
        assert any("is whispered" in body["messages"][0]["content"] for body in server.bodies)
    assert {row.prompt for row in rows().values()} == {"1.4"}


def test_wrong_requests_are_refused_with_code_2_before_anything_is_sent(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        endpoint(server, "same.yaml", temperature=0.5)
        Path("bad.yaml").write_text("modell: m\n")
        for more, words in [
            (("--kinds", "paraphrased"), "expected some of paraphrase, style:formal"),
            (("--kinds", "style:formall"), "did you mean formal"),
            (("--samples", 2), "at temperature 0"),
            (("--samples", 0), ""),
            (("--judge", "same.yaml"), "--judge"),
            (("--judge", "bad.yaml"), "cannot read the endpoint"),
            (("--endpoint", "bad.yaml"), "cannot read the endpoint"),
            (("--data", "absent.jsonl"), "there is no file"),
            (("--max-pairs", 0), "at least 1"),
        ]:
            code, _, err = rewrite(cli, *more)
            assert (code, words in err) == (2, True), (more, err)
        assert not server.bodies


def test_a_wrong_key_ends_the_run_with_one_line_and_without_the_key(cli):
    with serving(status(401, f"Incorrect API key provided: {KEY}")) as server:
        endpoint(server)
        code, out, err = rewrite(cli)
    assert code == 1
    assert len(err.strip().splitlines()) <= 2
    assert KEY not in out + err
    assert not Path("r.jsonl").exists()


def test_a_batch_asks_the_same_questions(cli):
    with serving(REWRITE) as server:
        endpoint(server)
        assert rewrite(cli, "--kinds", "style:formal")[0] == 0
        first = Path("r.jsonl").read_bytes()
        code, _, err = rewrite(cli, "--kinds", "style:formal", "--batch")
        assert code == 0, err
        assert Path("r.jsonl").read_bytes() == first
        empty = ("--dry-run", "--json", "--cache", "empty.sqlite")
        half, full = (json.loads(rewrite(cli, *more, *empty)[1])["stages"] for more in (("--batch",), ()))
    assert half[0]["cost"]["dollars"] == pytest.approx(full[0]["cost"]["dollars"] / 2)
