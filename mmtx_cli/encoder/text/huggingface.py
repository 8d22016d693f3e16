"""Text encoders of the transformers library, with their own tokenizers."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from mmtx_cli.encoder.backbone.base import PretrainedEncoder
from mmtx_cli.encoder.backbone.hf_model import hub_model
from mmtx_cli.hub.huggingface import tokenizer_json
from mmtx_cli.types import ModalityInput, Tokens


class HuggingFaceTextEncoder(PretrainedEncoder):
    """BERT, RoBERTa, MPNet, the encoder of T5, the text tower of CLIP, …: one vector per token.

    Requires ``pip install mmtx[hf]``. Pretrained weights come with their tokenizer.
    """

    brings_tokenizer: ClassVar[bool] = True

    def __init__(
        self,
        vocab_size: int | None = None,
        max_length: int = 64,
        weights: str | None = None,
        architecture: str = "bert",
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        config: dict[str, Any] | None = None,
        freeze: bool | int = False,
        lora: int = 0,
    ) -> None:
        """``weights`` is a model on huggingface.co, a local folder, or null.

        If it is null, a new model of ``architecture`` (a ``model_type`` of transformers) with
        ``width``, ``depth`` and ``num_heads`` is built for a vocabulary of ``vocab_size`` tokens.
        ``config`` sets further values of the model's configuration. ``freeze`` freezes the backbone
        (true) or its embeddings and first n blocks. ``lora`` is the rank of LoRA adapters on the
        attention layers (0 for none); it freezes all pretrained weights.
        """
        super().__init__()
        if weights is None and vocab_size is None:
            raise ValueError("vocab_size: required if weights is null")
        sizes = {"width": width, "depth": depth, "num_heads": num_heads}
        new_config = {"vocab_size": vocab_size, "pad_token_id": 0}  # nosec B105
        self.hub = hub_model(weights, architecture, "text", sizes, config, **new_config)
        self.body = self.hub.body
        self.pad_id: int = self.hub.config.pad_token_id or 0
        # no padding in the trial run: some models give it no position
        trial = torch.full((1, max_length), 1 if self.pad_id != 1 else 2)
        limit = getattr(self.hub.config, "max_position_embeddings", None)
        fault = (
            f"max_length={max_length}: the model does not support this many tokens "
            f"(max_position_embeddings={limit})"
        )
        used = self.finalize_backbone(
            freeze, lora, lambda: self.read(trial), fault, self.hub.blocks()
        )
        self.hub.check(self.width, used)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``: [b, l] token IDs of the model's own tokenizer."""
        ids = field.data.masked_fill(~field.mask, self.pad_id)
        # unmask rows without any token, so that their softmax stays finite
        attended = field.mask | ~field.mask.any(dim=1, keepdim=True)
        return Tokens(self.read(ids, attended.long()), field.mask)

    def read(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map [b, l] token IDs to [b, l, d] vectors."""
        out = self.body(input_ids=ids, attention_mask=mask)
        return out.last_hidden_state  # type: ignore[no-any-return]

    @staticmethod
    def tokenizer_json(weights: str) -> str:
        """Return the content of the ``tokenizer.json`` of the weights."""
        return tokenizer_json(weights)

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {**self.hub.rebuild_kwargs(), "vocab_size": self.hub.config.vocab_size}
