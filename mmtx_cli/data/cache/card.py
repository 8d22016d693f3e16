"""What the entries of one encoder were made with, and in what another one differs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from mmtx_cli.config.preprocessing import Preparation
from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.moved_targets import renamed
from mmtx_cli.io.untrusted_file import read_json

CARD = "card.json"
FORMAT = 1
"""Changes with what a shard looks like."""

BODY = ".body"
"""How the part is called that holds the output of an encoder's body alone, behind the encoder."""

PREPARED = {
    "image": ("image_size", "fit"),
    "video": ("image_size", "fit", "num_frames", "sampling", "fps"),
    "audio": ("sample_rate", "audio_seconds"),
    "text": ("max_length",),
}
"""By modality: what of the preparation changes what its encoder sees.

Which column texts come from does not: an entry is a text's, wherever it stands.
"""
IN_DATA = ("fit", "sampling", "fps")


@dataclass(frozen=True)
class Card:
    """``part`` is such as "encoder.image", "encoder.image.body" or
    "head.distillation_image.teacher", of which one vector a content is kept. ``config`` is its
    plain configuration with what rebuilds it, ``weights`` and ``tokenizer`` are hashes; ``width``
    numbers are in a vector of ``dtype``.
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
        """Is it the output of an encoder's body, behind which the encoder goes on?"""
        return self.part.endswith(BODY)

    def differences(self, now: "Card") -> list[str]:
        """In what another encoder, or what it is shown, is not that of the entries."""
        told = [*changes(self.preparation, now.preparation, "")]
        # an encoder's own image_size is no second difference
        sizes = {key for key, then in self.preparation.items() if now.preparation.get(key) != then}
        theirs, mine = (without(card.config, sizes) for card in (self, now))
        other = [*changes(theirs, mine, f"{self.part}.")]
        if self.tokenizer != now.tokenizer:
            told.append("made with another tokenizer")
        resized = bool(sizes & self.config.keys())  # what is of another size has other weights
        if not other and not resized and self.weights != now.weights:
            other = [f"made with other weights of {self.part}{seeds(self.seed, now.seed)}"]
        return told + other

    def write(self, folder: Path) -> None:
        """Write it into the folder of the entries."""
        with replaced(folder / CARD) as temporary:
            temporary.write_text(
                json.dumps(asdict(self), indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """Read the card of a folder of entries; DataError if it is none."""
        path = folder / CARD
        try:
            held = renamed(read_json(path))
            if held["format"] != FORMAT:
                raise DataError(
                    f"{path}: written by another version of mmtx, in format {held['format']}; "
                    "make the cache anew"
                )
            return cls(**{field.name: held[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: no card of cached outputs: {error}") from error


def cards(folder: Path) -> dict[str, Card]:
    """The cards in a cache, by part."""
    found = (Card.read(path.parent) for path in sorted(folder.glob(f"*/{CARD}")))
    return {card.part: card for card in found}


def prepared_by(preparation: Preparation, modality: str) -> dict[str, Any]:
    """What of the preparation one modality goes through."""
    keys = ("max_feature_length",) if modality in preparation.features else PREPARED[modality]
    return {key: getattr(preparation, key) for key in keys}


def seeds(then: int, now: int) -> str:
    """What begins at random has other weights for another seed."""
    return f" (seed {then} then, {now} now)" if then != now else ""


def without(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """The configuration without these keys."""
    return {key: value for key, value in config.items() if key not in keys}


def changes(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Values of two nested mappings that differ, a line each."""
    for key in dict.fromkeys([*then, *now]):
        was, is_ = then.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from changes(was, is_, f"{prefix}{key}.")
        elif was != is_:
            name = f"data.{key}" if not prefix and key in IN_DATA else f"{prefix}{key}"
            yield f"{name} {shown(was)} then, {shown(is_)} now"


def shown(value: Any) -> str:
    """A value in a message; long ones are cut."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def tokenizer_hash(tokenizer: Any) -> str | None:
    """Which tokenizer it is."""
    return None if tokenizer is None else sha256(tokenizer.to_json().encode()).hexdigest()


def weights_hash(state: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in the order of their names."""
    import torch

    made = sha256()
    for name, tensor in sorted(state.items()):
        x = tensor.detach().cpu().contiguous()
        made.update(f"{name} {x.dtype} {tuple(x.shape)};".encode())
        made.update(x.reshape(-1).view(torch.uint8).numpy())
    return made.hexdigest()
