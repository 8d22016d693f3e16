"""Rejection of tokenizers that expand a short text into a very long one.

A ``tokenizer.json`` of a few bytes may replace every letter by a thousand in each of ten stages,
so that encoding one word would exhaust memory.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from tokenizers import Tokenizer

MAX_GROWTH = 1_000
"""Maximum expansion in bytes per byte; tokenizers converted from sentencepiece reach 300."""
MAX_TEMPLATE = 1_000
"""Maximum number of tokens added to a text by the post-processor, e.g. BOS and EOS."""
STAGES = ("normalizer", "pre_tokenizer", "decoder")


def check_growth(backend: Tokenizer) -> None:
    """Raise ValueError, naming the component, if a text could grow beyond the limits."""
    for name in STAGES:
        stages = _stages(_state(getattr(backend, name)))
        if (growth := prod(map(_growth, stages))) > MAX_GROWTH:
            raise ValueError(
                f"its {name} may make a text {_shown(growth)} times as long; the limit "
                f"is {MAX_GROWTH:,}"
            )
    if (added := sum(map(_added, _stages(_state(backend.post_processor))))) > MAX_TEMPLATE:
        raise ValueError(
            f"its post_processor adds {_shown(added)} tokens to a text; the limit is "
            f"{MAX_TEMPLATE:,}"
        )


def _state(part: Any) -> Any:
    return None if part is None else json.loads(part.__getstate__())


def _stages(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the stages of a component, flattening nested sequences."""
    if isinstance(node, Mapping) and node.get("type") == "Sequence":
        for value in node.values():
            for item in value if isinstance(value, list) else ():
                yield from _stages(item)
    elif isinstance(node, Mapping):
        yield node


def _growth(stage: Mapping[str, Any]) -> int:
    """Return the maximum number of bytes that a stage produces per input byte."""
    match stage["type"]:
        case "ByteLevel":
            return 2
        case "Metaspace":  # replaces each space, and prepends one
            return 1 + _size(stage["replacement"])
        case "Prepend":
            return 1 + _size(stage["prepend"])
        case "Replace":
            text = stage["pattern"].get("String")
            if text:
                return max(1, -(-_size(stage["content"]) // _size(text)))
            return 1 + _size(stage["content"])  # a regex may also match between characters
        case "Precompiled":
            return _longest_entry(base64.b64decode(stage["precompiled_charsmap"]))
    return 1


def _longest_entry(table: bytes) -> int:
    """Return the longest replacement in sentencepiece's table: trie size, trie, then strings."""
    if len(table) < struct.calcsize("<I"):
        return 1
    (trie,) = struct.unpack_from("<I", table)
    return max(1, *map(len, table[struct.calcsize("<I") + trie :].split(b"\0")))


def _added(stage: Mapping[str, Any]) -> int:
    """Return the number of tokens that a template adds; each copy of the text counts as one."""
    if stage["type"] != "TemplateProcessing":
        return 0
    sizes = {name: len(token["ids"]) for name, token in stage["special_tokens"].items()}
    pieces = [piece.get("SpecialToken") for piece in stage["single"]]
    return sum(1 if piece is None else sizes.get(piece["id"], 1) for piece in pieces)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _shown(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "more than 10^12"
