"""Refusing tokenizers that turn a short text into a very long one.

A ``tokenizer.json`` of a few bytes may replace every letter by a thousand, in ten stages: one word
would take all memory when it is encoded.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from tokenizers import Tokenizer

MAX_GROWTH = 1_000
"""Bytes that one byte of a text may become; a tokenizer converted from sentencepiece has 300."""
MAX_TEMPLATE = 1_000
"""Tokens that may be added to a text, such as the one that begins it."""
STAGES = ("normalizer", "pre_tokenizer", "decoder")


def check_growth(backend: Tokenizer) -> None:
    """Raise ValueError if a text could grow beyond the limits, naming the part that makes it."""
    for name in STAGES:
        stages = _stages(_state(getattr(backend, name)))
        if (growth := prod(map(_growth, stages))) > MAX_GROWTH:
            raise ValueError(
                f"its {name} may make a text {_shown(growth)} times as long; at most "
                f"{MAX_GROWTH:,} is accepted"
            )
    if (added := sum(map(_added, _stages(_state(backend.post_processor))))) > MAX_TEMPLATE:
        raise ValueError(
            f"its post_processor adds {_shown(added)} tokens to a text; at most {MAX_TEMPLATE:,} "
            "are accepted"
        )


def _state(part: Any) -> Any:
    return None if part is None else json.loads(part.__getstate__())


def _stages(node: Any) -> Iterator[Mapping[str, Any]]:
    """Each stage below a part, which may be a sequence of sequences."""
    if isinstance(node, Mapping) and node.get("type") == "Sequence":
        for value in node.values():
            for item in value if isinstance(value, list) else ():
                yield from _stages(item)
    elif isinstance(node, Mapping):
        yield node


def _growth(stage: Mapping[str, Any]) -> int:
    """The largest number of bytes that a stage makes of one."""
    match stage["type"]:
        case "ByteLevel":
            return 2
        case "Metaspace":  # a mark in place of a space, and one before the text
            return 1 + _size(stage["replacement"])
        case "Prepend":
            return 1 + _size(stage["prepend"])
        case "Replace":
            text = stage["pattern"].get("String")
            if text:
                return max(1, -(-_size(stage["content"]) // _size(text)))
            return 1 + _size(stage["content"])  # a pattern may match between letters
        case "Precompiled":
            return _longest_entry(base64.b64decode(stage["precompiled_charsmap"]))
    return 1


def _longest_entry(table: bytes) -> int:
    """Bytes of the longest replacement in sentencepiece's table: a trie's size, the trie, texts."""
    if len(table) < struct.calcsize("<I"):
        return 1
    (trie,) = struct.unpack_from("<I", table)
    return max(1, *map(len, table[struct.calcsize("<I") + trie :].split(b"\0")))


def _added(stage: Mapping[str, Any]) -> int:
    """Tokens that a template adds, copies of the text counted as one each."""
    if stage["type"] != "TemplateProcessing":
        return 0
    sizes = {name: len(token["ids"]) for name, token in stage["special_tokens"].items()}
    pieces = [piece.get("SpecialToken") for piece in stage["single"]]
    return sum(1 if piece is None else sizes.get(piece["id"], 1) for piece in pieces)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _shown(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "more than 10^12"
