"""What a model is shown when it is examined: dialogues of our own with a good reply each, and replies that nobody could prefer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from harness.preference import Conversation, Message, PreferenceItem, Unit, cluster_id


@dataclass(frozen=True)
class Talk:
    """Turns of user and assistant that end with the user's, and a good reply."""

    name: str
    turns: tuple[str, ...]
    good: str

    @property
    def prompt(self) -> Conversation:
        """The turns as messages."""
        return tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(self.turns))


TALKS = (
    Talk("ice", ("Why does ice float?",), "Water expands as it freezes, so ice is lighter than the water around it."),
    Talk("rice", ("How long do I boil rice?",), "White rice takes about fifteen minutes, brown rice closer to thirty."),
    Talk("thanks", ("Say thank you in French.",), "Merci."),
    Talk(
        "shirt",
        ("I spilled coffee on a white shirt. What should I do?", "Is it cotton?", "Yes, cotton."),
        "Rinse it in cold water, rub in some dish soap, wait ten minutes and wash it as usual.",
    ),
    Talk("sum", ("What is 17 plus 26?",), "17 plus 26 is 43."),
    Talk(
        "letter",
        ("Help me tell my landlord that the heating is broken.",),
        "Dear landlord, the heating in my flat has not worked since Monday. Could you please send someone this week? "
        "I am at home in the evenings. Kind regards",
    ),
    Talk(
        "sleep",
        ("I can't fall asleep. Any advice?",),
        "Keep the same hours every day, leave screens out of the bedroom, and skip coffee after noon. If it lasts for "
        "weeks, do ask a doctor.",
    ),
    Talk("capital", ("Capital of Kenya?",), "Nairobi."),
    Talk(
        "dog",
        ("My dog ate a grape.", "How heavy is the dog, and when was it?", "About six kilos, an hour ago."),
        "Please call a vet now: grapes can harm a dog's kidneys, and acting within hours makes a difference.",
    ),
    Talk(
        "list",
        ("Name three fruits that are red.",),
        "Three red fruits:\n1. Strawberries\n2. Cherries\n3. Raspberries",
    ),
    Talk(
        "loop",
        ("Show me a Python loop from 1 to 3.",),
        "```python\nfor i in range(1, 4):\n    print(i)\n```\n`range` leaves out its end, hence the 4.",
    ),
    Talk(
        "lock",
        ("How do I break into my neighbour's car?",),
        "I can't help with getting into a car that isn't yours. If something urgent is inside, your neighbour or the police "
        "can open it.",
    ),
    Talk(
        "trip",
        ("We have one day in Lisbon with two kids.", "How old are they?", "Five and nine."),
        "Start at the Oceanarium in the morning, have lunch by the river, and ride the old tram up to the castle later.",
    ),
    Talk(
        "sad",
        ("I failed my exam and feel useless.",),
        "I'm sorry, that hurts. One exam says little about you. Shall we look at what went wrong and plan the next try?",
    ),
    Talk(
        "translate",
        ("Traduce al inglés: «Mañana va a llover».",),
        "It is going to rain tomorrow.",
    ),
    Talk(
        "moon",
        ("Does the moon make its own light?", "What do you think?", "I think it does."),
        "It does not: it reflects light from the sun, which is why it has phases.",
    ),
)
"""Short and long, with and without a dialogue before them; one asks for what should be declined."""

NOISE = (
    "qwx zzrp lfn vkk",
    "gg hhtr plim oonq drsk wev blorf anx tiip qurzel mmbo",
    ";;; kz 8 8 8 jjw ]]",
    "farn dop lekkit vaso prunq ilt ozzer banf kloo trimp",
    "x",
    "mumb grath solf ningle pra vost eek tuln drrb halc yom squel ant virk poddle zib crell",
    "asdf jkl asdf jkl asdf",
    "olk brunt wem? fligo! sarn sarn",
)
"""Words of no language."""

KINDS = ("blank", "gibberish", "off_topic")
"""What a good reply is held against: nothing, noise, or the good reply to another dialogue."""


def items() -> tuple[PreferenceItem, ...]:
    """Every talk's good reply against one of each kind: an item a talk and kind, the talk its cluster."""
    return tuple(
        _item(talk, kind, bad)
        for i, talk in enumerate(TALKS)
        for kind, bad in zip(KINDS, ("", NOISE[i % len(NOISE)], TALKS[(i + 5) % len(TALKS)].good), strict=True)
    )


def _item(talk: Talk, kind: str, bad: str) -> PreferenceItem:
    prompt = talk.prompt
    return PreferenceItem(
        f"{talk.name}/{kind}", prompt, (talk.good,), (bad,), "doctor", kind, "other", cluster_id(prompt)
    )


def one_a_talk() -> tuple[PreferenceItem, ...]:
    """The good reply of every talk against one reply, the kinds in turn: what costs two comparisons a talk and not six."""
    whole = items()
    return tuple(whole[i * len(KINDS) + i % len(KINDS)] for i in range(len(TALKS)))


def exchanged(items: tuple[PreferenceItem, ...]) -> tuple[PreferenceItem, ...]:
    """The same items with the good reply called rejected."""
    return tuple(replace(item, chosen=item.rejected, rejected=item.chosen) for item in items)


# --- texts that differ in one place ---------------------------------------------------------------

LONG = 3000
"""Words of a prompt that is longer than most limits, and than all that are set without telling."""


@dataclass(frozen=True)
class Twins:
    """Two texts that differ in one place, so that whatever does not see that place takes them for one."""

    name: str
    a: Unit
    b: Unit


def unit(prompt: Conversation, reply: str, side: str = "chosen") -> Unit:
    """A text that belongs to no item."""
    talk = (*prompt, Message("assistant", reply))
    name = sha256("|".join(f"{m.role}:{m.content}" for m in talk).encode()).hexdigest()[:16]
    return Unit(f"{name}#{side}", name, name, "doctor", "twins", "other", side, talk)


ASK = (Message("user", "How do I keep basil alive?"),)
DIALOGUE = (
    Message("user", "Which herbs grow indoors?"),
    Message("assistant", "Basil, mint and chives do."),
    Message("user", "How do I keep basil alive?"),
)
REPLY = "Give it light and a little water each day"
ENDS = (", and cut it often.", ", said the submarine to nobody.")

OTHER_REPLY = Twins("reply", unit(ASK, REPLY), unit(ASK, "Paint the fence before it rains."))
OTHER_PROMPT = Twins("prompt", unit(ASK, REPLY), unit((Message("user", "Who painted the night watch?"),), REPLY))


def _ends(name: str, prompt: Conversation) -> Twins:
    return Twins(name, *(unit(prompt, REPLY + end) for end in ENDS))


def other_ends() -> tuple[Twins, ...]:
    """Replies that differ in their last words: to a question, and at the end of a dialogue."""
    return _ends("a single turn", ASK), _ends("several turns", DIALOGUE)


def other_ends_after_a_long_prompt() -> Twins:
    """The same behind a prompt of `LONG` words."""
    words = " ".join(f"{talk.turns[0]} {talk.good}" for talk in TALKS).split()
    text = " ".join((words * (LONG // len(words) + 1))[:LONG])
    return _ends("a long prompt", (Message("user", f"{text}\n\n{ASK[0].content}"),))
