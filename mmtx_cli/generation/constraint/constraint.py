"""What generated texts must satisfy, for a model's vocabulary."""

from collections.abc import Callable, Sequence
from typing import Any

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.constraint.byte_automaton import ByteAutomaton, TooManyStatesError
from mmtx_cli.generation.constraint.language import Part, parts, trimmed
from mmtx_cli.generation.constraint.regex import InvalidRegexError
from mmtx_cli.generation.constraint.token_automaton import FAR, TokenAutomaton
from mmtx_cli.generation.constraint.vocabulary import (
    UnknownVocabularyError,
    space_required,
    token_bytes,
)

TOO_LARGE = "too complex; use fewer or shorter constraints"


class Constraint:
    """The constraints of the settings together.

    ``tokens`` allows exactly the sequences of tokens whose text satisfies all of them.
    """

    def __init__(self, settings: GenerationSettings, tokenizer: Any) -> None:
        """``tokenizer`` is one of the tokenizers library.

        Raises:
            ConfigError: If the constraints are invalid, contradict each other or cannot be
                spelled, or the tokenizer is of an unknown kind.
        """
        normalizer = getattr(tokenizer, "normalizer", None)
        normalize: Callable[[str], str] = normalizer.normalize_str if normalizer else str
        found = list(parts(settings, normalize))
        if broken := [text for text in settings.choices if not trimmed().accepts(normalize(text))]:
            raise ConfigError(
                f"generation.choices: {broken[0]!r} cannot be generated: it has control "
                "characters, or white space at an end; remove them"
            )
        self.spelling = {normalize(choice).strip(): choice for choice in settings.choices}
        self.seeks = bool(settings.include)
        """Words are required: beams that lack the same number of tokens compete with each other."""
        required = " ".join(settings.include).lower()
        # a longer word that is required may begin with an excluded one
        avoided = [phrase for phrase in settings.exclude if phrase.lower() not in required]
        self.avoided = avoided_tokens(avoided, tokenizer)
        """The usual tokens of excluded phrases."""
        self.automata = {name: built(name, make) for name, make in found}
        names = ", ".join(self.automata)
        try:
            vocabulary = token_bytes(tokenizer)
            whole = self._together()
            self.space = space_required(tokenizer)
            self.tokens = TokenAutomaton(whole.after_space(self.space), vocabulary)
        except TooManyStatesError as error:
            raise ConfigError(f"{names}: {TOO_LARGE}") from error
        except UnknownVocabularyError as error:
            raise ConfigError(
                f"{names}: not supported for this tokenizer, only for byte-level BPE, "
                "SentencePiece and WordPiece; remove the constraints"
            ) from error
        if self.tokens.distance[self.tokens.start] >= FAR:
            raise ConfigError(self._unspelled(found, vocabulary))

    def _together(self) -> ByteAutomaton:
        """Return the automaton of texts that satisfy all constraints."""
        whole = trimmed()
        for count, (name, automaton) in enumerate(self.automata.items()):
            whole = whole & automaton
            if whole.empty:
                others = ", ".join(list(self.automata)[:count])
                raise ConfigError(
                    f"{name}: no text satisfies it together with {others}; remove one"
                    if others
                    else f"{name}: no text satisfies it"
                )
        return whole

    def _unspelled(self, found: Sequence[Part], vocabulary: Sequence[bytes | None]) -> str:
        """Return which constraints cannot be spelled with the vocabulary."""
        names = []
        for name, _ in found:
            alone = (trimmed() & self.automata[name]).after_space(self.space)
            tokens = TokenAutomaton(alone, vocabulary)
            names += [name] if tokens.distance[tokens.start] >= FAR else []
        named = "; ".join(names) or ", ".join(self.automata)
        return f"{named}: the model's vocabulary cannot spell such a text"

    @property
    def shortest(self) -> int:
        """The number of tokens of the shortest text, with the end token."""
        return int(self.tokens.distance[self.tokens.start]) + 1

    def check_length(self, steps: int) -> None:
        """Raise ConfigError unless a text fits into ``steps`` tokens."""
        if self.shortest > steps:
            raise ConfigError(
                f"{', '.join(self.automata)}: such a text has at least {self.shortest} tokens, but "
                f"at most {steps} are generated; set a larger max_length or "
                "generation.max_new_tokens, or use fewer constraints"
            )

    def unmet(self, text: str) -> list[str]:
        """Return the constraints that a text does not satisfy."""
        return [name for name, automaton in self.automata.items() if not automaton.accepts(text)]


def avoided_tokens(phrases: Sequence[str], tokenizer: Any) -> list[tuple[int, ...]]:
    """Return how the tokenizer encodes phrases in lower case, upper case and at the beginning of a
    sentence, behind a space.
    """
    forms = {
        f" {text}"
        for phrase in phrases
        for text in (phrase, phrase.lower(), phrase.upper(), phrase[:1].upper() + phrase[1:])
    }
    found = {tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in sorted(forms)}
    return sorted(found - {()})


def built(name: str, make: Callable[[], ByteAutomaton]) -> ByteAutomaton:
    """Return an automaton.

    Raises:
        ConfigError: Naming the constraint, if it is invalid or too large.
    """
    try:
        return make()
    except InvalidRegexError as error:
        raise ConfigError(f"{name}: {error}") from error
    except TooManyStatesError as error:
        raise ConfigError(f"{name}: {TOO_LARGE}") from error
