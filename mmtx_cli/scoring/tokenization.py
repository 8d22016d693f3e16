"""The tokenizer of a run, and whether its captions are in one language."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from mmtx_cli.errors import listed
from mmtx_cli.metric.tokenizer.language import japanese, language_of, script_of
from mmtx_cli.metric.tokenizer.tokenizer import (
    UNSEPARATED,
    Tokenizer,
    chosen_tokenizer,
    default_tokenizer,
)
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.settings import ScoreSettings

_PURE = 0.8
"""Share of the references that must be in one script unless the language is set."""
_ADVICE = {
    "zh": "tokenizer=jieba gives words, tokenizer=zh those of sacrebleu",
    "ja": "tokenizer=ja-mecab gives words",
    "ko": "tokenizer=ko-mecab gives words and particles",
    "th": "tokenizer=thai gives words",
}


def tokenizer_for(settings: ScoreSettings, texts: Sequence[str]) -> Tokenizer:
    """Return the tokenizer of ``settings``, or by default that of the language of ``texts``.

    Give the references as ``texts``, so that every family of metrics and system has the same one.
    Raises ConfigError if its package is missing.
    """
    return chosen_tokenizer(texts, settings.language, settings.tokenizer)


def reference_texts(captions: Captions) -> list[str]:
    """Return all references, by which the language is found."""
    return list(chain.from_iterable(captions.references))


def language_report(
    captions: Captions, settings: ScoreSettings, names: tuple[str, str]
) -> tuple[list[str], list[str]]:
    """Return faults of captions in several languages, and notes for the user.

    Args:
        captions: Captions of a system.
        settings: If they name the language, other scripts are only noted.
        names: Paths of the predictions and the references.
    """
    predictions, references = names
    of_predictions = [script_of(caption) for caption in captions.predictions]
    counts = _counts(of_predictions)
    expected = _counts([script_of(caption) for caption in reference_texts(captions)])
    if not expected or not counts:
        return [], []
    (main, number), *_ = expected.most_common(1)
    total = sum(expected.values())
    faults, notes = [], []
    if number < _PURE * total:
        faults.append(
            f"{references}: the references are in several scripts: {_shares(expected)}; score each "
            "language for itself, or set language=… to tokenize all of them in the same way"
        )
    other = [
        name
        for name, script in zip(captions.ids, of_predictions, strict=True)
        if script is not None and _same(script, counts) != main
    ]
    if other and number >= _PURE * total:
        text = (
            f"{predictions}: {len(other)} of {len(captions)} predictions are in another script "
            f"than the references: {_shares(counts)}, references {_shares(expected)}; ids "
            f"{listed(other)}; they share no words"
        )
        if counts.most_common(1)[0][0] != main:
            faults.append(f"{text}; use references in their language, or set language=… to score")
        else:
            notes.append(text)
    if settings.language is not None:
        faults, notes = _language_faults(settings, references, expected), faults + notes
    return faults, notes + _tokenizer_notes(captions, settings, expected)


def _language_faults(settings: ScoreSettings, references: str, expected: Counter[str]) -> list[str]:
    """Return the error of a language that would split unseparated words at spaces only."""
    found = language_of(expected)
    if (
        settings.tokenizer is not None
        or found not in UNSEPARATED
        or default_tokenizer(str(settings.language)) == default_tokenizer(found)
    ):
        return []
    return [
        f"language={settings.language}: the script of {references} is that of {found} "
        f"({_shares(expected)}); set language={found}, or, if it is right, also tokenizer=…"
    ]


def _tokenizer_notes(
    captions: Captions, settings: ScoreSettings, expected: Counter[str]
) -> list[str]:
    """Return what to know of the tokens, and of characters that only look alike."""
    notes = []
    language = (settings.language or language_of(expected)).split("-")[0]
    if settings.tokenizer is None and language in UNSEPARATED:
        advice = f"; {_ADVICE[language]}" if language in _ADVICE else ""
        notes.append(
            f"language {language}: tokens are characters (tokenizer=char){advice}; figures with "
            "different tokenizers cannot be compared"
        )
    if settings.tokenizer in ("ptb", "13a", "intl", "none") and language in UNSEPARATED - {"ko"}:
        notes.append(
            f"tokenizer={settings.tokenizer}: splits {language} only at spaces and punctuation, so "
            "whole sentences may be one token"
        )
    wide = [
        sum(map(_is_wide, texts)) for texts in (captions.predictions, reference_texts(captions))
    ]
    if bool(wide[0]) != bool(wide[1]):
        side = "predictions" if wide[0] else "references"
        notes.append(
            f"{max(wide)} {side} have full-width letters or digits (Ａ, １), the other side has "
            "none; they are different tokens than A and 1"
        )
    return notes


def _is_wide(caption: str) -> bool:
    return not caption.isascii() and any(
        "\uff10" <= char <= "\uff19" or "\uff21" <= char <= "\uff3a" or "\uff41" <= char <= "\uff5a"
        for char in caption
    )


def _counts(scripts: Sequence[str | None]) -> Counter[str]:
    return japanese(Counter(script for script in scripts if script is not None))


def _same(script: str, counts: Counter[str]) -> str:
    """Return the script under which a caption was counted: Han counts as Japanese among kana."""
    return "kana" if script == "Han" and "Han" not in counts else script


def _shares(counts: Counter[str]) -> str:
    total = sum(counts.values())
    parts = [f"{100 * count / total:.1f} % {script}" for script, count in counts.most_common(4)]
    return ", ".join(parts).replace("kana", "Japanese")
