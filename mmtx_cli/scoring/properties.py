"""What a set of captions is like: diversity, repetition, broken endings, length, novelty."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmtx_cli.metric.diversity import normalized, unspaced
from mmtx_cli.metric.properties.endings import FUNCTION_WORDS, are_english
from mmtx_cli.metric.properties.measured import properties
from mmtx_cli.metric.properties.repetition import repeated_order
from mmtx_cli.metric.tokenizer.language import UNDETERMINED
from mmtx_cli.metric.tokenizer.tokenizer import UNSEPARATED
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.systems import read_captions
from mmtx_cli.scoring.tokenization import reference_texts, tokenizer_for

_NO_ENDINGS = (
    "broken_end is left out: the words with which captions do not end are known for English only, "
    "and these references are in another language (if not, set language=en)"
)


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return the properties of the captions, and those of the first references."""
    tokenizer = tokenizer_for(settings, reference_texts(captions))
    first = [own[0] for own in captions.references]
    words, first_words = (
        [*map(tokenizer.tokens, texts)] for texts in (captions.predictions, first)
    )
    language = _language_of_endings(tokenizer.language, first_words)
    spaced = tokenizer.language.split("-")[0] not in UNSEPARATED - {"ko"}
    order = repeated_order(tokenizer.language, tokenizer.name == "char")
    training = None
    parameters: dict[str, Any] = dict(tokenizer.parameters)
    if settings.training is not None:
        training = training_captions(settings)
        training = training if spaced else frozenset(map(unspaced, training))
        parameters |= {"training": str(settings.training), "training_captions": len(training)}
    if language is not None:
        parameters["language_of_endings"] = language
    if tokenizer.name == "char":
        parameters["repeated_characters"] = order
    how: Any = {"spaced": spaced, "order": order}
    found = properties(captions.predictions, words, language, training, **how)
    people = properties(first, first_words, language, training, **how)
    return Measured(
        found.scores,
        parameters,
        () if language else (_NO_ENDINGS,),
        found.whole,
        people.whole | people.scores.metrics(),
    )


def training_captions(settings: ScoreSettings) -> frozenset[str]:
    """Return the different training captions in their normalized form.

    Raises:
        DataError: with all errors of the file.
    """
    assert settings.training is not None
    columns = tuple(settings.reference_columns.items())
    return _training_captions(settings.training, settings.training_split, columns)


@lru_cache(maxsize=1)
def _training_captions(
    path: Path, split: str | None, columns: tuple[tuple[str, str | int], ...]
) -> frozenset[str]:
    """Read the training captions once for all systems."""
    captions = read_captions([path], split, dict(columns))
    return frozenset(normalized(caption) for own in captions.values() for caption in own)


def _language_of_endings(language: str, first_words: Sequence[Sequence[str]]) -> str | None:
    """Return the language by which broken endings are recognized, None without one.

    A language that is not determined by its script counts as English if the words are.
    """
    if language == UNDETERMINED:
        return "en" if are_english(first_words) else None
    known = language.split("-")[0]
    return known if known in FUNCTION_WORDS else None
