"""The texts that the settings of generation allow, as automata."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from unicodedata import category

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.constraint.byte_automaton import ByteAutomaton
from mmtx_cli.generation.constraint.regex import compiled, compiled_safely

NOT_IN_WORDS = (
    r"\s\x00-/:-@\[-^`{-\x7f\u0080-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    r"\u060c\u061b\u061f\u06d4\u0964-\u0965\u2000-\u206f\u2072-\u2073\u207a-\u207e\u208a-\u208f"
    r"\u20a0-\u20cf\u2190-\u245f\u2500-\u2775\u2794-\u2bff\u3001-\u3004\u3008-\u3020\u3030\ufe10-"
    r"\ufe19\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001f0ff"
    r"\U0001f300-\U0001faff"
)
"""Characters between words: white space, punctuation and symbols of ASCII, Latin-1 and some blocks
of Unicode. Fewer ranges than those of ``\\W`` make much smaller automata."""
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f]"
)
"""Characters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese and
Chinese."""
CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
TRIMMED = rf"(?:[^\s{CONTROL}](?:[^{CONTROL}]*[^\s{CONTROL}])?)?"
"""Texts of one line, without control characters, and without white space at their ends, which the
tokenizer removes."""

Part = tuple[str, Callable[[], ByteAutomaton]]
"""What a constraint is called in messages, and its automaton."""


def parts(
    settings: GenerationSettings, normalize: Callable[[str], str] = lambda text: text
) -> Iterator[Part]:
    """Yield the constraints of the settings.

    Args:
        settings: The settings.
        normalize: Of the tokenizer, e.g. to lower case: the model generates texts in this form.
    """
    for phrase in settings.include:
        yield f"generation.include={phrase!r}", partial(containing, spellings(phrase, normalize))
    if settings.exclude:
        name = f"generation.exclude={settings.exclude}"
        yield name, partial(without, [normalize(phrase) for phrase in settings.exclude])
    if settings.choices:
        name = f"generation.choices (of {len(settings.choices)} texts)"
        yield name, partial(one_of, [normalize(choice) for choice in settings.choices])
    if settings.regex is not None:
        yield f"generation.regex={settings.regex!r}", partial(compiled_safely, settings.regex)
    if settings.prefix is not None:
        prefix = normalize(settings.prefix).strip()
        yield f"generation.prefix={settings.prefix!r}", partial(beginning_with, prefix)


def containing(phrases: Sequence[str], any_case: bool = False) -> ByteAutomaton:
    """Return an automaton of texts with one of the phrases as whole words."""
    groups: dict[tuple[str, str], list[str]] = {}
    for phrase in map(str.strip, phrases):
        around = boundary(phrase[0]), boundary(phrase[-1], end=True)
        groups.setdefault(around, []).append(spaced(phrase))
    # what stands around the phrases once: repeated for each, it would multiply the states
    found = (f"{left}(?:{'|'.join(own)}){right}" for (left, right), own in groups.items())
    return compiled(f"(?s{'i' if any_case else ''})(?:{'|'.join(found)})")


def spellings(phrase: str, normalize: Callable[[str], str]) -> list[str]:
    """Return a phrase as it may be written in a text, also at the beginning of a sentence.

    Args:
        phrase: The phrase.
        normalize: Of the tokenizer.
    """
    written = (phrase, phrase[:1].upper() + phrase[1:])
    return [*dict.fromkeys(normalize(text).strip() for text in written)]


def without(phrases: Sequence[str]) -> ByteAutomaton:
    """Return an automaton of texts with none of the phrases, in any case."""
    return containing(phrases, any_case=True).complement().reduced()


def boundary(character: str, end: bool = False) -> str:
    """Return what may stand before a phrase that begins with a character.

    Args:
        character: The first character; with ``end``, the last one.
        end: Return what may stand behind instead.
    """
    in_words = re.match(r"\w", character) or category(character).startswith("M")
    if not in_words or UNSPACED.match(character):
        return ".*"
    # in any case, the Kelvin sign would be the letter k
    other = f"(?-i:[{NOT_IN_WORDS}])"
    return f"(?:{other}.*)?" if end else f"(?:.*{other})?"


def spaced(phrase: str) -> str:
    """Return an expression of a phrase with any white space between its words."""
    return r"\s+".join(map(re.escape, phrase.split()))


def one_of(choices: Sequence[str]) -> ByteAutomaton:
    """Return an automaton of some texts."""
    return compiled("|".join(re.escape(choice.strip()) for choice in choices))


def beginning_with(prefix: str) -> ByteAutomaton:
    """Return an automaton of texts that begin with a prefix, after which a new word begins."""
    return compiled(f"(?s){re.escape(prefix)}{boundary(prefix[-1], end=True)}")


def trimmed() -> ByteAutomaton:
    """Return an automaton of texts without white space at their ends and control characters."""
    return compiled(TRIMMED)
