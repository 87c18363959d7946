"""Texts that have what transforms touch: fixed ones, and strategies that make more."""

from __future__ import annotations

from hypothesis import strategies as st

FENCED = """Here is the code:
```python
# adds two numbers
def add(first, second):
    "Add `them`."
    return first + second  # 3 at http://a.b/sum, not 4


print(add(1, 2), "never mind")
```
It doesn't need more."""
SCRIPT = (
    'import os\n\n\ndef path( name ):\n    # not "used" at www.a.b/3, see `b`\n    return os.path.join( "no", name )\n'
)

CORPUS = (
    "Yes, it is. I'm sure that it's been said before, and I don't think you can't do it.",
    "It is not true, and you are right that I do not know. If it is cold, we will not go. No, nothing is wrong.",
    "We have 3 dogs and 4 cats (see http://a.b/3?d=4 or www.a.b). They cost 1,000.50 at 5:30 pm.",
    "I have 3 dogs and 4 cats. Step 2 is at 5 pm.",
    "He Said \"Go Home\" And \u201cStay There\u201d.",
    "So the answer is $\\boxed{\\text{none}}$.",
    'The "gray color" of `a gray` and the "grey colour" of `a grey` are gray and grey.',
    "\u1fefe\u0301\u1fef is no code and http://a<\u0338e\u0301 ends early, e\u0301.",
    "There are two dogs and three cats in the yard, but never more than nine people in there.",
    "My favourite colour is grey; the neighbours organise a centre. My favorite color is gray, organized in the center.",
    "# Title\n\nSome **bold** and *italic* words, __all__ of it:\n\n- one point\n- another, not `code`\n1. first\n2. second\n\n> said so\n",
    "He said \"don't do that, it's 5\" and “never the colour grey”, and *so* on; see `x = 1` and ``y``.",
    "# Steps\n\n- Buy 2 eggs. Don't break them\n- He said \"it's fine\"\n- See http://a.b/c\n- Run `make 3`\n\nThat is all.",
    "The sum is 2 + 2. So the answer is $\\boxed{4}$ and not 5.",
    "Add them up. It is not hard.\n\n# Answer\n\n42",
    "Well, \"no\", said he: it is $\\boxed{\\text{not \"a\" one}}$.",
    "Work it out; there is nothing left.\n\n# Answer\n\nnone of \"them\"",
    "We take x. Then y is 7. So $\\boxed{\\frac{1}{2}}$ is it. There is no more. It is done!",
    FENCED,
    SCRIPT,
    "Look:\n```python\nx = 1 # one\n```\n\n```js\nlet y = 2; // two at http://a.b/c\n/* no */\n```\n",
    "The cafe\u0301 is \u212b; e\u0301te\u0301 nai\u0308ve \U0001f469\u200d\U0001f4bb \U0001f600 5\ufe0f\u20e3 ok\r\nnext line\x85last\u2028one",
    "\u05e9\u05dc\u05d5\u05dd \u0661\u0662\u0663 \u0645\u0631\u062d\u0628\u0627 stra\u00dfe \u0130stanbul \u0131 \u01c6 \ud83d",
    "DON'T PANIC! IT'S NOT SO BAD. WHY DON'T YOU? Never. Nobody does, nor can they.",
    "ok",
    "One sentence here. Another sentence here. A third, not 3rd, one here! Is it a \"fourth\"? Yes. No.",
    "  Spaces around. \n\n",
    "A & B <tag> \\(x\\) | a | b |\n|---|---|\n| 1 | 2 |",
    "Nothing without you, not one, cannot none neither nowhere nobody nor no never " * 6,
    "He said \"one two three four five six seven eight nine ten eleven twelve thirteen fourteen\" to nobody at all. " * 9,
    "Alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon. " * 9,
)  # fmt: skip

PIECES = (
    *CORPUS[:19],
    *(" ", "  ", "\n", "\n\n", "\r", "\r\n", "\t", "\x85", "\u2028", "\x0b", "\x1c"),
    *("```", "```python\n", "\n```\n", "`", "``", '"', "\u201c", "\u201d", "'", "\u2019", "**", "*", "__", "_", "#", "# ", "## "),
    *("- ", "* ", "1. ", "2) ", "> ", "(", ")", "[", "]", "{", "}", "$", "\\boxed{", "\\text{", "# Answer\n\n", "|", "<", ">"),
    *("http://a.b/c", "https://x.y/?q=3#z", "www.a.b", "HTTP://A.B", "www.", "://"),
    *(".", ",", ";", ":", "!", "?", "...", "-", "\u2013", "/", "&", "=", "# c", "// c"),
    *("0", "1", "3", "7", "10", "3.14", "1,000", "5:30", "\u0663", "\u00b2", "5\ufe0f\u20e3"),
    *("don't", "it's", "it\u2019s", "I'd", "he'd", "can't", "won't", "let's", "isn't", "what's", "dog's", "IT'S", "y'all"),
    *("do not", "cannot", "it is", "I am", "you will", "not", "no", "never", "you", "is", "been", "better", "go", "and"),
    *("two", "three", "hundred", "one or", "of", "dogs", "colour", "Color", "GREY", "organise", "analyses", "the", "a", "x"),
    *("\u0301", "\u030a", "\u0338", "\u212a", "\u00df", "\u0130", "\u0131", "\u01c6", "\u03a3", "\u1fef", "\u037e", "\u00e9"),
    *("\U0001f600", "\U0001f469\u200d\U0001f4bb", "\ud83d", "\ude00", "\u202e", "\u05d0", "\u0645", "\x00", "\ufeff"),
)  # fmt: skip

ANY = st.text(st.characters(), max_size=60)
"""Unicode of every kind, surrogate halves among it."""

RICH = st.lists(st.sampled_from(PIECES), max_size=14).flatmap(
    lambda pieces: st.sampled_from(("", " ")).map(lambda between: between.join(pieces))
)
"""Pieces that matter side by side, with and without spaces."""

MARKDOWN = st.lists(
    st.tuples(
        st.sampled_from(("", "- ", "* ", "1. ", "# ", "## ", "> ", "  - ", "```", "```python\n", "# Answer\n\n")),
        st.lists(st.sampled_from(PIECES[19:]), max_size=5).map(" ".join),
    ).map("".join),
    max_size=6,
).map("\n".join)
"""Lines as they stand in replies."""

TEXTS = st.one_of(RICH, MARKDOWN, ANY, st.sampled_from(CORPUS))
