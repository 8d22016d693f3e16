"""The published parameters of METEOR 1.5 by language (Denkowski and Lavie, 2014, Table 1)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """How METEOR weighs what it has aligned.

    Args:
        alpha: Weight of recall against precision.
        beta: Exponent of the fragmentation.
        gamma: Largest penalty for fragmentation.
        delta: Weight of content words; function words have 1 - ``delta``.
        weights: Stage to its weight, in the order of the stages.
    """

    alpha: float
    beta: float
    gamma: float
    delta: float
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Language:
    """A language as METEOR 1.5 knows it.

    Args:
        name: Its name in the file names of METEOR's data and of Snowball.
        parameters: Its parameters.
        short: The code in the name of its paraphrase table.
        normalized: Whether METEOR has a normalizer for it; text is only lowercased otherwise.
    """

    name: str
    parameters: Parameters
    short: str = ""
    normalized: bool = False


def _tuned(values: tuple[float, float, float, float], **weights: float) -> Parameters:
    return Parameters(*values, weights)


_INDEPENDENT = (0.75, 1.4, 0.7, 0.5)
_STEMMED = _tuned(_INDEPENDENT, exact=1.0, stem=0.5)

OTHER = Language("other", _tuned(_INDEPENDENT, exact=1.0))
"""Any language that is not listed: the language-independent parameters, exact matches only."""

LANGUAGES = {
    "en": Language(
        "english",
        _tuned((0.85, 0.2, 0.6, 0.75), exact=1.0, stem=0.6, synonym=0.8, paraphrase=0.6),
        "en",
        True,
    ),
    "cs": Language("czech", _tuned((0.95, 0.2, 0.6, 0.8), exact=1.0, paraphrase=0.4), "cz", True),
    "fr": Language(
        "french", _tuned((0.9, 1.4, 0.6, 0.65), exact=1.0, stem=0.2, paraphrase=0.4), "fr", True
    ),
    "es": Language(
        "spanish", _tuned((0.65, 1.3, 0.5, 0.8), exact=1.0, stem=0.8, paraphrase=0.6), "es", True
    ),
    "de": Language(
        "german", _tuned((0.95, 1.0, 0.55, 0.55), exact=1.0, stem=0.8, paraphrase=0.2), "de", True
    ),
    "ru": Language(
        "russian", _tuned(_INDEPENDENT, exact=1.0, stem=0.5, paraphrase=0.5), "ru", True
    ),
    "pt": Language("portuguese", _STEMMED),
    "da": Language("danish", _STEMMED),
    "ro": Language("romanian", _STEMMED),
    "hu": Language("hungarian", _STEMMED),
    "tr": Language("turkish", _STEMMED),
    "fi": Language("finnish", _STEMMED),
    "nl": Language("dutch", _STEMMED),
    "it": Language("italian", _STEMMED),
    "no": Language("norwegian", _STEMMED),
    "sv": Language("swedish", _STEMMED),
}
"""ISO 639-1 code to language."""
