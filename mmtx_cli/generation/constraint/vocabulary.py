"""The bytes of the tokens of a tokenizer."""

import json
import re
from typing import Any

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""The sign of SentencePiece for a space."""


class UnknownVocabularyError(ValueError):
    """How the tokens of a tokenizer are joined to a text is not known."""


def token_bytes(tokenizer: Any) -> list[bytes | None]:
    """Return what each token adds to a text; None for special tokens, which add nothing.

    Args:
        tokenizer: Of the tokenizers library.

    Raises:
        UnknownVocabularyError: If it is not a byte-level BPE, SentencePiece or WordPiece tokenizer.
    """
    kinds = decoder_kinds(tokenizer)
    convert = next((found for kind, found in CONVERSIONS.items() if kind in kinds), None)
    if convert is None:
        raise UnknownVocabularyError
    added = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    found: list[bytes | None] = [None] * (1 + max(vocabulary.values()))
    for token, number in vocabulary.items():
        if number in added:
            content = None if added[number].special else token.encode()
        else:
            content = convert(token)
        found[number] = content or None
    return found


def space_required(tokenizer: Any) -> bool:
    """Return whether the first token of a text must begin with a space: WordPiece decodes the
    others as if they began a text with ``##``.
    """
    return "WordPiece" in decoder_kinds(tokenizer)


def decoder_kinds(tokenizer: Any) -> set[str]:
    """Return the names of the steps of a tokenizer's decoder."""
    node = json.loads(tokenizer.to_str()).get("decoder") or {}
    return {part["type"] for part in (node, *node.get("decoders", ())) if "type" in part}


def from_byte_level(token: str) -> bytes | None:
    """Return the bytes of a token of byte-level BPE; None if it is not one."""
    if any(character not in BYTE_OF for character in token):
        return None
    return bytes(BYTE_OF[character] for character in token)


def from_sentencepiece(token: str) -> bytes:
    """Return the bytes of a token in which a block stands for a space."""
    if byte := BYTE_TOKEN.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(SPACE, " ").encode()


def from_wordpiece(token: str) -> bytes:
    """Return the bytes of a token that begins a word unless it begins with ``##``."""
    return (token[2:] if token.startswith("##") else f" {token}").encode()


def byte_characters() -> dict[str, int]:
    """Return the byte of each character that stands for one in byte-level BPE (GPT-2)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


BYTE_OF = byte_characters()
CONVERSIONS = {
    "ByteLevel": from_byte_level,
    "ByteFallback": from_sentencepiece,
    "Metaspace": from_sentencepiece,
    "WordPiece": from_wordpiece,
}
