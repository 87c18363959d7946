"""The verb `label` against a server on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.datasets import load
from harness.labels import read_labels, text_id
from harness.llm.labeler import questions
from harness.llm.schema import LABELS
from harness.preference import Message
from harness.rewrites import RewriteRow, write_rewrites
from tests.llm.server import answer, cut_body, dropped, hung_up, refusal, script, serving, status

VALID = {name: [] if f.several else "no" for name, f in LABELS.items()} | {"sentiment": "neutral"}
SAID = json.dumps(VALID)
YES = json.dumps(VALID | {"helpful": "yes"})
KEY = "sk-very-secret"
N = 30
FAULTS = [
    status(429, headers={"Retry-After": "0.01"}),
    status(500),
    dropped(),
    hung_up(),
    cut_body(),
    answer(SAID[:-5]),
    answer(SAID.replace("no", "perhaps")),
    answer(f"{YES} or {SAID}"),
]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REWARD_HARNESS_LLM_CACHE", str(tmp_path / "replies.sqlite"))
    monkeypatch.setenv("LABEL_KEY", KEY)
    rows = [
        {"id": f"r{i}", "prompt": f"question {i}?", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(N)
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def endpoint(server, name="first.yaml", **changes) -> str:
    said = {"model": "m", "base_url": server.url, "api_key_env": "LABEL_KEY", "max_retries": 0, "timeout_s": 5}
    said |= {"price_in": 1.0, "price_out": 2.0} | changes
    Path(name).write_text(json.dumps({k: v for k, v in said.items() if v is not None}))
    return name


def label(cli, *more):
    return cli("label", "--data", "pairs.jsonl", "--endpoint", "first.yaml", "--out", "l.jsonl", *more)


def by_reply(seen):
    """Yes to the good replies of even items, no to all others."""
    number = re.search(r"good (\d+)", seen.body["messages"][1]["content"])
    return YES if number and int(number[1]) % 2 == 0 else SAID


def test_every_reply_is_labelled_and_run_reads_the_file(cli):
    with serving(answer(by_reply)) as server:
        endpoint(server)
        code, out, err = label(cli, "--retest", 0.5)
        assert code == 0, err
        asked = len(server.bodies)
    labels = read_labels(Path("l.jsonl"))
    assert "l.jsonl: " in out
    assert f"{len(labels.rows)} of {len(labels.rows)} labelled" in out
    assert asked == len(labels.rows) > 2 * N
    assert labels.passes == ("first", "retest")
    for i in range(N):
        row = labels.rows["first", text_id((Message("user", f"question {i}?"), Message("assistant", f"good {i}")))]
        assert row.labels["helpful"] == ("yes" if i % 2 == 0 else "no")
        assert row.labeler == "m"
    assert re.search(
        r"helpful, first against retest: kappa 1\.00 on \d+ texts, r of differences 1\.00 on \d+ pairs\n", out
    )
    raw = Path("l.jsonl").read_text()
    assert not re.search(r"question|good|bad \d", raw), "no text is in the file"
    assert KEY not in raw + out + err
    task = "alignment_resistance"
    given = ("--tasks", task, "-P", f"{task}.draws=50", "--data", "pairs.jsonl", "--labels", "l.jsonl", "--json")
    code, out, err = cli("run", "--model", "null/longest", *given)
    assert code == 0, err
    assert json.loads(out)[0]["task"]["labels"]["n_texts"] == 2 * N


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_file_of_labels_of_other_data_is_refused(cli, more):
    with serving(answer(SAID)) as server:
        endpoint(server)
        assert label(cli, "--retest", 0)[0] == 0
    Path("others.jsonl").write_text(json.dumps({"id": "r0", "prompt": "ask", "chosen": "good 0", "rejected": "bad 0"}))
    given = ("--tasks", "alignment_resistance", "--data", "others.jsonl", "--labels", "l.jsonl")
    code, _, err = cli("run", "--model", "null/longest", *given, *more)
    assert code == 2
    assert f"l.jsonl labels none of the replies to be scored: of its {2 * N} rows 0 have no label" in err
    assert not Path("results").exists()


def test_a_second_run_sends_nothing_and_writes_the_same_bytes(cli):
    with serving(answer(by_reply)) as server:
        endpoint(server)
        assert label(cli)[0] == 0
        asked, first = len(server.bodies), Path("l.jsonl").read_bytes()
        lines = Path("pairs.jsonl").read_text().splitlines(keepends=True)
        Path("pairs.jsonl").write_text("".join(lines[::-1]))
        code, out, _ = label(cli)
        assert (code, len(server.bodies), Path("l.jsonl").read_bytes()) == (0, asked, first)
        assert f"m at {server.url}: 0 requests ({asked} replies are cached)" in out
        assert ", 0.00 dollars" in out
    code, _, err = label(cli, "--replay")
    assert code == 0, err
    assert Path("l.jsonl").read_bytes() == first


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_which_pairs_are_labelled_twice(cli, seed):
    with serving(answer(SAID)) as server:
        endpoint(server)
        assert label(cli, "--retest", 0.3, "--seed", seed)[0] == 0
    again = {f"retest/{text}" for by, text in read_labels(Path("l.jsonl")).rows if by == "retest"}
    assert again == {ask.id for ask in questions(load(["pairs.jsonl"]).items, "retest", 0.3, seed)}


def test_a_dry_run_sends_and_writes_nothing_and_says_the_cost(cli):
    with serving(answer(SAID)) as server:
        endpoint(server)
        endpoint(server, "other.yaml", model="n", price_in=None, price_out=None)
        code, out, err = label(cli, "--dry-run")
        assert code == 0, err
        assert f"first by m: {2 * N} texts, {2 * N} requests (0 replies are cached), about" in out
        assert re.search(r"in all about 0\.\d+ dollars, at most \d\.\d+ before repairs; nothing was sent", out)
        passes = json.loads(label(cli, "--dry-run", "--json")[1])["passes"]
        assert [p["labeled_by"] for p in passes] == ["first", "retest"]
        cost = passes[0]["cost"]
        assert cost["approximate"]
        assert cost["dollars"] == pytest.approx((cost["prompt_tokens"] + 2 * cost["completion_tokens"]) / 1e6)
        assert passes[0]["most"] > cost["dollars"]
        code, out, _ = label(cli, "--dry-run", "--second", "other.yaml")
        assert "second by n" in out
        assert "in all an unknown cost" in out
        assert not server.bodies
    assert not Path("l.jsonl").exists()


def test_more_than_may_be_spent_is_refused_before_anything_is_sent(cli):
    with serving(answer(SAID)) as server:
        endpoint(server)
        code, _, err = label(cli, "--max-cost", 0.001)
        assert (code, "above the limit of 0.001" in err) == (1, True)
        endpoint(server, price_in=None, price_out=None)
        code, _, err = label(cli, "--max-cost", 5)
        assert (code, "price_in" in err) == (2, True)
        assert not server.bodies
        endpoint(server)
        assert label(cli, "--max-cost", 50)[0] == 0
    assert label(cli, "--max-cost", 0, "--replay")[0] == 0


def test_replay_without_replies_counts_every_text_as_not_asked(cli):
    with serving(answer(SAID)) as server:
        endpoint(server)
        code, out, err = label(cli, "--replay", "--retest", 0)
        assert (code, server.bodies) == (1, [])
    assert f"not_asked: {2 * N}, such as: no stored reply" in out
    assert f"{2 * N} of {2 * N} answers are no labels" in err
    assert read_labels(Path("l.jsonl")).record().n_failed == 2 * N


def test_failures_are_counted_rows_by_reason_and_the_rest_is_labelled(cli):
    def choose(seen):
        said = seen.body["messages"][1]["content"]
        if "good 1?" in said or '"good 1"' in said:
            return refusal("I cannot judge that.")
        if '"bad 2"' in said:
            return answer("no label")
        again = len(seen.body["messages"]) > 2
        return answer("Here it is: " + SAID) if '"bad 3"' not in said or again else answer(SAID[:-1])

    with serving(script(choose)) as server:
        endpoint(server)
        code, out, _ = label(cli, "--retest", 0, "--json")
    assert code == 1
    done = json.loads(out)
    assert done["failed"] == {"quarantined": 1, "refused": 1}
    assert done["labelled"] == 2 * N - 2
    assert "I cannot judge that." in done["words"]["refused"]
    (spent,) = done["spent"].values()
    assert spent["requests"] == 2 * N + 2
    errors = [row.error for row in read_labels(Path("l.jsonl")).rows.values() if row.error]
    assert sorted(errors) == ["quarantined: it holds no complete JSON object", "refused"]


def test_faults_on_the_way_change_nothing_in_the_file(cli):
    def choose(seen):
        number = int(re.search(r"question (\d+)", seen.body["messages"][1]["content"])[1])
        again = seen.before or len(seen.body["messages"]) > 2
        return answer(by_reply(seen)) if again else FAULTS[number % len(FAULTS)]

    with serving(script(choose)) as server:
        endpoint(server, max_retries=3)
        code, _, err = label(cli)
        assert code == 0, err
        faulty = Path("l.jsonl").read_bytes()
    with serving(answer(by_reply)) as server:
        endpoint(server)
        assert label(cli, "--cache", "another.sqlite")[0] == 0
    assert Path("another.sqlite").exists()
    assert Path("l.jsonl").read_bytes() == faulty


def test_few_failures_are_no_failed_run(cli):
    rows = [{"id": f"q{i}", "prompt": f"ask {i}", "chosen": "yes", "rejected": "no"} for i in range(60)]
    Path("pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def choose(seen):
        said = seen.body["messages"][1]["content"]
        return refusal() if '"ask 7"' in said and '"yes"' in said else answer(SAID)

    with serving(script(choose)) as server:
        endpoint(server)
        code, out, err = label(cli, "--retest", 0)
    assert code == 0, err
    assert "refused: 1" in out


def test_rewrites_are_labelled_too_and_both_find_their_labels(cli):
    def text(i, reply):
        return text_id((Message("user", f"question {i}?"), Message("assistant", reply)))

    replies = [(i, f"{side} {i}") for i in range(N) for side in ("good", "bad")]
    rows = [
        RewriteRow(text=text(i, said), kind="paraphrase", rewriter="w", prompt="1", rewritten=f"Indeed {said}")
        for i, said in replies
    ]
    write_rewrites(Path("r.jsonl"), rows)
    with serving(answer(by_reply)) as server:
        endpoint(server)
        code, out, err = label(cli, "--rewrites", "r.jsonl", "--retest", 0.3, "--dry-run")
        assert code == 0, err
        assert f"first by m: {4 * N} texts, {4 * N} requests" in out
        again = int(re.search(r"retest by m: (\d+) texts", out)[1])
        assert not server.bodies
        code, out, err = label(cli, "--rewrites", "r.jsonl", "--retest", 0.3)
        assert code == 0, err
        assert len(server.bodies) == 4 * N + again
    labels = read_labels(Path("l.jsonl"))
    for i, said in replies:
        expected = "yes" if said.startswith("good") and i % 2 == 0 else "no"
        for reply in (said, f"Indeed {said}"):
            assert labels.rows["first", text(i, reply)].labels["helpful"] == expected
        assert ("retest", text(i, f"Indeed {said}")) not in labels.rows
    assert 0 < again < 2 * N
    assert again % 2 == 0
    write_rewrites(Path("r.jsonl"), [row.model_copy(update={"text": "0" * 32}) for row in rows[:1]])
    code, _, err = label(cli, "--rewrites", "r.jsonl")
    assert (code, "none of the 1 rewrites" in err) == (2, True)


def test_max_pairs_takes_the_items_a_limit_takes(cli):
    with serving(answer(SAID)) as server:
        endpoint(server)
        assert label(cli, "--max-pairs", 3, "--retest", 0)[0] == 0
        assert len(server.bodies) == 6
    _, out, _ = cli("run", "--model", "null/longest", "--tasks", "alignment_resistance", "-P",
                    "alignment_resistance.draws=50", "--data", "pairs.jsonl", "--limit", 3, "--json")  # fmt: skip
    samples = Path(json.loads(out)[0]["folder"], "samples.parquet")
    import pandas as pd

    frame = read_labels(Path("l.jsonl")).rows
    texts = {text for _, text in frame}
    scored = set()
    for unit in pd.read_parquet(samples)["unit_id"]:
        number, side = re.search(r"r(\d+)#(chosen|rejected)", unit).groups()
        reply = f"{'good' if side == 'chosen' else 'bad'} {number}"
        scored.add(text_id((Message("user", f"question {number}?"), Message("assistant", reply))))
    assert scored == texts


def test_a_second_labeler_and_people_are_compared_and_weak_fields_flagged(cli):
    def against(seen):
        return {YES: SAID, SAID: YES}[by_reply(seen)]

    gold = [{"id": f"r{i}#chosen", "helpful": "yes" if i % 2 == 0 else "no"} for i in range(N)]
    with serving(answer(by_reply)) as server, serving(answer(against)) as other:
        endpoint(server)
        endpoint(other, "second.yaml", model="n")
        Path("gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
        code, out, err = label(cli, "--second", "second.yaml", "--gold", "gold.jsonl", "--retest", 0, "--seed", 3)
        assert code == 0, err
        assert 0 < len(other.bodies) < N
        headers = {v for s in (server, other) for h in s.headers for k, v in h.items() if k.lower() == "authorization"}
    labels = read_labels(Path("l.jsonl"))
    assert labels.passes == ("first", "second", "gold")
    assert labels.record().labelers == {"first": ("m",), "second": ("n",), "gold": ("people",)}
    assert re.search(rf"helpful, first against gold: kappa 1\.00 on {N} texts, r of differences null \(no pair", out)
    (rest,) = [line for line in out.splitlines() if "no text has the label in both passes" in line]
    assert rest.startswith("harmless_to_user, harmless_to_others, honest")
    assert "sentiment, first against gold: " in rest
    assert not re.search(r"honest, first against gold: kappa", out)
    assert "dollars" in out
    assert "less than 0.01 dollars" in out
    assert re.search(r"helpful, first against second: kappa -\d\.\d\d .* below 0\.4: not to be ranked\n", out)
    assert headers == {f"Bearer {KEY}"}
    assert KEY not in out + err + Path("l.jsonl").read_text()
    assert KEY.encode() not in Path("replies.sqlite").read_bytes()


def test_people_may_have_labelled_more_than_is_labelled_now(cli):
    gold = [{"id": f"r{i}#{side}", "helpful": "no"} for i in range(N) for side in ("chosen", "rejected")]
    Path("gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
    with serving(answer(SAID)) as server:
        endpoint(server)
        code, out, err = label(cli, "--max-pairs", 4, "--gold", "gold.jsonl", "--retest", 0)
    assert code == 0, err
    assert sum(labeled_by == "gold" for labeled_by, _ in read_labels(Path("l.jsonl")).rows) == 2 * N
    assert "helpful, first against gold: kappa null (one category" in out
    assert " on 8 texts" in out


def test_a_servers_words_are_shown_in_one_line_and_cut(cli):
    with serving(refusal("I\ncannot " + "really " * 200)) as server:
        endpoint(server)
        code, out, _ = label(cli, "--retest", 0)
    assert code == 1
    (line,) = [x for x in out.splitlines() if "refused: " in x]
    assert "I cannot really" in line
    assert line.endswith("…")
    assert len(line) < 300


def test_wrong_requests_are_refused_with_code_2_before_anything_is_sent(cli):
    with serving(answer(SAID)) as server:
        endpoint(server)
        endpoint(server, "same.yaml", temperature=0.5)
        Path("bad.jsonl").write_text('{"id": "r0#left", "helpful": "yes"}\n')
        Path("bad.yaml").write_text("modell: m\n")
        for more, said in [
            (("--second", "same.yaml"), "name another model"),
            (("--gold", "bad.jsonl"), "no reply of the data"),
            (("--gold", "absent.jsonl"), "cannot read the labels"),
            (("--endpoint", "bad.yaml"), "cannot read the endpoint"),
            (("--data", "absent.jsonl"), "there is no file"),
            (("--max-pairs", 0), "at least 1"),
            (("--retest", 2), ""),
        ]:
            code, _, err = label(cli, *more)
            assert (code, said in err) == (2, True), (more, err)
        assert not server.bodies


def test_a_wrong_key_ends_the_run_with_one_line_and_without_the_key(cli):
    with serving(status(401, f"Incorrect API key provided: {KEY}")) as server:
        endpoint(server)
        code, out, err = label(cli)
    assert code == 1
    assert len(err.strip().splitlines()) <= 2
    assert KEY not in out + err
    assert not Path("l.jsonl").exists()


def test_a_batch_asks_the_same_questions(cli, monkeypatch):
    with serving(answer(SAID)) as server:
        endpoint(server)
        assert label(cli)[0] == 0
        first = Path("l.jsonl").read_bytes()
        code, _, err = label(cli, "--batch")
        assert code == 0, err
        assert Path("l.jsonl").read_bytes() == first
        half = json.loads(label(cli, "--batch", "--dry-run", "--json", "--cache", "empty.sqlite")[1])["passes"]
        full = json.loads(label(cli, "--dry-run", "--json", "--cache", "empty.sqlite")[1])["passes"]
    assert half[0]["cost"]["dollars"] == pytest.approx(full[0]["cost"]["dollars"] / 2)
