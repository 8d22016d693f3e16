"""The multimodal model: encode each modality, fuse, run the heads."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmtx_cli.distributed.collectives import world_size
from mmtx_cli.encoder.base import Encoder
from mmtx_cli.fusion.base import Fusion
from mmtx_cli.head.base import Head
from mmtx_cli.types import FUSED, Batch, ModalityInput, Prediction, Streams, Tokens


class MultimodalModel(nn.Module):
    """Encoders by modality, a fusion, and heads by name.

    The model projects each encoder's output to the shared width ``dim``, so that a fusion sees only
    one width.
    """

    def __init__(
        self, dim: int, encoders: Mapping[str, Encoder], fusion: Fusion, heads: Mapping[str, Head]
    ) -> None:
        super().__init__()
        self.dim = dim
        self.encode_batch: int | None = None  # samples per encoder micro-batch, set by training
        self.equal_calls = False  # encoders are called equally often in all processes, for FSDP2
        self.encoder: Mapping[str, Encoder] = nn.ModuleDict(encoders)  # type: ignore[assignment]
        project = {name: nn.Linear(encoder.width, dim) for name, encoder in encoders.items()}
        self.project: Mapping[str, nn.Linear] = nn.ModuleDict(project)  # type: ignore[assignment]
        for name, encoder in encoders.items():
            if encoder.is_placeholder:  # nothing reads the values of its tokens
                project[name].requires_grad_(False)
        self.fusion = fusion
        self.head: Mapping[str, Head] = nn.ModuleDict(heads)  # type: ignore[assignment]
        self.disable_dropout()

    def train(self, mode: bool = True) -> "MultimodalModel":
        """Set the mode of all submodules except those of ``disable_dropout``."""
        super().train(mode)
        self.disable_dropout()
        return self

    def disable_dropout(self) -> None:
        """Set encoders and fusion to evaluation mode if a head is trained without dropout."""
        if any(head.traits.without_dropout for head in self.head.values()):
            for part in (*self.encoder.values(), self.fusion):
                part.eval()

    def with_heads(self, heads: Mapping[str, Head]) -> "MultimodalModel":
        """Return a model of the same encoders and fusion, which shares them, with other heads."""
        other = copy(self)
        # not those of this model
        other._modules = {**self._modules, "head": nn.ModuleDict(heads)}
        return other

    def forward(self, batch: Batch) -> dict[str, Prediction]:
        """Run the heads; only the streams that they read are encoded and fused.

        Heads without targets in this batch are skipped, unless other processes wait for their
        gradients.
        """
        shared: Streams = {}
        predictions: dict[str, Prediction] = {}
        for name, head in self.in_order():
            if name in batch.inactive_heads and world_size() == 1:
                continue
            rows = batch.head_masks.get(name)
            head_batch = batch if rows is None else batch.select(rows)
            view = head.prepare_batch(head_batch)  # masked objectives read a corrupted copy
            source, cache = (batch, shared) if view is head_batch else (view, {})
            encoded = select_rows(self.encoded(source, head.streams, cache), rows)
            inputs = head.make_negatives(encoded, predictions, source.keys)
            if inputs is encoded:  # the usual case: one fused stream for all heads
                streams = encoded | select_rows(self.fused(head.streams, cache), rows)
            else:
                streams = self.fusion(inputs)
            predictions[name] = head(streams, view)
        return predictions

    def in_order(self) -> list[tuple[str, Head]]:
        """Return the heads by name, those last that may use the predictions of the others."""
        return sorted(self.head.items(), key=lambda item: item[1].traits.makes_negatives)

    def streams(self, batch: Batch, names: Collection[str], cache: Streams) -> Streams:
        """Return the streams ``names`` and the ones they are made of; ``cache`` caches them."""
        return self.encoded(batch, names, cache) | self.fused(names, cache)

    def encoded(self, batch: Batch, names: Collection[str], known: Streams) -> Streams:
        """Return the encoded modalities that the streams ``names`` are made of."""
        wanted = [name for name in self.encoder if name in names or FUSED in names]
        for name in wanted:
            if name not in known:
                known[name] = self.encode_one(name, batch.inputs[name])
        return {name: known[name] for name in wanted}

    def fused(self, names: Collection[str], known: Streams) -> Streams:
        """Return the fused stream of the modalities in ``known`` if it is one of ``names``."""
        if FUSED not in names:
            return {}
        if FUSED not in known:
            known |= self.fusion({name: known[name] for name in self.encoder})
        return {FUSED: known[FUSED]}

    @torch.no_grad()
    def predict(
        self, batch: Batch, heads: Sequence[str] | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """Predict with each head (or each of ``heads``), without targets."""
        return self.predict_views(batch, self.head if heads is None else heads, [dict])[0]

    @torch.no_grad()
    def predict_views(
        self, batch: Batch, heads: Iterable[str], changes: Sequence[Callable[[Streams], Streams]]
    ) -> list[dict[str, dict[str, Tensor]]]:
        """Return the predictions of ``heads`` for each changed copy of a batch, encoded once.

        ``changes`` are applied to the encoded modalities before fusion.
        """
        views = {name: self.head[name].prepare_batch(batch) for name in heads}
        encoded = {
            id(view): self.encode(view) for view in {id(v): v for v in views.values()}.values()
        }
        predictions = []
        for change in changes:
            fused = {key: self.fusion(change(streams)) for key, streams in encoded.items()}
            predictions.append({n: self.head[n].predict(fused[id(v)], v) for n, v in views.items()})
        return predictions

    def encode(self, batch: Batch) -> Streams:
        """Return one stream per modality, of the shared width, zero where the mask is False."""
        return {name: self.encode_one(name, batch.inputs[name]) for name in self.encoder}

    def encode_one(self, name: str, field: ModalityInput) -> Tokens:
        """Encode and project one modality; in evaluation, skip it if no sample of the batch has it.

        Distributed training encodes it anyway: processes wait for each other's gradients.
        """
        known_empty = field.empty and world_size() == 1
        may_skip = not self.training and not torch.compiler.is_compiling()
        if known_empty or (may_skip and not field.mask.any()):
            mask = field.mask.new_zeros(len(field.mask), 1)
            return Tokens(self.project[name].weight.new_zeros(len(mask), 1, self.dim), mask)
        tokens = self.present_tokens(name, field)
        x = self.project[name](tokens.x).masked_fill(~tokens.mask[..., None], 0)
        return Tokens(x, tokens.mask)

    def present_tokens(self, name: str, field: ModalityInput) -> Tokens:
        """Encode only the samples that have the modality; the tokens of the others are masked.

        Only on a CPU, because counting the samples would synchronize a GPU. Cached tokens need no
        encoder.
        """
        is_cached = field.encoded and not field.of_body
        if is_cached or field.mask.device.type != "cpu" or torch.compiler.is_compiling():
            return self.tokens(name, field)
        present = field.mask.any(dim=1)
        if (self.equal_calls and self.encode_batch) or present.all() or not present.any():
            return self.tokens(name, field)
        tokens = self.tokens(name, field.map(lambda x: x[present]))
        x = tokens.x.new_zeros(len(present), *tokens.x.shape[1:])
        mask = tokens.mask.new_zeros(len(present), tokens.mask.shape[1])
        return Tokens(x.index_put((present,), tokens.x), mask.index_put((present,), tokens.mask))

    def tokens(self, name: str, field: ModalityInput) -> Tokens:
        """Return an encoder's tokens, in training in micro-batches of ``encode_batch`` samples."""
        if field.encoded:
            cached = Tokens(field.data.to(self.project[name].weight.dtype), field.mask)
            return self.encoder[name].after_body(cached) if field.of_body else cached
        size = self.encode_batch
        if not self.training or size is None or size >= len(field.mask):
            return self.encoder[name](field)
        # checkpointing recomputes the activations of each part in the backward pass
        parts = [
            checkpoint(self.encoder[name], part, use_reentrant=False) for part in field.split(size)
        ]
        return Tokens(torch.cat([p.x for p in parts]), torch.cat([p.mask for p in parts]))


def select_rows(streams: Streams, rows: Tensor | None) -> Streams:
    """Return the streams restricted to ``rows``; unchanged if ``rows`` is None."""
    return streams if rows is None else {name: x.select(rows) for name, x in streams.items()}


def keep_only(encoded: Streams, kept: Iterable[str]) -> Streams:
    """Return the streams as if the samples had only the modalities in ``kept``."""
    return {name: x if name in kept else absent_like(x) for name, x in encoded.items()}


def zeroed(encoded: Streams, name: str) -> Streams:
    """Return the streams with one of them set to zero but still marked as present."""
    zeros = Tokens(torch.zeros_like(encoded[name].x), encoded[name].mask)
    return {**encoded, name: zeros}


def absent_like(tokens: Tokens) -> Tokens:
    """Return tokens of the same shape that are all zero and masked."""
    return Tokens(torch.zeros_like(tokens.x), torch.zeros_like(tokens.mask))
