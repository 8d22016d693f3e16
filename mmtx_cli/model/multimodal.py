"""The multimodal model: encode each modality, fuse, run the heads."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

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
        self.encoder: Mapping[str, Encoder] = nn.ModuleDict(encoders)  # type: ignore[assignment]
        project = {name: nn.Linear(encoder.width, dim) for name, encoder in encoders.items()}
        self.project: Mapping[str, nn.Linear] = nn.ModuleDict(project)  # type: ignore[assignment]
        self.fusion = fusion
        self.head: Mapping[str, Head] = nn.ModuleDict(heads)  # type: ignore[assignment]

    def forward(self, batch: Batch) -> dict[str, Prediction]:
        """Run the heads; only the streams that they read are encoded and fused.

        Heads without targets in this batch are skipped, unless other processes wait for their
        gradients.
        """
        shared: Streams = {}
        predictions: dict[str, Prediction] = {}
        for name, head in sorted(self.head.items(), key=lambda item: item[1].mixes):
            if name in batch.inactive_heads and world_size() == 1:
                continue
            meant = batch.head_masks.get(name)
            own = batch if meant is None else batch.select(meant)
            view = head.view(own)  # masked objectives read a corrupted copy
            source, known = (batch, shared) if view is own else (view, {})
            if head.mixes:  # matching combines modalities of different samples
                known = self.streams(source, [*self.encoder], known)
                encoded = restricted({m: known[m] for m in self.encoder}, meant)
                seen = self.fusion(head.mix(encoded, predictions, source.keys))
            else:
                seen = restricted(self.streams(source, head.reads, known), meant)
            predictions[name] = head(seen, view)
        return predictions

    def streams(self, batch: Batch, reads: Collection[str], known: Streams) -> Streams:
        """Return the streams in ``reads`` and the ones they are made of; ``known`` caches them."""
        wanted = [name for name in self.encoder if name in reads or FUSED in reads]
        for name in wanted:
            if name not in known:
                known[name] = self.encode_one(name, batch.inputs[name])
        if FUSED in reads and FUSED not in known:
            known |= self.fusion({name: known[name] for name in wanted})
        return known

    @torch.no_grad()
    def predict(
        self, batch: Batch, heads: Sequence[str] | None = None
    ) -> dict[str, dict[str, Tensor]]:
        """Predict with each head (or each of ``heads``), without targets."""
        return self.answers(batch, self.head if heads is None else heads, [dict])[0]

    @torch.no_grad()
    def answers(
        self, batch: Batch, heads: Iterable[str], changes: Sequence[Callable[[Streams], Streams]]
    ) -> list[dict[str, dict[str, Tensor]]]:
        """Return the predictions of ``heads`` for each changed copy of a batch, encoded once.

        ``changes`` are applied to the encoded modalities before fusion.
        """
        views = {name: self.head[name].view(batch) for name in heads}
        encoded = {
            id(view): self.encode(view) for view in {id(v): v for v in views.values()}.values()
        }
        said = []
        for change in changes:
            fused = {key: self.fusion(change(streams)) for key, streams in encoded.items()}
            said.append({n: self.head[n].predict(fused[id(v)], v) for n, v in views.items()})
        return said

    def encode(self, batch: Batch) -> Streams:
        """Return one stream per modality, of the shared width, zero where the mask is False."""
        return {name: self.encode_one(name, batch.inputs[name]) for name in self.encoder}

    def encode_one(self, name: str, field: ModalityInput) -> Tokens:
        """Encode and project one modality; in evaluation, skip it if no sample of the batch has it.

        Distributed training encodes it anyway: processes wait for each other's gradients.
        """
        alone = field.empty and world_size() == 1
        if alone or (not self.training and not field.mask.any()):
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
        ready = field.encoded and not field.of_body
        if ready or field.mask.device.type != "cpu" or torch.compiler.is_compiling():
            return self.tokens(name, field)
        present = field.mask.any(dim=1)
        if present.all() or not present.any():
            return self.tokens(name, field)
        some = self.tokens(name, field.map(lambda x: x[present]))
        x = some.x.new_zeros(len(present), *some.x.shape[1:])
        mask = some.mask.new_zeros(len(present), some.mask.shape[1])
        return Tokens(x.index_put((present,), some.x), mask.index_put((present,), some.mask))

    def tokens(self, name: str, field: ModalityInput) -> Tokens:
        """Return an encoder's tokens, in training in micro-batches of ``encode_batch`` samples."""
        if field.encoded:
            kept = Tokens(field.data.to(self.project[name].weight.dtype), field.mask)
            return self.encoder[name].after_body(kept) if field.of_body else kept
        size = self.encode_batch
        if not self.training or size is None or size >= len(field.mask):
            return self.encoder[name](field)
        # checkpointing recomputes the activations of each part in the backward pass
        parts = [
            checkpoint(self.encoder[name], part, use_reentrant=False) for part in field.split(size)
        ]
        return Tokens(torch.cat([p.x for p in parts]), torch.cat([p.mask for p in parts]))


def restricted(streams: Streams, rows: Tensor | None) -> Streams:
    """Return the streams restricted to ``rows``; unchanged if ``rows`` is None."""
    return streams if rows is None else {name: x.select(rows) for name, x in streams.items()}


def kept_alone(encoded: Streams, kept: Iterable[str]) -> Streams:
    """Return the streams as if the samples had only the modalities in ``kept``."""
    return {name: x if name in kept else absent(x) for name, x in encoded.items()}


def zeroed(encoded: Streams, name: str) -> Streams:
    """Return the streams with one of them set to zero but still marked as present."""
    blank = Tokens(torch.zeros_like(encoded[name].x), encoded[name].mask)
    return {**encoded, name: blank}


def absent(tokens: Tokens) -> Tokens:
    """Return tokens of the same shape that are all zero and masked."""
    return Tokens(torch.zeros_like(tokens.x), torch.zeros_like(tokens.mask))
