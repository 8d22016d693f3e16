"""Generation of captions against ``generate`` of transformers with the same weights.

Run from the project's root: ``python tests/benchmark/generate.py``. Requires ``mmtx[hf]``.

A decoder of 6 blocks of width 512 with a vocabulary of 32,000 reads 197 context tokens. The same
weights are those of a GPT-2 with cross-attention. The weights are random, so every input has a
start token of its own, and a rule decides where a text ends: its first word stands for a length of
Flickr8k's captions. Both implementations follow it. Greedy and beam search: the share of equal
texts, the ratio of the medians of the times, and the share of the roof: the time that the larger of
bytes over bandwidth and operations over peak would take, with both measured in the same run.

``--stream N`` captions N inputs in batches, once with waiting inputs that take the places of
finished ones and once batch by batch.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessor  # noqa: E402

from mmtx_cli.decoder.transformer import TransformerDecoder  # noqa: E402
from mmtx_cli.generation.beam import BeamSearch  # noqa: E402
from mmtx_cli.generation.limits import Limits  # noqa: E402
from mmtx_cli.generation.rowwise import Greedy  # noqa: E402
from mmtx_cli.generation.search import search  # noqa: E402
from mmtx_cli.generation.texts import Texts  # noqa: E402
from mmtx_cli.layer.context import Context  # noqa: E402
from mmtx_cli.layer.linear.packed import PackedWeight, pack  # noqa: E402

WIDTH, DEPTH, HEADS, VOCAB, CONTEXT = 512, 6, 8, 32_000, 197
BOS, EOS, LONGEST = 0, 1, 32
LENGTHS = torch.tensor(
    [
        6,
        7,
        8,
        8,
        9,
        9,
        9,
        10,
        10,
        10,
        10,
        11,
        11,
        11,
        12,
        12,
        12,
        13,
        13,
        14,
        14,
        15,
        16,
        17,
        19,
        24,
    ]
)
"""Quantiles of the number of tokens of Flickr8k's captions."""


