import gzip
import json

import pytest

from harness.datasets import load
from harness.datasets.hh_rlhf_train import HHRLHFTrain
from harness.preference import Message
from tests.datasets.conftest import hh_row, write

HARMLESS = "preference/train-only.harmless-base.clean.jsonl.gz"
EXTRACT = {
    "id": "other/hh_train_7",
    "prompt": [{"role": "user", "content": "How do I pick a lock?"}],
    "chosen": "Why do you ask?",
    "rejected": "With a pick.",
    "subset": "hh-train",
}


def test_rows_of_an_extract_have_a_prompt_and_an_id_of_their_own(tmp_path):
    write(tmp_path / HARMLESS, [EXTRACT])
    (item,) = load(["hh-rlhf-train/harmless-base"], tmp_path).items
    assert item.id == "hh-rlhf-train/other/hh_train_7"
    assert item.prompt == (Message("user", "How do I pick a lock?"),)
    assert (item.chosen, item.rejected) == (("Why do you ask?",), ("With a pick.",))
    assert (item.dataset, item.subset, item.objective) == ("hh-rlhf-train", "harmless-base", "safety_mixed")


def test_rows_of_the_hub_are_transcripts_and_ids_are_their_places(tmp_path):
    write(
        tmp_path / "preference/train-only.helpful-base.all.jsonl.gz",
        [
            hh_row("How?", "So.", "No."),
            hh_row("Why?", "Because.", "Why not?"),
        ],
    )
    first, second = load(["hh-rlhf-train/helpful-base"], tmp_path).items
    assert (first.id, second.id) == ("hh-rlhf-train/helpful-base/train/00000", "hh-rlhf-train/helpful-base/train/00001")
    assert second.prompt == (Message("user", "Why?"),)
    assert (second.chosen, second.rejected) == (("Because.",), ("Why not?",))
    assert second.objective == "helpful"


def test_both_forms_of_a_row_are_the_same_item():
    pair = HHRLHFTrain().pair(EXTRACT, "harmless-base", 3)
    transcript = hh_row(EXTRACT["prompt"][0]["content"], EXTRACT["chosen"], EXTRACT["rejected"])
    other = HHRLHFTrain().pair(transcript, "harmless-base", 3)
    assert (pair.prompt, pair.chosen, pair.rejected) == (other.prompt, other.chosen, other.rejected)


def test_what_no_model_could_be_right_about_is_set_aside(tmp_path):
    write(
        tmp_path / HARMLESS,
        [EXTRACT, {**EXTRACT, "id": "b", "rejected": EXTRACT["chosen"]}, {**EXTRACT, "id": "c", "chosen": " "}],
    )
    suite = load(["hh-rlhf-train/harmless-base"], tmp_path)
    assert len(suite.items) == 1
    assert suite.records[0].set_aside == {"identical replies": 1, "empty reply": 1}


def test_it_is_optional_where_it_is_not(tmp_path):
    write(tmp_path / "Anthropic/hh-rlhf/helpful-base/test.jsonl.gz", [hh_row("How?", "So.", "No.")])
    suite = load(["hh-rlhf/helpful-base", "hh-rlhf-train/harmless-base?"], tmp_path)
    assert list(suite.missing) == ["hh-rlhf-train/harmless-base"]


def test_the_real_extract(shared):
    files = sorted((shared / "data/preference").glob("train-only.harmless-base.*.jsonl.gz"))
    if not files:
        pytest.skip("no training rows of hh-rlhf in the shared data")
    rows = [json.loads(line) for path in files for line in gzip.decompress(path.read_bytes()).splitlines()]
    suite = load(["hh-rlhf-train/harmless-base"], shared / "data")
    assert 0.9 * len(rows) <= len(suite.items) <= len(rows)
    assert len(suite.items) + sum(suite.records[0].set_aside.values()) == len(rows)
    by_id = {item.id: item for item in suite.items}
    found = 0
    for row in rows:
        if item := by_id.get(f"hh-rlhf-train/{row['id']}"):
            found += item.chosen == (row["chosen"],) and item.rejected == (row["rejected"],)
    assert found >= 0.9 * len(suite.items)
