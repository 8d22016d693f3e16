"""Self-critical training: a trained captioner learns to write captions with a high score."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.config.text_checks.self_critical import BASELINES
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.decoder.base import MakeDecoder, shifted
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.head.objective.cider_reward import CiderReward
from mmtx_cli.head.objective.policy_gradient import (
    chosen_mask,
    end_place,
    leave_one_out,
    policy_loss,
)
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.metric.caption import caption_words
from mmtx_cli.types import IGNORE_INDEX, Batch, Prediction, Streams

GREEDY = GenerationSettings(num_beams=1)


class SelfCriticalHead(CaptioningHead):
    """Trains a captioner further on the CIDEr-D of the captions that it samples (Rennie et al.
    2017).

    The loss of a sample is

        - E[CIDEr-D] + kl KL(captioner || teacher) + cross_entropy CE,

    where the expectation over captions has the policy gradient of ``num_samples`` captions. The
    divergence from the ``teacher``, the captioner that the training starts from, is summed over the
    words of the sampled captions; the cross-entropy, over those of a reference. The model is
    trained without dropout, so that the captioner that samples is the one that is trained.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(
        trains="mmtx_cli.head.captioning.CaptioningHead",
        without_dropout=True,
        predicts=True,
        late_fusion=False,
    )
    metrics: tuple[str, ...] = ("reward", "length", "ended")

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        bos_id: int,
        eos_id: int,
        decoder: MakeDecoder,
        teacher: FrozenTeacher | str | None = None,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        max_length: int = 64,
        target: str = "captions",
        word_dropout: Sequence[float] | float = 0.0,
        num_samples: int = 5,
        temperature: float = 1.0,
        baseline: str = "leave_one_out",
        kl: float = 0.1,
        cross_entropy: float = 0.0,
    ) -> None:
        """``num_samples`` captions are drawn of each sample, at ``temperature``. Their rewards are
        compared with a ``baseline``: ``leave_one_out``, the mean reward of the others, or
        ``greedy``, that of the most probable caption. ``kl`` and ``cross_entropy`` are weights,
        in CIDEr-D per nat. ``teacher`` is the path of the captioner that the training starts from.
        """
        if target != "captions":
            raise ValueError(f"target={target!r}: only captions have a score to train on")
        if baseline not in BASELINES:
            raise ValueError(f"baseline={baseline!r}: must be {' or '.join(BASELINES)}")
        super().__init__(
            dim,
            available,
            bos_id,
            eos_id,
            decoder,
            streams,
            weight,
            label_smoothing,
            max_length,
            target,
            word_dropout,
        )
        self.num_samples, self.temperature, self.baseline = num_samples, temperature, baseline
        self.kl, self.cross_entropy = kl, cross_entropy
        self.teacher = teacher if isinstance(teacher, FrozenTeacher) and kl else None
        self.teacher_head = captioning_head_name(self.teacher.model) if self.teacher else None
        self.has_shared = False
        self.reward: CiderReward | None = None
        self.tokenizer: Detokenizer | None = None
        self.decoder.eval()

    def train(self, mode: bool = True) -> "SelfCriticalHead":
        """Set the mode of the head; the decoder stays in evaluation mode."""
        super().train(mode)
        self.decoder.eval()
        return self

    def begin_training(
        self, train: Sequence[Sample], val: Sequence[Sample], tokenizer: Detokenizer | None
    ) -> None:
        """Read the references, and count in how many training samples their n-grams occur."""
        self.reward = CiderReward(reference_words(train), reference_words(val))
        self.tokenizer = tokenizer

    @torch.compiler.disable
    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Compute the loss; in validation, minus the mean reward of the greedy captions.

        Without references (``begin_training``), validation has the loss of ``CaptioningHead``.
        """
        target = self.target_texts(batch)
        if self.reward is None or target is None:
            assert not self.training or target is None, "training needs begin_training"
            return super().forward(streams, batch)
        context = self.decoder_context(streams, batch)
        has_target = (target != IGNORE_INDEX).flatten(1).any(dim=1)
        if self.training:
            loss, metrics = self.sampled_loss(context, batch, has_target)
            if self.cross_entropy:
                loss = loss + self.cross_entropy * self.reference_loss(context, target, batch)
        else:
            tokens = self.generated(context, batch.keys, GREEDY)
            metrics = self.described(tokens, self.rewards(tokens, batch, has_target))
            loss = -metrics["reward"]
        count = has_target.sum()
        means = {
            name: global_mean((x * has_target).sum(), count, False) for name, x in metrics.items()
        }
        total = global_mean((loss * has_target).sum(), count, shared=self.training)
        return Prediction(total, {"count": count}, means)

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Return the number of samples with captions."""
        texts = self.target_texts(batch)
        return None if texts is None else (texts != IGNORE_INDEX).flatten(1).any(dim=1).sum()

    def sampled_loss(
        self, context: Context, batch: Batch, has_target: Bool[Tensor, " b"]
    ) -> tuple[Float[Tensor, " b"], dict[str, Tensor]]:
        """Return the loss of the sampled captions of each sample, and what to log of them."""
        settings = GenerationSettings(
            do_sample=True, temperature=self.temperature, num_return_sequences=self.num_samples
        )
        tokens = self.generated(context, batch.keys, settings)
        reward = self.rewards(tokens, batch, has_target)
        metrics = self.described(tokens, reward)
        if self.baseline == "greedy":
            greedy = self.generated(context, batch.keys, GREEDY)
            baseline = self.rewards(greedy, batch, has_target).expand_as(reward)
            metrics["greedy_reward"] = baseline[:, 0]
        else:
            baseline = leave_one_out(reward)
        inputs, chosen = self.teacher_forced(tokens)
        logits = self.logits(self.decoder(inputs, context), chosen)
        log_p = (logits / self.temperature).log_softmax(dim=1)
        own = log_p.gather(1, tokens[..., : chosen.shape[2]][chosen][:, None])[:, 0]
        log_prob = own.new_zeros(chosen.shape).masked_scatter(chosen, own).sum(dim=2)
        loss = policy_loss(log_prob, reward.to(log_prob.dtype), baseline.to(log_prob.dtype))
        if self.teacher is not None:
            divergence = self.divergence(logits, inputs, chosen, batch)
            loss, metrics["kl"] = loss + self.kl * divergence, divergence.detach()
        return loss, metrics

    @torch.no_grad()
    def generated(
        self, context: Context, keys: Int[Tensor, " b"], settings: GenerationSettings
    ) -> Int[Tensor, "b k t"]:
        """Return the tokens of generated captions without BOS, of the maximum length."""
        return self.texts(context, keys, settings).tokens

    def teacher_forced(
        self, tokens: Int[Tensor, "b k t"]
    ) -> tuple[Int[Tensor, "s u"], Bool[Tensor, "b k u"]]:
        """Return the input tokens of captions, from BOS on and padded with IGNORE_INDEX, and which
        of their next tokens were chosen.
        """
        chosen = chosen_mask(tokens, self.eos_id)
        longest = int(chosen.sum(dim=2).max())
        chosen, tokens = chosen[..., :longest], tokens[..., :longest]
        begin = torch.full_like(tokens[..., :1], self.bos_id)
        inputs = torch.cat([begin, tokens[..., :-1]], dim=2)
        return inputs.masked_fill(~chosen, IGNORE_INDEX).flatten(0, 1), chosen

    def logits(
        self, hidden: Float[Tensor, "s u d"], chosen: Bool[Tensor, "b k u"]
    ) -> Float[Tensor, "m v"]:
        """Return the logits of the chosen tokens, in at least float32."""
        logits = self.decoder.logits(hidden[chosen.flatten(0, 1)])
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def divergence(
        self,
        logits: Float[Tensor, "m v"],
        inputs: Int[Tensor, "s u"],
        chosen: Bool[Tensor, "b k u"],
        batch: Batch,
    ) -> Float[Tensor, " b"]:
        """Return the Kullback-Leibler divergence from the teacher, in nats per caption.

        It is summed over the places of a caption, at each exact over the vocabulary.

        Args:
            logits: Of the captioner at the chosen tokens.
            inputs: Input tokens of the sampled captions.
            chosen: Which of their next tokens were chosen.
            batch: The samples.
        """
        teacher = self.teacher
        assert teacher is not None

        def reference(model: Any) -> Tensor:
            head = model.head[self.teacher_head]
            if not self.has_shared:  # a frozen language model is in memory once
                teacher.share(head.decoder, self.decoder)
                self.has_shared = True
            streams = model.streams(batch, head.streams, {})
            hidden = head.decoder(inputs, head.decoder_context(streams, batch))
            return head.decoder.logits(hidden[chosen.flatten(0, 1)])  # type: ignore[no-any-return]

        log_q = teacher.run(reference, logits.device).log_softmax(dim=1)
        log_p = logits.log_softmax(dim=1)
        each = (log_p.exp() * (log_p - log_q)).sum(dim=1)
        places = each.new_zeros(chosen.shape).masked_scatter(chosen, each)
        return places.sum(dim=2).mean(dim=1)

    def reference_loss(
        self, context: Context, target: Int[Tensor, "b *k t"], batch: Batch
    ) -> Float[Tensor, " b"]:
        """Return the cross-entropy of one reference of each sample, summed over its tokens."""
        inputs, following = shifted(target.view(len(target), -1, target.shape[-1])[:, 0])
        inputs, present = self.with_word_dropout(inputs, batch), following != IGNORE_INDEX
        log_p = self.logits(self.decoder(inputs, context), present[:, None]).log_softmax(dim=1)
        own = log_p.gather(1, following[present][:, None])[:, 0]
        own = (1 - self.label_smoothing) * own + self.label_smoothing * log_p.mean(dim=1)
        return -own.new_zeros(present.shape).masked_scatter(present, own).sum(dim=1)

    def rewards(
        self, tokens: Int[Tensor, "b k t"], batch: Batch, has_target: Bool[Tensor, " b"]
    ) -> Float[Tensor, "b k"]:
        """Return the reward of each caption; 0 for samples without references."""
        assert self.reward is not None
        assert self.tokenizer is not None, "a model that generates text has a tokenizer"
        ended = end_place(tokens, self.eos_id) < tokens.shape[2] - 1
        reward = torch.zeros(tokens.shape[:2])
        known: dict[
            tuple[str, tuple[int, ...]], float
        ] = {}  # the same caption is often drawn twice
        rows = zip(batch.ids, has_target.tolist(), tokens.tolist(), ended.tolist(), strict=True)
        for i, (name, has, texts, ends) in enumerate(rows):
            for j, (text, end) in enumerate(zip(texts, ends, strict=True)):
                key = name, tuple(text)
                if has and key not in known:
                    words = caption_words(self.tokenizer.decode(text))
                    known[key] = self.reward.score(name, words, end)
                reward[i, j] = known.get(key, 0.0)
        return reward.to(tokens.device)

    def described(
        self, tokens: Int[Tensor, "b k t"], reward: Float[Tensor, "b k"]
    ) -> dict[str, Tensor]:
        """Return, for each sample, the mean reward of its captions, their mean number of tokens and
        the share of those that ended.
        """
        place = end_place(tokens, self.eos_id)
        ended = (place < tokens.shape[2] - 1).float()
        return {
            "reward": reward.mean(dim=1),
            "length": place.float().mean(dim=1),
            "ended": ended.mean(dim=1),
        }


def reference_words(samples: Sequence[Sample]) -> dict[str, list[list[str]]]:
    """Return the words of the captions of the samples that have any, by id."""
    return {s.id: [caption_words(text) for text in s.captions] for s in samples if s.captions}


def captioning_head_name(model: Any) -> str:
    """Return the name of the teacher's captioning head. Raises ValueError if there is none."""
    heads: Mapping[str, Any] = model.head
    for name, head in heads.items():
        if isinstance(head, CaptioningHead) and head.target == "captions":
            return str(name)
    raise ValueError("teacher: has no head that generates captions")
