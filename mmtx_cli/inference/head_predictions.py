"""Predictions of a trained model for samples without targets, in the order of the samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.distributed.process import Process
from mmtx_cli.head.eval_only import StreamHead
from mmtx_cli.inference.embeddings import head_arrays, stream_arrays
from mmtx_cli.inference.modality_views import Answers, all_answers
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.types import FUSED

STREAMS = "_streams"
"""Name of the internal head that returns the presence and mean of each stream."""


def predicted(
    model: MultimodalModel,
    samples: ManifestDataset,
    head_names: Sequence[str],
    embedding: bool,
    run: RunConfig,
    process: Process,
    recorded: bool = True,
) -> "Predicted | None":
    """Run the model in every process; return the merged predictions in the first, None in others.

    Args:
        model: The model.
        samples: The samples to predict.
        head_names: Names of the heads that predict.
        embedding: Whether to compute embeddings as well.
        run: The settings.
        process: This process.
        recorded: As for ``all_answers``.
    """
    streams = StreamHead(model.dim, list(model.fusion.streams), means=embedding)
    model = model.with_heads({**model.head, STREAMS: streams})
    embedded = [name for name, head in model.head.items() if embedding and head.embedding_outputs]
    heads = [*dict.fromkeys([*head_names, *embedded, STREAMS])]
    views = {"": dict}
    answers = all_answers(
        model, samples, views, run, process, heads=heads, further=False, recorded=recorded
    )
    return None if answers is None else Predicted(model, samples, answers, embedded)


@dataclass(frozen=True)
class Predicted:
    """The outputs of all heads that were run; ``embedded`` names those that return embeddings."""

    model: MultimodalModel
    samples: ManifestDataset
    answers: Answers
    embedded: list[str]

    @cached_property
    def streams(self) -> list[dict[str, Tensor]]:
        """Outputs of the stream head: presence, and mean tokens if embeddings were requested."""
        return self.outputs(STREAMS)

    def outputs(self, head: str) -> list[dict[str, Tensor]]:
        """Return a head's outputs for each sample."""
        by_id = dict(self.answers.of(head, ""))
        return [by_id[sample.id] for sample in self.samples.samples]

    def has(self, names: Sequence[str]) -> Bool[np.ndarray, "n s"]:
        """Return which samples have which of the streams ``names``."""
        rows = [[bool(output[f"{name}_present"]) for name in names] for output in self.streams]
        return np.array(rows, dtype=bool).reshape(len(rows), len(names))

    def sees(self, head: str, compares: bool = False) -> Bool[np.ndarray, " n"]:
        """Return which samples have any of the head's streams and all of its required modalities.

        If it ``compares`` with texts, its streams are those that it aligns with text.
        """
        module = self.model.head[head]
        any_of = self.has(module.text_partners() if compares else module.streams)
        all_of = self.has(module.required_modalities)
        return np.logical_and(any_of.any(axis=1), all_of.all(axis=1))

    def errors(self) -> list[str | None]:
        """Return the reason why each sample has no prediction, None for samples that have one."""
        modalities = list(self.model.encoder)
        message = f"contains no modality that this model reads ({', '.join(modalities)})"
        reasons = [None if any(present) else message for present in self.has(modalities)]
        ids = [sample.id for sample in self.samples.samples]
        return [self.answers.unread.get(i, reason) for i, reason in zip(ids, reasons, strict=True)]

    def missing(self, head_names: Sequence[str]) -> Iterator[str]:
        """Yield a message for each modality that a head in ``head_names`` reads but no input has.

        Contrastive heads are ignored: they compare each modality separately and need only one.
        """
        any_readable = self.has([*self.model.encoder]).any()
        heads = [
            head for name in head_names if not (head := self.model.head[name]).traits.contrastive
        ]
        for name in self.model.encoder:
            read = any({name, FUSED} & {*head.streams} for head in heads)
            if read and any_readable and not self.has([name]).any():
                yield f"no input has {name}, which the model reads; predicting without it"

    def predictions(
        self,
        name: str,
        tokenizer: Tokenizer | None,
        top: int,
        texts: Sequence[str],
        vectors: Tensor | None,
    ) -> list[dict[str, Any] | None]:
        """Return a head's prediction for each sample, None for samples without its streams.

        Args:
            name: The head.
            tokenizer: Decodes token ids.
            top: Number of classes, answers or texts to return per sample.
            texts: Candidate texts that a contrastive head compares samples with.
            vectors: Their embeddings, [texts, embed_dim].
        """
        head, available = self.model.head[name], self.sees(name, compares=vectors is not None)
        outputs = [
            output for output, present in zip(self.outputs(name), available, strict=True) if present
        ]
        if not outputs:
            return [None] * len(available)
        rows = (
            head.predictions(outputs, tokenizer, top)
            if vectors is None
            else head.nearest_texts(outputs, texts, vectors, top)  # type: ignore[operator]
        )
        remaining = iter(rows)
        return [next(remaining) if present else None for present in available]

    def embeddings(self) -> dict[str, Float[np.ndarray, "n d"]]:
        """Return the mean tokens of the streams and the heads' embeddings, NaN where missing."""
        arrays = stream_arrays(self.streams)
        for name in self.embedded:
            arrays |= head_arrays(
                name, self.model.head[name], self.outputs(name), self.sees(name).tolist()
            )
        return arrays
