"""Code without comments or space: the same tree in Python, the same strings and tokens elsewhere."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import time
import tokenize
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.text.transforms import TRANSFORMS, comments

PYTHON = '''# top
import os  # os


def f(a, b = 1):
    """Doc # not a comment."""

    # note
    x = [1,  # one

         2]
    if a == b  and not -x:
        return  a ** - b , "x # y"   # end
    print ( f"{a = } {b :>{x}}" , * x )
    return 1 .real'''
STRIPPED = '''import os


def f(a, b = 1):
    """Doc # not a comment."""

    x = [1,

         2]
    if a == b  and not -x:
        return  a ** - b , "x # y"
    print ( f"{a = } {b :>{x}}" , * x )
    return 1 .real'''
MINIFIED = '''import os
def f(a,b=1):
 """Doc # not a comment."""
 x=[1,2]
 if a==b and not-x:
  return a**-b,"x # y"
 print(f"{a = } {b :>{x}}",*x)
 return 1 .real'''


def change(name: str, reply: str) -> str | None:
    return TRANSFORMS.get(name).apply("", reply, "item", 0).text


def fenced(info: str, source: str) -> str:
    return f"See:\n```{info}\n{source}\n```\nDone. # not code"


@pytest.mark.parametrize("info", ["python", "Python3", "py title=x", ""])
@pytest.mark.parametrize(("name", "expected"), [("strip_comments", STRIPPED), ("minify", MINIFIED)])
def test_python_in_fences_named_or_not(info, name, expected):
    assert change(name, fenced(info, PYTHON)) == fenced(info, expected)
    assert change(name, PYTHON) == expected
    assert ast.dump(ast.parse(expected)) == ast.dump(ast.parse(PYTHON))


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
def test_a_body_keeps_its_first_indentation(name):
    body = "    # c\n    for i in x:\n        y = i + 1  # z\n    return y"
    expected = {
        "strip_comments": "    for i in x:\n        y = i + 1\n    return y",
        "minify": "    for i in x:\n     y=i+1\n    return y",
    }
    assert change(name, body) == expected[name]
    assert change(name, fenced("python", body)) == fenced("python", expected[name])


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
@pytest.mark.parametrize(
    "reply",
    [
        *("# Answer\n\nx = 4", "Yes # so", "x = 1  # a", fenced("", "# Title\nx = 1"), fenced("bash", "ls # a")),
        *(
            fenced("python", "# only"),
            fenced("python", "def f( : # a"),
            fenced("python", "x=1"),
            "```python\nx = 1 # a",
        ),
        *(fenced("rust", "let x = 1;"), fenced("json", '{"a": "// b"}'), "", "def f():\n return 1\x00 # a"),
    ],
)
def test_what_is_not_code_or_in_doubt_is_left_alone(name, reply):
    assert change(name, reply) is None


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
@pytest.mark.parametrize("module", [ast, dataclasses, tokenize, textwrap], ids=lambda m: m.__name__)
def test_real_modules_keep_their_tree_and_lose_their_comments(name, module):
    source = inspect.getsource(module)
    changed = change(name, fenced("python", source))
    assert changed is not None
    changed = changed.split("```python\n")[1].rsplit("\n```", 1)[0]
    assert ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    assert not any(token.type == tokenize.COMMENT for token, _ in comments.tokens(changed))
    assert change(name, fenced("python", changed)) is None


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
def test_a_fence_with_words_closes_nothing_and_an_empty_block_stays(name):
    assert change(name, "```python\nimport x # a\n```python\n```") is None
    empty = "```python\n```\n"
    assert change(name, f"{empty}{fenced('python', 'x = 1 # a')}") == empty + fenced(
        "python", {"strip_comments": "x = 1", "minify": "x=1"}[name]
    )


def test_a_shorter_source_of_another_tree_is_not_taken(monkeypatch):
    assert change("minify", fenced("python", "x = 1")) == fenced("python", "x=1")
    monkeypatch.setattr("harness.text.transforms.code._short_lines", lambda source: iter(["y=1"]))
    assert change("minify", fenced("python", "x = 1")) is None


@pytest.mark.parametrize(
    ("info", "source", "expected"),
    [
        ("cpp", 'int a; // b\n/* c\n d */\nchar *s = "// e /* f";', 'int a;\nchar *s = "// e /* f";'),
        ("cpp", "  // a\n  int /* b */ x = 1'000; char c = '\"'; // d", "  int x = 1'000; char c = '\"';"),
        ("cpp", "/* a */ int x;\n  /* b */ int y;", "int x;\n  int y;"),
        ("cpp", 'auto s = R"x(// " a)x"; // b', 'auto s = R"x(// " a)x";'),
        ("cpp", "int a;/* b\n*/int c;", "int a;\nint c;"),
        ("cpp", "int a; // b \\\nint c;", None),
        ("cpp", "#error don't\n// a", None),
        ("cpp", "int a; /* b", None),
        ("cpp", "// a", None),
        ("cpp", "int a; /* b /* c */", None),
        ("java", 'String s = """\n// a " b\n"""; // c', 'String s = """\n// a " b\n""";'),
        ("js", "let a = `// ${b} '`; // c", "let a = `// ${b} '`;"),
        ("js", "s.replace(/[/\"]*\\//g, '//'); // a", "s.replace(/[/\"]*\\//g, '//');"),
        ("js", "return /'/; // a", "return /'/;"),
        ("js", "let a = b / c; // d / e", "let a = b / c;"),
        ("js", "let a = `${b(`// c`)}`; // d", None),
        ("ts", "let a: string = 'b'; // c", "let a: string = 'b';"),
        ("go", 'a := `// "`\nb := "`" // c', 'a := `// "`\nb := "`"'),
        ("go", "//go:build linux\n// a\nx := 1", None),
        ("rust", "/// doc\nfn f<'a>(x: &'a str) -> char { '\"' } // b", "fn f<'a>(x: &'a str) -> char { '\"' }"),
        ("rust", 'let a = r#"// " b"#; // c', 'let a = r#"// " b"#;'),
        ("rust", 'let a = "b\n// c"; // d', 'let a = "b\n// c";'),
        ("rust", "let a = '\\''; // b", "let a = '\\'';"),
        ("rust", "fn f<'a>() {} // b", "fn f<'a>() {}"),
    ],
)
def test_comments_of_other_languages(info, source, expected):
    assert change("strip_comments", fenced(info, source)) == (expected and fenced(info, expected))


STRINGS = ['"// a"', "'b'", '"/* c */"', r'"\""', '"d"']


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*STRINGS, " + ", "\n", "// x y\n", "/* x */", "/* x\n */", "  "]), max_size=20))
def test_strings_survive_and_comments_do_not(pieces):
    source = "".join(["a = ", *pieces, ";"])
    changed = comments.c_uncommented("java")(source)
    kept = [piece for piece in pieces if piece in STRINGS]
    if source.rstrip(";").rsplit("\n", 1)[-1].count("//") > sum(s.count("//") for s in kept):
        return
    assert "x" not in changed
    assert re.findall(r'"(?:\\.|[^"\\])*"|\'b\'', changed) == kept
    assert comments.c_uncommented("java")(changed) == changed


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "python", "js", "go", "rust", "cpp", "java"]))
def test_any_text_is_survived(name, text, info):
    for reply in (text, fenced(info, text)):
        once = change(name, reply)
        assert once is None or change(name, once) is None


DEEP = [
    *(
        "-" * 20000 + "1",
        "(" * 20000,
        "not " * 5000 + "x",
        "lambda:" * 2800 + "1",
        "x+" * 9000 + "x",
        "x" + ".a" * 9000,
    ),
    *("[" * 150 + "]" * 150, "x=" + "9" * 19000, '"' * 20000, "'\\d' # a", "\ud800 # a", "x" + "()" * 9000),
]


@pytest.mark.parametrize("name", ["strip_comments", "minify"])
@pytest.mark.parametrize("info", ["python", "js", "cpp", "rust"])
@pytest.mark.parametrize(
    "text", [*DEEP, "=/[" * 6000, "/* */ " * 3300, 'R"(' * 6000, "`${" * 6000], ids=lambda t: t[:4]
)
def test_deep_and_long_texts_neither_raise_nor_warn_nor_take_time(name, info, text):
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reply in (f"import x # a\n{text}", fenced(info, f"import x # a\n{text}")):
            change(name, reply)
    assert time.perf_counter() - start < 3
