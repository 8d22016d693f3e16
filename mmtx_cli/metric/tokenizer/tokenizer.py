"""The tokenizer of all metrics of a run: chosen by its name, the language or the captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.unicode import composed
from mmtx_cli.metric.tokenizer.language import language_of, scripts_of
from mmtx_cli.metric.tokenizer.split import TOKENIZERS, Split, split_of, versions_of
from mmtx_cli.suggest import suggest

UNSEPARATED = frozenset(("zh", "ja", "ko", "th", "lo", "km", "my", "bo"))
"""Languages whose default tokens are characters: they do not separate words by spaces, or, as
Korean, attach particles to them."""

_SAMPLED = 10_000
"""Captions by which the language is found, drawn at random."""


@dataclass
class Tokenizer:
    """Splits captions in NFC into tokens; each different caption once.

    Args:
        name: A name of ``TOKENIZERS``.
        language: The language (ISO 639), or ``und`` if their script leaves it open: words are
            separated by spaces.
        split: Splits a caption in NFC.
    """

    name: str
    language: str
    split: Split
    _found: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _words: dict[str, str] = field(default_factory=dict, repr=False)

    def tokens(self, caption: str) -> list[str]:
        """Return the tokens of a caption. The list is shared: do not change it."""
        found = self._found.get(caption)
        if found is None:
            # equal tokens are one object: a caption takes a tenth of the memory
            one = self._words
            words = self.split(composed(caption))
            self._found[caption] = found = [one.setdefault(word, word) for word in words]
        return found

    @property
    def parameters(self) -> dict[str, Any]:
        """What results depend on, for ``result.json``: tokenizer, language and versions."""
        versions = versions_of(self.name)
        found: dict[str, Any] = {"tokenizer": self.name, "language": self.language}
        return found | ({"tokenizer_packages": versions} if versions else {})


def default_tokenizer(language: str) -> str:
    """Return the default tokenizer of a language.

    It never depends on the packages that are installed, so the same command gives the same figures
    everywhere.
    """
    return "char" if language.split("-")[0] in UNSEPARATED else "ptb"


def chosen_tokenizer(
    captions: Sequence[str], language: str | None = None, name: str | None = None
) -> Tokenizer:
    """Return the tokenizer of some captions.

    Args:
        captions: The captions by whose scripts the language is found if it is not given.
        language: The language (ISO 639), such as ``zh``.
        name: A name of ``TOKENIZERS``; by default that of the language.

    Raises:
        ConfigError: if the name is unknown, or its package is missing.
    """
    if name is not None and name not in TOKENIZERS:
        raise ConfigError(f"tokenizer: {name} is not a tokenizer; {suggest(name, TOKENIZERS)}")
    if language is None:
        if len(captions) > _SAMPLED:
            captions = Random(0).sample(captions, _SAMPLED)
        language = language_of(scripts_of(captions))
    return _tokenizer(name or default_tokenizer(language), language)


@lru_cache(maxsize=2)
def _tokenizer(name: str, language: str) -> Tokenizer:
    return Tokenizer(name, language, split_of(name))
