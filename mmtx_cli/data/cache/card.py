"""Cache cards: how one module's cached outputs were produced, and how a new setup differs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.untrusted_file import read_json

CARD = "card.json"
FORMAT = 1
"""Version of the shard format."""

BODY = ".body"
"""Suffix of the part that holds the output of an encoder's pretrained body alone."""

PREPARED = {
    "image": ("image_size", "resize_mode"),
    "video": ("image_size", "resize_mode", "num_frames", "frame_sampling", "fps"),
    "audio": ("sample_rate", "audio_seconds"),
    "text": ("max_length",),
}
"""Preprocessing settings that affect the encoder's input, by modality.

The column of a text does not matter: a cache entry belongs to the text itself.
"""
IN_DATA = ("resize_mode", "frame_sampling", "fps")


@dataclass(frozen=True)
class Card:
    """Description of cached outputs.

    ``part`` is the module, e.g. "encoder.image", "encoder.image.body" or
    "head.distillation_image.teacher"; a teacher has one vector per content. ``config`` is the
    plain configuration from which it can be rebuilt, ``weights`` and ``tokenizer`` are hashes.
    Vectors have ``width`` elements of type ``dtype``.
    """

    part: str
    modality: str
    weights: str
    config: dict[str, Any]
    preparation: dict[str, Any]
    tokenizer: str | None
    seed: int
    width: int
    dtype: str
    format: int = FORMAT

    @property
    def of_body(self) -> bool:
        """True if these are outputs of an encoder's body, not of the whole encoder."""
        return self.part.endswith(BODY)

    def differences(self, now: "Card") -> list[str]:
        """Return how the module or preprocessing described by ``now`` differs, one line each."""
        told = [*changes(self.preparation, now.preparation, "")]
        # an image_size in the encoder's config is the same setting: report it once
        sizes = {key for key, then in self.preparation.items() if now.preparation.get(key) != then}
        theirs, mine = (without(card.config, sizes) for card in (self, now))
        other = [*changes(theirs, mine, f"{self.part}.")]
        if self.tokenizer != now.tokenizer:
            told.append("built with a different tokenizer")
        resized = bool(sizes & self.config.keys())  # a resized encoder has other weights anyway
        if not other and not resized and self.weights != now.weights:
            other = [f"built with different weights of {self.part}{seeds(self.seed, now.seed)}"]
        return told + other

    def write(self, folder: Path) -> None:
        """Write the card into the folder of its entries."""
        with replaced(folder / CARD) as temporary:
            temporary.write_text(
                json.dumps(asdict(self), indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """Read the card of a folder; raise DataError if it is missing or invalid."""
        path = folder / CARD
        try:
            held = renamed(read_json(path))
            if held["format"] != FORMAT:
                raise DataError(
                    f"{path}: written by another version of mmtx, in format {held['format']}; "
                    "rebuild the cache"
                )
            return cls(**{field.name: held[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: not a valid cache card: {error}") from error


def cards(folder: Path) -> dict[str, Card]:
    """Return all cards in a cache, by part."""
    found = (Card.read(path.parent) for path in sorted(folder.glob(f"*/{CARD}")))
    return {card.part: card for card in found}


def prepared_by(preparation: Preprocessing, modality: str) -> dict[str, Any]:
    """Return the preprocessing settings that apply to a modality."""
    keys = ("max_feature_length",) if modality in preparation.features else PREPARED[modality]
    return {key: getattr(preparation, key) for key in keys}


def seeds(then: int, now: int) -> str:
    """Describe a difference in seeds, which changes randomly initialized weights; "" if equal."""
    return f" (seed {then} before, {now} now)" if then != now else ""


def without(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Return the configuration without these keys."""
    return {key: value for key, value in config.items() if key not in keys}


def changes(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield one line for each value that differs between two nested mappings."""
    for key in dict.fromkeys([*then, *now]):
        was, is_ = then.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from changes(was, is_, f"{prefix}{key}.")
        elif was != is_:
            name = f"data.{key}" if not prefix and key in IN_DATA else f"{prefix}{key}"
            yield f"{name} {shown(was)} before, {shown(is_)} now"


def shown(value: Any) -> str:
    """Return a value as text for messages, truncated to 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def tokenizer_hash(tokenizer: Any) -> str | None:
    """Return the SHA-256 of a serialized tokenizer, or None."""
    return None if tokenizer is None else sha256(tokenizer.to_json().encode()).hexdigest()


def weights_hash(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of tensors, sorted by name."""
    import torch

    made = sha256()
    for name, tensor in sorted(state.items()):
        x = tensor.detach().cpu().contiguous()
        made.update(f"{name} {x.dtype} {tuple(x.shape)};".encode())
        made.update(x.reshape(-1).view(torch.uint8).numpy())
    return made.hexdigest()