def ended(scores: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """Allow the end at the length that the first token stands for, and nothing else there.

    Args:
        scores: Of the next tokens, [r, v].
        first: First token of each text, [r].
        length: Number of tokens so far, [r].
    """
    at_end = (length > 0) & (length >= LENGTHS[first % len(LENGTHS)])
    is_end = torch.arange(scores.shape[1]) == EOS
    return scores.masked_fill(at_end[:, None] != is_end, -torch.inf)


class Ours:
    """The rule for mmtx."""

    def __call__(self, scores: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Apply it to the rows of all inputs."""
        b, k, v = scores.shape
        lengths = length[:, None].expand(b, k).flatten()
        return ended(scores.view(-1, v), tokens[:, :, 0].flatten(), lengths).view(b, k, v)


class Theirs(LogitsProcessor):
    """The rule for transformers."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Apply it to all rows, whose first token is BOS."""
        length = torch.full((len(input_ids),), input_ids.shape[1] - 1)
        first = input_ids[:, 1] if input_ids.shape[1] > 1 else torch.zeros_like(length)
        return ended(scores, first, length)


def models() -> tuple[TransformerDecoder, GPT2LMHeadModel]:
    """The same weights in both implementations."""
    torch.manual_seed(0)
    ours = TransformerDecoder(VOCAB, WIDTH, LONGEST, depth=DEPTH, num_heads=HEADS, dropout=0.0)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=LONGEST,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        activation_function="gelu",
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    theirs = GPT2LMHeadModel(config)
    body = theirs.transformer
    with torch.no_grad():
        ours.embedding.weight *= 3  # texts that depend on more than the last token
        body.wte.weight.copy_(ours.embedding.weight)
        body.wpe.weight.copy_(ours.position)
        for own, block in zip(ours.blocks, body.h, strict=True):
            for norm, other in (("norm1", "ln_1"), ("norm2", "ln_cross_attn"), ("norm3", "ln_2")):
                getattr(block, other).load_state_dict(getattr(own, norm).state_dict())
            attention, cross = own.attention, own.cross_attention
            copy(block.attn.c_attn, attention.query, attention.key_value)
            copy(block.attn.c_proj, attention.out)
            copy(block.crossattention.q_attn, cross.query)
            copy(block.crossattention.c_attn, cross.key_value)
            copy(block.crossattention.c_proj, cross.out)
            copy(block.mlp.c_fc, own.feed_forward[0])
            copy(block.mlp.c_proj, own.feed_forward[3])
        body.ln_f.load_state_dict(ours.norm.state_dict())
    theirs.tie_weights()
    return ours.eval(), theirs.eval()


def copy(target: Any, *sources: Any) -> None:
    """Copy linear layers side by side into a layer whose weight is transposed."""
    target.weight.copy_(torch.cat([source.weight for source in sources]).T)
    target.bias.copy_(torch.cat([source.bias for source in sources]))


class Start:
    """Every text starts with the token that is its input's key, instead of BOS."""

    def begin(self, keys: Tensor) -> Any:
        """Return the state of new inputs."""
        now = super().begin(keys)  # type: ignore[misc]
        now.last = keys[:, None].expand_as(now.last).clone()
        return now


class StartGreedy(Start, Greedy):
    """Greedy search."""


class StartBeams(Start, BeamSearch):
    """Beam search."""


def starts(count: int) -> Tensor:
    """A start token for each input."""
    return torch.randint(2, VOCAB, (count,), generator=torch.Generator().manual_seed(1))


def generated(
    decoder: Any, x: Tensor, beams: int, size: int, capacity: int | None = None
) -> Tensor:
    """The best text of each input, by mmtx, of inputs that come in batches of ``size``."""
    limits = Limits(BOS, EOS, LONGEST)
    rules: Any = [Ours()]
    greedy = beams == 1
    method = StartGreedy(limits, rules=rules) if greedy else StartBeams(limits, beams, rules=rules)

    def source() -> Iterator[tuple[Context, Tensor]]:
        for part, keys in zip(x.split(size), starts(len(x)).split(size), strict=True):
            yield Context(part, torch.ones(part.shape[:2], dtype=torch.bool)), keys

    parts: list[tuple[Tensor, Texts]] = list(search(decoder, source(), method, capacity))
    order = torch.cat([numbers for numbers, _ in parts]).argsort()
    return torch.cat([texts.tokens[:, 0] for _, texts in parts])[order]


class OneByOne:
    """A decoder whose batches are generated one after the other."""

    def __init__(self, decoder: TransformerDecoder) -> None:
        self.step, self.logits, self.inner = decoder.step, decoder.logits, decoder

    def start(self, *args: Any) -> Any:
        """Return a state that takes no other inputs."""
        state = self.inner.start(*args)
        state.can_replace = False
        return state


def by_transformers(model: GPT2LMHeadModel, x: Tensor, beams: int) -> Tensor:
    """The same by ``generate``."""
    tokens = model.generate(
        input_ids=starts(len(x))[:, None],
        attention_mask=torch.ones(len(x), 1, dtype=torch.long),
        encoder_hidden_states=x,
        num_beams=beams,
        do_sample=False,
        max_new_tokens=LONGEST - 1,
        logits_processor=[Theirs()],
        pad_token_id=EOS,
        use_cache=True,
    )
    return tokens[:, 1:]


def medians(calls: list[Callable[[], Tensor]], rounds: int) -> tuple[list[Tensor], list[float]]:
    """What the calls return, and the medians of their times, taken in turns."""
    found = [call() for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return found, [statistics.median(own) for own in times]


def machine() -> tuple[float, float]:
    """Bandwidth in bytes/s and peak in operations/s, as torch reaches them here."""
    a = torch.randn(2048, 2048)
    data = torch.randn(64 * 2**20)
    packed = PackedWeight(a)
    calls = [lambda: a @ a, lambda: packed.product(a, None), lambda: data.sum()]
    _, (product, packed_product, total) = medians(calls, 5)
    return data.numel() * 4 / total, 2 * 2048**3 / min(product, packed_product)


def roof(tokens: Tensor, beams: int, bandwidth: float, peak: float) -> float:
    """The least time in seconds for these texts.

    Each step of a text multiplies it with every weight once, and reads its context: projected keys
    and values or, if that is less work, the tokens themselves (``Attention.read_tokens``). The
    weights are read once per step of the batch.
    """
    lengths = (tokens != EOS).sum(dim=1) + 1
    block = 14 * WIDTH * WIDTH  # attention 4, cross-attention 2 (query, out), feed-forward 8
    weights = DEPTH * block + VOCAB * WIDTH
    attended = 2 * DEPTH * CONTEXT * WIDTH
    steps, rows = int(lengths.max()), int(lengths.sum()) * beams
    projected = 2 * len(tokens) * CONTEXT * DEPTH * 2 * WIDTH * WIDTH  # keys and values, once
    unprojected = 2 * rows * (DEPTH * 2 * WIDTH * WIDTH + attended * (HEADS - 1))
    operations = 2 * rows * (weights + attended) + min(projected, unprojected)
    read = 4 * (steps * weights + int(lengths.sum()) * attended)
    return max(operations / peak, read / bandwidth)


@torch.inference_mode()
def main() -> None:
    """Compare, and print one line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, default=0)
    options = parser.parse_args()
    ours, theirs = models()
    pack(ours)  # as for every trained model that is used on a CPU
    bandwidth, peak = machine()
    print(
        f"{bandwidth / 1e9:.1f} GB/s, {peak / 1e9:.0f} GFLOP/s, {torch.get_num_threads()} threads"
    )
    for beams, batch in ((1, 1), (1, 64), (4, 16)):
        x = torch.randn(batch, CONTEXT, WIDTH)
        (a, b), (first, second) = medians(
            [
                lambda x=x, beams=beams, batch=batch: generated(ours, x, beams, batch),
                lambda x=x, beams=beams: by_transformers(theirs, x, beams),
            ],
            options.rounds,
        )
        n = min(a.shape[1], b.shape[1])
        equal = (a[:, :n] == b[:, :n]).all(dim=1).float().mean().item()
        share = roof(a, beams, bandwidth, peak) / first
        print(
            f"{'greedy' if beams == 1 else f'{beams} beams'}, batch {batch}: generate / mmtx = "
            f"{second / first:.2f}, {equal:.0%} of the texts equal, {share:.0%} of the roof"
        )
    if options.stream:
        x = torch.randn(options.stream, CONTEXT, WIDTH)
        size = 16

        def apart() -> Tensor:
            return generated(OneByOne(ours), x, 1, size)

        def together() -> Tensor:
            return generated(ours, x, 1, size, capacity=size)

        (a, b), (first, second) = medians([together, apart], options.rounds)
        equal = (a == b).all(dim=1).float().mean().item()
        print(
            f"{options.stream} inputs, batches of {size}: batch by batch / waiting inputs = "
            f"{second / first:.2f}, {equal:.0%} of the texts equal"
        )


if __name__ == "__main__":
    main()
