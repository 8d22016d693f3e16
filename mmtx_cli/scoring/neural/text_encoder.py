"""Text encoders of the hub with their tokenizers: from texts to vectors of tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.decoder.language_model import package_file, weights_hash
from mmtx_cli.encoder.text.huggingface import HuggingFaceTextEncoder
from mmtx_cli.errors import ConfigError, MmtxError
from mmtx_cli.hub.huggingface import tokenizer_of, transformers
from mmtx_cli.types import ModalityInput

_TRIAL_LENGTH = 8
"""Tokens of the run that finds which weights the model needs."""
_NO_LIMIT = 10**9
"""Tokenizers without a limit of their own state a huge number."""


def resolved(weights: str) -> str:
    """Return ``package:NAME/FOLDER`` as the path of the folder, and other names as they are."""
    return str(package_file(weights) or weights)


def short_name(weights: str) -> str:
    """Return the name of a model on the hub, or that of its folder without the path."""
    path = Path(resolved(weights)).expanduser()
    return path.resolve().name if path.is_dir() else weights


@contextmanager
def errors_of(key: str) -> Iterator[None]:
    """Turn the errors of loading ``weights=…`` into those of the key ``key``.weights."""
    try:
        yield
    except MmtxError:
        raise
    except ValueError as error:
        place = f"{key}." if str(error).startswith("weights=") else f"{key}.weights: "
        raise ConfigError(f"{place}{error}") from error


@dataclass
class Cut:
    """How many texts were longer than a model's ``limit``, and thus cut."""

    limit: int | None
    count: int = 0

    def note(self, what: str) -> tuple[str, ...]:
        """Return a sentence about it, or nothing."""
        if not self.count:
            return ()
        return (
            f"{what}: {self.count} different captions are longer than the {self.limit} tokens that "
            "the model reads; what follows is ignored",
        )


class TextEncoder:
    """A text encoder and its tokenizer, on a device.

    ``limit`` is the largest number of tokens, special ones included; None if there is none.
    """

    def __init__(
        self,
        weights: str,
        device: torch.device,
        layers: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Load the model.

        Args:
            weights: A name on the hub, a folder, or ``package:NAME/FOLDER``.
            device: The device.
            layers: Number of blocks to keep (None: all).
            limit: A limit of the number of tokens below that of the model.

        Raises:
            ValueError: if it cannot be loaded.
        """
        folder = resolved(weights)
        config = None if layers is None else {"num_hidden_layers": layers}
        self.tokenizer = tokenizer_of(folder)
        if self.tokenizer.pad_token_id is None and self.tokenizer.eos_token is not None:
            self.tokenizer.pad_token = self.tokenizer.eos_token  # padding is masked
        model = HuggingFaceTextEncoder(
            weights=folder, max_length=_TRIAL_LENGTH, config=config, freeze=True
        )
        self.hash = weights_hash(model.body)[:16]
        self.model, self.device = model.to(device).eval(), device
        limits = [limit, token_limit(self.tokenizer, model.hub.config, model.body)]
        self.limit = min((n for n in limits if n is not None), default=None)
        self.cut = Cut(self.limit)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts with special ones, cut to the limit.

        How many are cut stands in ``cut`` until the next call.
        """
        found = self._tokens(texts, None)
        self.cut = Cut(self.limit)
        if self.limit is not None:
            long = [i for i, tokens in enumerate(found) if len(tokens) > self.limit]
            self.cut.count = len(long)
            if long:
                for i, tokens in zip(long, self._tokens([texts[i] for i in long], self.limit)):  # noqa: B905
                    found[i] = tokens
        return found

    def _tokens(self, texts: Sequence[str], most: int | None) -> list[list[int]]:
        cut = {"truncation": True, "max_length": most} if most else {"truncation": False}
        rows = self.tokenizer(list(texts), padding=False, verbose=False, **cut)["input_ids"]
        return [list(row) for row in rows]

    def vectors(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return the vectors [b, l, d] of texts given as tokens, and the mask [b, l] of tokens."""
        rows = [torch.tensor(row, dtype=torch.long) for row in tokens]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        with torch.inference_mode():
            return self.model(ModalityInput(ids, mask)).x.float(), mask

    def description(self, weights: str) -> dict[str, Any]:
        """Return what identifies the model, for ``result.json``."""
        return {
            "weights": weights,
            "weights_hash": self.hash,
            "max_tokens": self.limit,
            "cut_captions": self.cut.count,
            "transformers": transformers().__version__,
        }


def token_limit(tokenizer: Any, config: Any, body: Any) -> int | None:
    """Return how many tokens a model reads, special ones included; None if there is no limit.

    Args:
        tokenizer: Its tokenizer, which may state a limit.
        config: Configuration of the text encoder.
        body: The text encoder, whose position embeddings may begin at a later row.
    """
    limits = [tokenizer.model_max_length]
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and most > 0:
        table = getattr(getattr(body, "embeddings", None), "position_embeddings", None)
        first = getattr(table, "padding_idx", None)  # RoBERTa counts from there
        limits.append(int(most) - (0 if first is None else first + 1))
    return min((n for n in limits if n < _NO_LIMIT), default=None)
