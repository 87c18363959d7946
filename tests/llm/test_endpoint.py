"""Endpoints that cannot be read: what is wrong is said, and nothing that stands in the file."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.llm.endpoint import Endpoint, read_endpoint
from harness.results.validate import LOCAL_PATH

KEY = "sk-very-secret"


def test_an_endpoint_is_read_from_a_few_lines(tmp_path):
    (tmp_path / "e.yaml").write_text("model: m\nbase_url: http://localhost:8000/v1\nprice_in: 0.15\n")
    read = read_endpoint(tmp_path / "e.yaml")
    assert read == Endpoint(model="m", base_url="http://localhost:8000/v1", price_in=0.15)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("org/model", "org/model"),
        ("./models/a", "./models/a"),
        ("llama3:8b", "llama3:8b"),
        ("/srv/models/a", "…/a"),
        ("~/models/a.gguf", "…/a.gguf"),
        (r"C:\models\a.gguf", "…/a.gguf"),
        (r"\\server\share\models\a", "…/a"),
    ],
)
def test_a_labeler_is_named_without_the_place_of_its_files(model, name):
    endpoint = Endpoint(model=model)
    assert (endpoint.name, endpoint.model) == (name, model)
    assert not LOCAL_PATH.search(endpoint.name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("modell: m", "model: Field required; modell: Extra inputs"),
        (f"model: m\napi_key: {KEY}", "api_key: Extra inputs are not permitted"),
        (f"model: m\nconcurrency: {KEY}", "concurrency: Input should be a valid integer"),
        (f"model: m\nstructured: {KEY}", "structured: Input should be"),
        (f"model: m\napi_key: {KEY}: x", "it is no YAML from line 2 on"),
        (f"model: m\n\tapi_key: {KEY}", "it is no YAML from line 2 on"),
        (f"model: m\n*{KEY}", "it is no YAML from line"),
        (f"model: {KEY}\x07", "it is no YAML"),
        (f"- {KEY}", "the whole: Input should be"),
        (KEY, "the whole: Input should be"),
        ("", "the whole: Input should be"),
    ],
)
def test_what_is_no_endpoint_is_named_in_one_line_and_not_quoted(tmp_path, content, said):
    (tmp_path / "e.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        read_endpoint(tmp_path / "e.yaml")
    told = str(error.value)
    assert said in told
    assert "\n" not in told
    assert KEY not in told
    assert error.value.__cause__ is None
    assert all(part in told for part in ("e.yaml", "Expected YAML such as", "max_tokens", "api_key_env names"))


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: No such file or directory\. Expected"):
        read_endpoint(tmp_path / "absent.yaml")
    (tmp_path / "e.yaml").write_bytes(b"model: \xff")
    with pytest.raises(InputError, match=r"it is no UTF-8\. Expected"):
        read_endpoint(tmp_path / "e.yaml")
