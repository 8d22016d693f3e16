"""Cache cards: how one module's cached outputs were produced, and how a new setup differs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.untrusted.bounded_file import read_json

CARD = "card.json"
FORMAT = 1
"""Version of the shard format."""

BODY = ".body"
"""Suffix of the part that holds the output of an encoder's pretrained body alone."""

PREPARATION_KEYS = {
    "image": ("image_size", "resize_mode"),
    "video": ("image_size", "resize_mode", "num_frames", "frame_sampling", "fps"),
    "audio": ("sample_rate", "audio_seconds"),
    "text": ("max_length",),
}
"""Preprocessing settings that affect the encoder's input, by modality.

The column of a text does not matter: a cache entry belongs to the text itself.
"""
NAFLEX_KEYS = ("resize_mode", "max_patches", "patch_size")
"""Those of images of any aspect ratio."""
DATA_SECTION_KEYS = ("resize_mode", "max_patches", "frame_sampling", "fps")


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

    def differences(self, new: "Card") -> list[str]:
        """Return how the module or preprocessing described by ``new`` differs, one line each."""
        messages = [*changes(self.preparation, new.preparation, "")]
        # an image_size in the encoder's config is the same setting: report it once
        sizes = {
            key for key, value in self.preparation.items() if new.preparation.get(key) != value
        }
        old_config, new_config = (without(card.config, sizes) for card in (self, new))
        config_changes = [*changes(old_config, new_config, f"{self.part}.")]
        if self.tokenizer != new.tokenizer:
            messages.append("built with a different tokenizer")
        resized = bool(sizes & self.config.keys())  # a resized encoder has other weights anyway
        if not config_changes and not resized and self.weights != new.weights:
            config_changes = [
                f"built with different weights of {self.part}{seed_difference(self.seed, new.seed)}"
            ]
        return messages + config_changes

    def write(self, folder: Path) -> None:
        """Write the card into the folder of its entries."""
        with atomic_write(folder / CARD) as temporary:
            temporary.write_text(
                json.dumps(asdict(self), indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """Read the card of a folder; raise DataError if it is missing or invalid."""
        path = folder / CARD
        try:
            content = renamed(read_json(path))
            if content["format"] != FORMAT:
                raise DataError(
                    f"{path}: written by another version of mmtx, in format {content['format']}; "
                    "rebuild the cache"
                )
            return cls(**{field.name: content[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: not a valid cache card: {error}") from error


def cards(folder: Path) -> dict[str, Card]:
    """Return all cards in a cache, by part."""
    found = (Card.read(path.parent) for path in sorted(folder.glob(f"*/{CARD}")))
    return {card.part: card for card in found}


def preprocessing_of(preparation: Preprocessing, modality: str) -> dict[str, Any]:
    """Return the preprocessing settings that apply to a modality."""
    keys = (
        ("max_feature_length",) if modality in preparation.features else PREPARATION_KEYS[modality]
    )
    if modality == "image" and keys == PREPARATION_KEYS["image"]:
        keys = NAFLEX_KEYS if preparation.resize_mode == "naflex" else keys
    return {key: getattr(preparation, key) for key in keys}


def seed_difference(old: int, new: int) -> str:
    """Describe a difference in seeds, which changes randomly initialized weights; "" if equal."""
    return f" (seed {old} before, {new} now)" if old != new else ""


def without(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Return the configuration without these keys."""
    return {key: value for key, value in config.items() if key not in keys}


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield one line for each value that differs between two nested mappings."""
    for key in dict.fromkeys([*old, *new]):
        old_value, new_value = old.get(key), new.get(key)
        if isinstance(old_value, Mapping) and isinstance(new_value, Mapping):
            yield from changes(old_value, new_value, f"{prefix}{key}.")
        elif old_value != new_value:
            name = f"data.{key}" if not prefix and key in DATA_SECTION_KEYS else f"{prefix}{key}"
            yield f"{name} {shown(old_value)} before, {shown(new_value)} now"


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

    digest = sha256()
    for name, tensor in sorted(state.items()):
        x = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {x.dtype} {tuple(x.shape)};".encode())
        digest.update(x.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
