"""Captioning and free-text question answering with an autoregressive Transformer decoder."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.vqa_answers import answer_metrics
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.generation.beam import beam_search
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.decoder import TextDecoder
from mmtx_cli.layer.earlier import Restoring
from mmtx_cli.layer.summary import StreamSummary
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams


class CaptioningHead(Head):
    """Generates a caption token by token from the tokens it reads (Vaswani et al. 2017), or with
    ``target="answers"`` an answer to the question in its input.

    The decoder cross-attends to all tokens. If it reads several streams, a summary of each stream
    is also added to every token.
    """

    text_targets: ClassVar[dict[str, str]] = {"captions": "captions", "answers": "answer_text"}
    """What the head can generate, and the target column that it is trained on."""
    targets: tuple[str, ...] = ("captions",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True, late_fusion=False)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        vocab_size: int,
        bos_id: int,
        eos_id: int,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        depth: int = 3,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        label_smoothing: float = 0.1,
        max_length: int = 64,
        num_beams: int = 3,
        length_penalty: float = 1.0,
        target: str = "captions",
    ) -> None:
        """``max_length`` is the maximum number of tokens; ``num_beams=1`` decodes greedily.

        ``length_penalty`` is the exponent of the length by which a hypothesis' score is divided.
        ``target`` is ``captions`` or ``answers``; each epoch trains on one per sample.
        """
        super().__init__(dim, available, streams, weight)
        if num_beams < 1:
            raise ValueError(f"num_beams={num_beams}: must be at least 1 (greedy)")
        if target not in self.text_targets:
            raise ValueError(f"target={target!r}: must be {' or '.join(self.text_targets)}")
        self.target = target
        self.targets = (self.text_targets[target],)
        self.bos_id, self.eos_id = bos_id, eos_id
        self.label_smoothing = label_smoothing
        self.max_length = max_length
        self.num_beams = num_beams
        self.length_penalty = length_penalty
        # with a single stream the summary is a shortcut past the attention, which then trains much
        # later
        self.stream_summary = StreamSummary(dim, self.streams) if len(self.streams) > 1 else None
        self.decoder = TextDecoder(
            vocab_size, dim, depth, num_heads, max_length, mlp_ratio, dropout
        )

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Compute the teacher-forcing loss.

        ``targets["captions"]`` or ``targets["answer_text"]`` is [b, t], from BOS to EOS, padded
        with IGNORE_INDEX; or [b, k, t] for k captions per sample. Longer texts are truncated to
        ``max_length`` tokens.
        """
        target = self.target_texts(batch)
        if target is None:
            return Prediction(None, {})
        (context, mask), summary = self.context(streams), self.summarize(streams)
        if target.dim() == 3:
            num_texts, target = target.shape[1], target.flatten(0, 1)
            summary = None if summary is None else summary.repeat_interleave(num_texts, dim=0)
        inputs, next_tokens = target[:, :-1], target[:, 1:]
        hidden = self.decoder(inputs.clamp(min=0), context, mask, summary)
        total = self.loss(hidden.flatten(0, 1), next_tokens.flatten())
        count = (next_tokens != IGNORE_INDEX).sum()
        return Prediction(global_mean(total, count, shared=self.training), {"count": count})

    def target_texts(self, batch: Batch) -> Int[Tensor, "b *k t"] | None:
        """Return the target texts, truncated to ``max_length``."""
        target = batch.targets.get(self.targets[0])
        return None if target is None else target[..., : self.max_length]

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Return the number of target tokens."""
        texts = self.target_texts(batch)
        return None if texts is None else (texts[..., 1:] != IGNORE_INDEX).sum()

    def summarize(self, streams: Streams) -> Float[Tensor, "b d"] | None:
        """Return the vector added to every token of a sample; None if a single stream is read."""
        return None if self.stream_summary is None else self.stream_summary(streams)

    def loss(self, hidden: Float[Tensor, "n d"], target: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Return the sum of the cross-entropy over the tokens that are not padding."""
        smoothing = self.label_smoothing if self.training else 0.0
        weight = self.decoder.embedding.weight
        options: Any = {
            "ignore_index": IGNORE_INDEX,
            "label_smoothing": smoothing,
            "reduction": "sum",
        }
        if hasattr(F, "linear_cross_entropy"):  # torch 2.14: does not materialize all logits
            return F.linear_cross_entropy(hidden, weight.to(hidden.dtype), target, **options)
        return F.cross_entropy(F.linear(hidden, weight).float(), target, **options)

    @torch.no_grad()
    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``tokens`` [b, max_length], padded with EOS, and ``score`` [b].

        The score is the log-probability divided by the length to the power of ``length_penalty``.
        """
        context, mask = self.context(streams)
        summary = self.summarize(streams)
        caches = self.decoder.start(context, self.num_beams, self.max_length)

        def step(tokens: Tensor, position: int) -> Tensor:
            return self.decoder.step(tokens, mask, caches, position, summary)

        def reorder(rows: Tensor, length: int) -> None:
            for cache in caches:
                cache.reorder(rows, length)

        tokens, score = beam_search(
            step,
            reorder,
            len(context),
            self.num_beams,
            self.max_length,
            self.bos_id,
            self.eos_id,
            self.length_penalty,
            context.device,
        )
        return {"tokens": tokens, "score": score}

    @property
    def output_key(self) -> str:
        """The key of the text in a row: ``prediction`` for answers, else ``caption``."""
        return "prediction" if self.target == "answers" else "caption"

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the generated caption or answer and its ``score`` (see ``predict``)."""
        assert tokenizer is not None, "a model that generates text has a tokenizer"
        return [
            {
                self.output_key: tokenizer.decode(output["tokens"].tolist()),
                "score": float(output["score"]),
            }
            for output in outputs
        ]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return BLEU, ROUGE-L and CIDEr-D against all captions of each sample; for answers, the
        VQA accuracy and the exact match with the most frequent answer.
        """
        rows = self.predictions([output for (output,) in outputs], tokenizer)
        texts = [row[self.output_key] for row in rows]
        if self.target == "answers":
            scores = Scores.means(answer_metrics(texts, [sample.answers for sample in samples]))
            targets: dict[str, list[Any]] = {"answers": [sample.answers for sample in samples]}
        else:
            references = [list(sample.captions) for sample in samples]
            scores = caption_scores([sample.id for sample in samples], texts, references)
            targets = {"references": references}
        for i, row in enumerate(rows):
            row |= {name: values[i] for name, values in targets.items()}
            row["scores"] = {name: float(x[i]) for name, x in scores.per_sample.items()}
        return Evaluation(rows, scores)


class EarlierCaptioningHead(CaptioningHead, metaclass=Restoring):
    """As earlier versions trained it: the decoder gets no summary of several streams."""

    def _restore(self) -> None:
        self.stream_summary = None
