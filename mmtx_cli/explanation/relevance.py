"""The relevance of each place of the inputs for each word of the generated texts.

Shape letters: b batch, t tokens, l pictures or frames, s side of a picture, f audio frames, m
bands.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mmtx_cli.connector.base import Connector
from mmtx_cli.explanation.leaves import Leaves, as_leaves
from mmtx_cli.explanation.rules import rollout_rules
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch

Places = Sequence[Sequence[Sequence[int]]]
"""Of each sample and word, the places of its tokens in the text."""


def word_relevance(
    model: MultimodalModel,
    head: CaptioningHead,
    batch: Batch,
    tokens: Int[Tensor, "b t"],
    places: Places,
    method: str,
) -> Iterator[dict[str, Tensor]]:
    """Yield for the first word of all texts, the second, …, the relevance of the inputs.

    It is not negative: by modality [b, l, s, s] for pictures and frames, [b, f, m] for audio, zero
    for samples that have fewer words.

    Args:
        model: The model.
        head: The head that generated the texts.
        batch: The inputs.
        tokens: The texts, without BOS, padded with EOS.
        places: Which tokens are a word.
        method: ``gradient`` or ``rollout``.
    """
    rollout = method == "rollout"
    with ready(model), as_leaves(model, head.prepare_batch(batch)) as (inputs, leaves):
        with rollout_rules(model) if rollout else nullcontext():
            scores = token_scores(model, head, inputs, tokens, rollout)
        names = sorted(leaves.of)
        for number in range(max(map(len, places), default=0)):
            chosen = torch.zeros_like(scores)
            for row, words in enumerate(places):
                if number < len(words):
                    chosen[row, list(words[number])] = 1
            gradients = torch.autograd.grad(
                scores, [leaves.of[n] for n in names], chosen, retain_graph=True, allow_unused=True
            )
            yield {
                name: relevance(name, leaves, gradient, rollout)
                for name, gradient in zip(names, gradients, strict=True)
                if gradient is not None
            }


def relevance(name: str, leaves: Leaves, gradient: Tensor, rollout: bool) -> Tensor:
    """Return the relevance by place, from the derivative of the score of a word.

    For gradients it is the size of the input times its derivative (Shrikumar et al. 2017): to
    first order, what the score would change if the place had the mean color or level.
    """
    if rollout:
        return leaves.by_place(name, gradient)
    return leaves.by_place(name, gradient * leaves.centered(name)).abs()


def token_scores(
    model: MultimodalModel,
    head: CaptioningHead,
    batch: Batch,
    tokens: Int[Tensor, "b t"],
    rollout: bool,
) -> Float[Tensor, "b t"]:
    """Return what is explained of each token: its log-probability, or for rollout its state.

    Args:
        model: The model.
        head: The head that generated the texts.
        batch: The inputs.
        tokens: The texts.
        rollout: Whether relevance is passed back by the rules of attention rollout.
    """
    begin = torch.full_like(tokens[:, :1], head.bos_id)
    streams = model.streams(batch, head.streams, {})
    context = head.decoder_context(streams, batch)
    hidden = head.decoder(torch.cat([begin, tokens[:, :-1]], dim=1), context)
    if rollout:
        return hidden.mean(dim=2)
    logits = head.decoder.logits(hidden)
    log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=2)
    return log_probs.gather(2, tokens[..., None])[..., 0]


@contextmanager
def ready(model: nn.Module) -> Iterator[None]:
    """Compute derivatives with respect to inputs, in full precision and without dropout.

    Texts that are half generated can be continued afterwards.
    """
    connectors = [m for m in model.modules() if isinstance(m, Connector)]
    bound = [connector.bound for connector in connectors]
    trained = [p for p in model.parameters() if p.requires_grad]
    was_training = model.training
    model.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        device = next(model.parameters()).device.type
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device, enabled=False),
        ):
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        model.train(was_training)
        for connector, context in zip(connectors, bound, strict=True):
            connector.bound = context


def copied(batch: Batch, first: int, stop: int) -> Batch:
    """Return a copy of some samples, outside inference mode, so that derivatives are recorded."""
    with torch.inference_mode(False):
        return replace(batch.map(lambda x: x[first:stop].clone()), ids=batch.ids[first:stop])
