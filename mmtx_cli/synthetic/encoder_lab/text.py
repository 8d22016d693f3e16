"""Text tasks: word order, negation, counting, agreement.

Words are lowercase and separated by spaces. In each task, a vocabulary of a few dozen words gives
far more sentences than a data set contains.
"""

from random import Random

from mmtx_cli.synthetic.encoder_lab.task import Task

ANIMALS = ("dog", "cat", "horse", "goat", "fox", "duck")
_VERBS = ("chased", "followed", "watched", "helped", "pushed", "licked", "passed", "called")
_MANNERS = ("young", "old", "brown", "white", "hungry", "tired", "quick", "clever", "")
_TIMES = ("today", "yesterday", "again", "at noon", "at night", "last week", "in the yard", "")

_OBJECTS = ("box", "cup", "bag", "door", "chair", "car", "lamp", "book", "coat", "table")
_PLACES = ("in the hall", "on the left", "by the wall", "at the back", "of the house", "")
_PROPERTIES = ("red", "heavy", "open", "new", "clean", "warm", "soft", "empty", "wet", "broken")

TARGET = "bell"
_ITEMS = ("drum", "flute", "horn", "harp", "lute", "pipe", "gong", "fiddle", "cello", "whistle")
_COUNTS = ("zero", "one", "two", "three", "four")
_LENGTHS = (6, 10)  # items in a list

_NOUNS = (
    "key",
    "cabinet",
    "picture",
    "wall",
    "window",
    "garden",
    "road",
    "tower",
    "letter",
    "boat",
)
_PREPOSITIONS = ("to", "near", "behind", "beside", "under", "above", "of")
NUMBERS = (("is", "was", "looks", "seems"), ("are", "were", "look", "seem"))
"""Verbs in the singular and in the plural."""
_STATES = ("old", "new", "clean", "small", "large", "strange", "famous", "broken", "safe", "dark")


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _word_order(label: str, random: Random, size: int) -> str:
    patient = random.choice([animal for animal in ANIMALS if animal != label])
    agent, patient = (_join("the", random.choice(_MANNERS), animal) for animal in (label, patient))
    verb, when = random.choice(_VERBS), random.choice(_TIMES)
    # passive half of the time, so that the first animal is not always the answer
    if random.random() < 0.5:
        return _join(patient, "was", verb, "by", agent, when)
    return _join(agent, verb, patient, when)


def _negation(label: str, random: Random, size: int) -> str:
    properties = random.sample(_PROPERTIES, 3)
    # one or two negations in either class, so that their number does not give the answer
    negated = random.sample(properties, random.choice((1, 2)))
    queried = random.choice([p for p in properties if (p in negated) == (label == "no")])
    first, second, third = (f"not {p}" if p in negated else p for p in properties)
    subject = _join("the", random.choice(_OBJECTS), random.choice(_PLACES))
    return f"{subject} is {first} and {second} and {third} . is it {queried} ?"


def _count(label: str, random: Random, size: int) -> str:
    count = _COUNTS.index(label)
    others = random.randint(*_LENGTHS) - count
    items = [TARGET] * count + random.choices(_ITEMS, k=others)
    random.shuffle(items)
    return f"there is a {' and a '.join(items)}"


def _agreement(label: str, random: Random, size: int) -> str:
    subject, *others = random.sample(_NOUNS, random.choice((2, 3)))
    plural = random.randrange(2)
    phrase = f"the {subject}{'s' * plural}"
    # singular or plural, so that the noun next to the verb does not give the answer
    for noun in others:
        phrase += f" {random.choice(_PREPOSITIONS)} the {noun}{'s' * random.randrange(2)}"
    verb = random.choice(NUMBERS[plural if label == "correct" else 1 - plural])
    return f"{phrase} {verb} {random.choice(_STATES)}"


TASKS = (
    Task("text_word_order", "text", ANIMALS, "The animal that acts on the other", _word_order),
    Task(
        "text_negation",
        "text",
        ("yes", "no"),
        "Whether the object has the queried property",
        _negation,
    ),
    Task("text_count", "text", _COUNTS, f'The number of times that "{TARGET}" occurs', _count),
    Task(
        "text_agreement",
        "text",
        ("correct", "wrong"),
        "Whether the verb agrees with its subject in number",
        _agreement,
    ),
)
