"""What each fusion costs: time, parameters and memory of a step, and how they grow.

Run from the project's root: ``python tests/benchmark/fusion.py [cost bare growth]``. Takes some
minutes. A step is forward and backward of the fusion alone, on one thread, of 8 samples that have
3 modalities of 64 tokens, 256 wide. The two sides of a ratio take turns, A B B A.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from omegaconf import OmegaConf  # noqa: E402
from paired import paired_ratio  # noqa: E402

from mmtx_cli.config.conf_tree import choices, conf_dir  # noqa: E402
from mmtx_cli.errors import ConfigError  # noqa: E402
from mmtx_cli.fusion.cross_attention import CrossAttentionFusion  # noqa: E402
from mmtx_cli.model.build import component  # noqa: E402
from mmtx_cli.types import FUSED, Streams, Tokens  # noqa: E402

BATCH, TOKENS, DIM, MODALITIES = 8, 64, 256, 3
BASELINE = "pooled_concat"


def names(count: int) -> list[str]:
    """Modalities are only names to a fusion; FiLM's condition is the text."""
    return ["text", *(f"m{i}" for i in range(1, count))]


def made(name: str, count: int = MODALITIES) -> torch.nn.Module:
    """A fusion as conf/ ships it."""
    node = OmegaConf.load(conf_dir() / "fusion" / f"{name}.yaml")
    node.dim = DIM
    return component("fusion", OmegaConf.to_container(node), modalities=names(count))  # type: ignore[arg-type]


def streams(count: int = MODALITIES, tokens: int = TOKENS) -> Streams:
    """Everything present; the last two tokens of each are padding."""
    mask = (torch.arange(tokens) < tokens - 2).expand(BATCH, -1)
    random = torch.Generator().manual_seed(0)
    draw = [torch.randn(BATCH, tokens, DIM, generator=random) for _ in range(count)]
    return {m: Tokens(x.requires_grad_(), mask) for m, x in zip(names(count), draw, strict=True)}


def step(fuse: Callable[[Streams], Tensor], given: Streams) -> Callable[[], None]:
    """Forward and backward."""

    def run() -> None:
        fuse(given).sum().backward()

    return run


def fused(fusion: torch.nn.Module) -> Callable[[Streams], Tensor]:
    """The fused tokens alone."""
    return lambda given: fusion(given)[FUSED].x


def kept_bytes(fuse: Callable[[Streams], Tensor], given: Streams) -> int:
    """Bytes of the activations that the forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        out = fuse(given)
    own = {s.x.untyped_storage().data_ptr() for s in given.values()}
    total = sum(size for place, size in kept.items() if place not in own)
    del out
    return total


def joining() -> list[str]:
    """The fusions that make a fused stream."""
    return [name for name in choices("fusion") if made(name).joins]


def cost(rounds: int) -> None:
    """A row a fusion, relative to ``pooled_concat``."""
    given = streams()
    base = step(fused(made(BASELINE)), given)
    print("| fusion | step time / pooled_concat | parameters | kept for the backward pass |")
    print("| --- | --- | --- | --- |")
    for name in joining():
        fusion = made(name)
        ratio, _ = paired_ratio(step(fused(fusion), given), base, rounds)
        weights = {id(p): p.numel() for p in fusion.parameters()}
        size = sum(weights.values()) / 1e6
        kept = kept_bytes(fused(fusion), given) / 1e6
        print(f"| {name} | {ratio:.1f} | {size:.2f} M | {kept:.1f} MB |", flush=True)


def bare_cross_attention(fusion: CrossAttentionFusion) -> Callable[[Streams], Tensor]:
    """The same layers with the same weights, written as plain calls; everything is present."""

    def norm(layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
        return F.layer_norm(x, (DIM,), layer.weight, layer.bias)

    def attend(a: torch.nn.Module, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(2, (a.num_heads, -1)).transpose(1, 2)

        key, value = F.linear(context, a.key_value.weight, a.key_value.bias).chunk(2, dim=-1)
        query = F.linear(x, a.query.weight, a.query.bias)
        y = F.scaled_dot_product_attention(
            heads(query), heads(key), heads(value), attn_mask=mask[:, None, None]
        )
        return F.linear(y.transpose(1, 2).flatten(2), a.out.weight, a.out.bias)

    def fuse(given: Streams) -> Tensor:
        x = {m: given[m].x for m in fusion.modalities}
        masks = {m: given[m].mask for m in fusion.modalities}
        for layer in fusion.layers:
            normed = {m: norm(layer.norm[m], x[m]) for m in x}
            for m in fusion.query:
                kind = layer.sequenced[m].kind
                context = torch.cat([normed[c] + kind[c] for c in kind], dim=1)
                mask = torch.cat([masks[c] for c in kind], dim=1)
                y = x[m] + attend(layer.look[m], normed[m], context, mask)
                block = layer.block[m]
                own = norm(block.norm1, y)
                y = y + attend(block.attention, own, own, masks[m])
                first, _, _, second, _ = block.feed_forward
                hidden = F.gelu(F.linear(norm(block.norm2, y), first.weight, first.bias))
                x[m] = y + F.linear(hidden, second.weight, second.bias)
        out = norm(fusion.norm, torch.cat([x[m] for m in fusion.query], dim=1))
        return out * torch.cat([masks[m] for m in fusion.query], dim=1)[..., None]

    return fuse


def bare(rounds: int) -> None:
    """Cross-attention as mmtx has it, over the same computation with bare SDPA calls."""
    fusion = made("cross_attention")
    assert isinstance(fusion, CrossAttentionFusion)
    given, plain = streams(), bare_cross_attention(fusion)
    torch.testing.assert_close(plain(given), fused(fusion)(given), atol=1e-4, rtol=1e-4)
    ratio, each = paired_ratio(step(fused(fusion), given), step(plain, given), rounds)
    spread = f"{min(each):.3f} to {max(each):.3f}"
    print(f"cross_attention / bare SDPA calls = {ratio:.3f} (median of {rounds} rounds, {spread})")


def exponent(name: str, sizes: list[int], rounds: int, setting: str) -> str:
    """Slope of log time over log size between the smallest and the largest; "-" if none can be."""
    sides = []
    for size in (sizes[0], sizes[-1]):
        count, tokens = (size, TOKENS) if setting == "modalities" else (MODALITIES, size)
        try:
            sides.append(step(fused(made(name, count)), streams(count, tokens)))
        except ConfigError:
            return "not possible"
    ratio, _ = paired_ratio(sides[1], sides[0], rounds)
    return f"{math.log(ratio) / math.log(sizes[-1] / sizes[0]):.2f}"


def growth(rounds: int) -> None:
    """How the step time grows: the exponent of the number of modalities, and of tokens."""
    print("| fusion | time ~ modalities (2 to 8) to the | time ~ tokens (64 to 512) to the |")
    print("| --- | --- | --- |")
    for name in joining():
        by_modality = exponent(name, [2, 8], rounds, "modalities")
        by_token = exponent(name, [64, 512], rounds, "tokens")
        print(f"| {name} | {by_modality} | {by_token} |", flush=True)


SECTIONS = {"cost": (cost, 9), "bare": (bare, 15), "growth": (growth, 3)}
"""Each with its rounds."""


def main() -> None:
    """Every section, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all, if none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for section in options.sections or SECTIONS:
        run, rounds = SECTIONS[section]
        run(rounds)


if __name__ == "__main__":
    main()
