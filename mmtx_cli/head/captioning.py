"""Captioning and free-text question answering with an autoregressive decoder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.vqa_answers import answer_metrics
from mmtx_cli.decoder.base import MakeDecoder, shifted
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.texts import Texts
from mmtx_cli.generation.words import text_row
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.earlier import Restoring
from mmtx_cli.layer.summary import StreamSummary
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams

OUTPUTS = {"tokens": "tokens", "score": "scores", "log_prob": "log_probs"}
"""Outputs of ``predict``, and what they are called in ``Texts``."""


class CaptioningHead(Head):
    """Generates a caption token by token from the tokens it reads, or with ``target="answers"`` an
    answer to the question in its input.

    The decoder (group ``decoder``) reads the tokens of all streams. A ``transformer`` that reads
    several also adds a summary of each stream to every token.
    """

    text_targets: ClassVar[dict[str, str]] = {"captions": "captions", "answers": "answer_text"}
    """What the head can generate, and the target column that it is trained on."""
    targets: tuple[str, ...] = ("captions",)
    traits: ClassVar[HeadTraits] = HeadTraits(predicts=True, late_fusion=False)
    generation = GenerationSettings()
    """How texts are generated: the section ``generation``, set by the model builder."""
    constraint: Constraint | None = None
    """The constraints of these settings for the model's vocabulary (``model/constrain.py``)."""

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        bos_id: int,
        eos_id: int,
        decoder: MakeDecoder,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        label_smoothing: float = 0.1,
        max_length: int = 64,
        target: str = "captions",
        word_dropout: Sequence[float] | float = 0.0,
    ) -> None:
        """``max_length`` is the maximum number of tokens.

        ``target`` is ``captions`` or ``answers``; each epoch trains on one per sample.
        ``word_dropout`` is the probability with which an input word is replaced by the begin token
        in training (Bowman et al. 2016), or ``[first, last]``, between which it changes linearly
        over the training.
        """
        super().__init__(dim, available, streams, weight)
        if target not in self.text_targets:
            raise ValueError(f"target={target!r}: must be {' or '.join(self.text_targets)}")
        self.target = target
        self.targets = (self.text_targets[target],)
        self.bos_id, self.eos_id = bos_id, eos_id
        self.label_smoothing = label_smoothing
        self.max_length = max_length
        self.word_dropout = first_and_last(word_dropout)
        # with a single stream the summary is a shortcut past the attention, which then trains much
        # later
        self.stream_summary = StreamSummary(dim, self.streams) if len(self.streams) > 1 else None
        self.decoder = decoder(len(self.streams))
        if not self.decoder.reads_summary:
            self.stream_summary = None
        if self.decoder.max_length < max_length:
            raise ValueError(
                f"max_length={max_length}: the decoder supports {self.decoder.max_length} tokens; "
                f"set {'vlm' if self.decoder.reads_raw else 'decoder'}.max_length={max_length}"
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
        inputs, next_tokens = shifted(target.flatten(0, -2))
        inputs = self.with_word_dropout(inputs, batch)
        context = self.decoder_context(streams, batch)
        smoothing = self.label_smoothing if self.training else 0.0
        total = self.decoder.text_loss(inputs, next_tokens, context, smoothing)
        count = (next_tokens != IGNORE_INDEX).sum()
        return Prediction(global_mean(total, count, shared=self.training), {"count": count})

    def with_word_dropout(self, inputs: Int[Tensor, "s t"], batch: Batch) -> Int[Tensor, "s t"]:
        """Return the input tokens of texts with some words replaced by BOS, in training.

        Which ones depends on the key of the sample alone, not on the other texts in the batch.
        """
        first, last = self.word_dropout
        if not self.training or not (first or last):
            return inputs
        count = len(inputs) // len(batch.keys)
        progress = 0.0 if batch.progress is None else batch.progress
        drawn = uniform(batch.keys, count * self.max_length, "word dropout")
        drawn = drawn.view(len(inputs), self.max_length)[:, : inputs.shape[1]]
        dropped = drawn < first + (last - first) * progress
        dropped[:, :1] = False
        return inputs.masked_fill(dropped & (inputs != IGNORE_INDEX), self.bos_id)

    def target_texts(self, batch: Batch) -> Int[Tensor, "b *k t"] | None:
        """Return the target texts, truncated to ``max_length``."""
        target = batch.targets.get(self.targets[0])
        return None if target is None else target[..., : self.max_length]

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Return the number of target tokens."""
        texts = self.target_texts(batch)
        return None if texts is None else (texts[..., 1:] != IGNORE_INDEX).sum()

    def decoder_context(self, streams: Streams, batch: Batch) -> Context:
        """Return what the decoder reads of each sample."""
        summary = None if self.stream_summary is None else self.stream_summary(streams)
        sizes = tuple(streams[name].x.shape[1] for name in self.streams)
        raw = {n: batch.inputs[n] for n in self.streams} if self.decoder.reads_raw else None
        return Context(*self.context(streams), summary, batch.prompt, sizes, raw)

    @torch.no_grad()
    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``tokens`` [b, n, max_length], padded with EOS, and ``score`` [b, n] of the n
        texts of each input, the best first, and ``log_prob`` of their tokens.

        The score is the log-probability divided by the length to the power of ``length_penalty``;
        it is -inf where there is no such text.
        """
        context = self.decoder_context(streams, batch)
        texts = self.texts(context, batch.keys)
        return {key: getattr(texts, name) for key, name in OUTPUTS.items()}

    def texts(
        self, context: Context, keys: Int[Tensor, " b"], settings: GenerationSettings | None = None
    ) -> Texts:
        """Return the texts of each input, in their order (``generate``)."""
        found = self.generate([(context, keys)], settings)
        numbers, parts = zip(*found, strict=True)
        order = torch.cat(numbers).argsort()
        columns = {
            field.name: torch.cat([getattr(part, field.name) for part in parts])[order]
            for field in fields(Texts)
        }
        return Texts(**columns)

    def generate(
        self,
        source: Iterable[tuple[Context, Tensor]],
        settings: GenerationSettings | None = None,
    ) -> Iterator[tuple[Tensor, Texts]]:
        """Yield the numbers of finished inputs and their texts (``Decoder.generate``).

        ``settings`` are others than the head's own, without a constraint.
        """
        limits = Limits(self.bos_id, self.eos_id, self.max_length)
        constraint = self.constraint if settings is None else None
        yield from self.decoder.generate(
            source, settings or self.generation, limits, constraint=constraint
        )

    @staticmethod
    def outputs(texts: Texts) -> list[dict[str, Tensor]]:
        """Return the outputs of ``predict`` of each input, on the CPU."""
        columns = {key: getattr(texts, name).cpu() for key, name in OUTPUTS.items()}
        count = len(texts.scores)
        return [{key: x[i].clone() for key, x in columns.items()} for i in range(count)]

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
        """Return the generated caption or answer and its ``score`` (see ``predict``).

        With ``generation.num_return_sequences``, ``alternatives`` are further texts; with
        ``generation.token_scores``, ``words`` are the words with their probabilities.
        """
        assert tokenizer is not None, "a model that generates text has a tokenizer"
        return [self.row(output, tokenizer) for output in outputs]

    def row(self, output: Mapping[str, Tensor], tokenizer: Detokenizer) -> dict[str, Any]:
        """Return the prediction of a sample."""
        tokens, scores = output["tokens"].tolist(), output["score"].tolist()
        log_probs = output["log_prob"].tolist() if self.generation.token_scores else None
        return text_row(
            tokens, scores, log_probs, self.output_key, self.eos_id, tokenizer, self.constraint
        )

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


def first_and_last(word_dropout: Sequence[float] | float) -> tuple[float, float]:
    """Return the first and the last probability of word dropout.

    Raises:
        ValueError: If they are not two probabilities.
    """
    pair = [word_dropout] * 2 if isinstance(word_dropout, (int, float)) else [*word_dropout]
    if len(pair) != 2 or not all(isinstance(p, (int, float)) and 0 <= p < 1 for p in pair):
        raise ValueError(
            f"word_dropout={word_dropout}: must be a probability below 1, or two: [first, last]"
        )
    return float(pair[0]), float(pair[1])


class EarlierCaptioningHead(CaptioningHead, metaclass=Restoring):
    """As earlier versions trained it: the decoder gets no summary of several streams."""

    def _restore(self) -> None:
        self.stream_summary = None
