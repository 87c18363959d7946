"""Boxed answers under a heading and back: by hand, and the content of the last box."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.text.transforms import TRANSFORMS

CONTENT = st.text("0123456789abxyz+-=^_,. \\", min_size=1).map(str.strip).filter(lambda text: text and "\\" not in text)
INNER = st.one_of(
    CONTENT, CONTENT.map(lambda text: f"\\frac{{{text}}}{{2}}"), CONTENT.map(lambda text: f"\\{{{text}\\}}")
)


def change(name: str, reply: str) -> str | None:
    return TRANSFORMS.get(name).apply("", reply, "item", 0).text


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("boxed_to_heading", "So $x = \\boxed{4}$.\n", "So $x = 4$.\n\n# Answer\n\n4"),
        ("boxed_to_heading", "\\boxed{1} \\boxed{\\frac{1}{2}}", "\\boxed{1} \\frac{1}{2}\n\n# Answer\n\n\\frac{1}{2}"),
        ("boxed_to_heading", "\\boxed{\\{1, 2\\}}", "\\{1, 2\\}\n\n# Answer\n\n\\{1, 2\\}"),
        ("boxed_to_heading", "\\boxed{\\left\\{1\\right.}", "\\left\\{1\\right.\n\n# Answer\n\n\\left\\{1\\right."),
        ("boxed_to_heading", "\\boxed{4", None),
        ("boxed_to_heading", "\\boxed{ }", None),
        ("boxed_to_heading", "`\\boxed{4}`", None),
        ("boxed_to_heading", "\\boxed{4}\n\n## Answer:\n\n4", None),
        ("heading_to_boxed", "So.\n\n# Answer\n\n4\n", "So.\n\n$\\boxed{4}$"),
        ("heading_to_boxed", "So.\n\n### Final answer:\n$\\frac12$", "So.\n\n$\\boxed{\\frac12}$"),
        ("heading_to_boxed", "# Answer\n\nEvelyn", "$\\boxed{\\text{Evelyn}}$"),
        ("heading_to_boxed", "# Answer\n\n4 is $x$", "$\\boxed{\\text{4 is $x$}}$"),
        ("heading_to_boxed", "# Answer\n\n4 + $x$", "$\\boxed{\\text{4 + $x$}}$"),
        ("heading_to_boxed", "# Answer\n\n3\n# Answer\n\n4", "# Answer\n\n3\n$\\boxed{4}$"),
        ("heading_to_boxed", "# Answer\n\nx + 4", "$\\boxed{x + 4}$"),
        ("heading_to_boxed", "# Answer\n\n4\n\nIt is.", None),
        ("heading_to_boxed", "# Answer\n\n}4{", None),
        ("heading_to_boxed", "# Answer\n\n4}", None),
        ("heading_to_boxed", "# Answer\n\n{4", None),
        ("heading_to_boxed", "# Answer\n\n", None),
        ("heading_to_boxed", "\\boxed{3}\n\n# Answer\n\n4", None),
        ("heading_to_boxed", "# Answer\n\nhttp://a.b", None),
        ("heading_to_boxed", "# Answer\n\n`4`", None),
        ("heading_to_boxed", "# Answers\n\n4", None),
    ],
)
def test_transforms_by_hand(name, reply, expected):
    assert change(name, reply) == expected


@settings(max_examples=300, deadline=None)
@given(INNER)
def test_what_is_boxed_comes_under_the_heading_and_back_into_a_box(inner):
    headed = change("boxed_to_heading", f"So it is $\\boxed{{{inner}}}$.")
    assert headed == f"So it is ${inner}$.\n\n# Answer\n\n{inner}"
    boxed = change("heading_to_boxed", headed)
    assert boxed in (f"So it is ${inner}$.\n\n$\\boxed{{{text}}}$" for text in (inner, f"\\text{{{inner}}}"))
    again = change("boxed_to_heading", boxed)
    assert again is not None
    assert again.endswith(inner + "}" * ("\\text" in boxed))


@pytest.mark.parametrize("name", ["boxed_to_heading", "heading_to_boxed"])
@pytest.mark.parametrize(
    "text",
    ["\\boxed{" * 2000, "\\boxed{" * 2000 + "}" * 2000, "# answer" + " " * 20000 + "x", "# Answer\n" * 2000],
    ids=["open", "nested", "spaces", "headings"],
)
def test_long_texts_take_no_time(name, text):
    start = time.perf_counter()
    change(name, text)
    assert time.perf_counter() - start < 2
