"""Tiny decoders of every kind, composed from conf/, and the contexts that they read."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mmtx_cli.config.conf_tree import choices, shipped
from mmtx_cli.config.introspect import class_constant
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.decoder.base import Decoder
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.limits import Limits
from mmtx_cli.layer.context import Context
from mmtx_cli.model.build import build_decoder
from mmtx_cli.types import IGNORE_INDEX
from tests.tiny import BOS, DIM, EOS, LENGTH, VOCAB, build_or_skip, composed

ARCHITECTURES = {
    "llama": {"num_key_value_heads": 1, "intermediate_size": 32},
    "gpt2": {"n_positions": 64, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "qwen2": {"num_key_value_heads": 1, "intermediate_size": 32},
    "gemma2": {"num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32},
    "opt": {
        "ffn_dim": 32,
        "word_embed_proj_dim": 16,
        "max_position_embeddings": 64,
        "dropout": 0.0,
    },
    "phi": {"intermediate_size": 32},
}
"""Values of the configurations of tiny language models. They differ in their positions (rotary,
learned), in the sharing of keys, and in what follows the output layer (bias, capped logits)."""
FACTS = {"pad_token_id": 0, "bos_token_id": BOS, "eos_token_id": EOS}


def takes_connector(name: str) -> bool:
    target = shipped(f"decoder/{name}")["_target_"]
    return bool(class_constant(target, "takes_connector"))


def kinds() -> list[tuple[str, ...]]:
    """Arguments of every decoder, with every connector if it takes one."""
    found: list[tuple[str, ...]] = []
    for name in choices("decoder"):
        if not takes_connector(name):
            found.append((f"decoder={name}",))
            continue
        found += [
            (f"decoder={name}", f"connector={connector}", *language_model("llama"))
            for connector in choices("connector")
        ]
    return found


def language_model(architecture: str) -> tuple[str, ...]:
    """Arguments of a tiny language model with random weights."""
    values = FACTS | ARCHITECTURES[architecture]
    config = ", ".join(f"{key}: {value}" for key, value in values.items())
    return (
        f"decoder.architecture={architecture}",
        f"+decoder.config={{{config}}}",
        "decoder.depth=2",
        "decoder.freeze=false",
    )


def name_of(args: Sequence[str]) -> str:
    chosen = (arg for arg in args if arg.partition("=")[0] in ("decoder", "connector"))
    return " ".join(arg.partition("=")[2] for arg in chosen)


KINDS = [pytest.param(kind, id=name_of(kind)) for kind in kinds()]
PREFIX = ("decoder=huggingface", "connector=prefix")
MODELS = [
    pytest.param((*PREFIX, *language_model(name)), id=name)
    for name in ARCHITECTURES
    if name != "llama"
]
"""Arguments of the other language models, with one connector."""


def tiny_decoder(args: Sequence[str], num_streams: int = 2, seed: int = 0) -> Decoder:
    """A decoder in float64 and evaluation mode; gates are open, so that the context counts.

    Gemma 2 stays in float32: its softmax is in float32, where the mask of float64 is infinite.
    """
    cfg = composed("encoder/image=vit", "fusion=concat", "head=captioning", *args)
    torch.manual_seed(seed)
    decoder: Decoder = build_or_skip(build_decoder, cfg, (), num_streams)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if "gate" in name:
                parameter.fill_(0.5)
    single = "decoder.architecture=gemma2" in args
    return decoder.float().eval() if single else decoder.double().eval()


def tiny_context(decoder: Decoder, seed: int = 0) -> Context:
    """Two streams of four inputs: whole, one token of the first missing, the second missing, none.

    The summary is that of a head with several streams.
    """
    dtype = next(decoder.parameters()).dtype
    random = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    x = torch.randn(4, 5, DIM, generator=random, dtype=dtype) * mask[..., None]
    summary = torch.randn(4, DIM, generator=random, dtype=dtype)
    return Context(x, mask, summary * mask.any(dim=1, keepdim=True), streams=(2, 3))


def tiny_texts(seed: int = 0, k: int = 1) -> Tensor:
    """Texts of different lengths, k for each of four inputs, from BOS to EOS."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, LENGTH + 1, (4 * k, 1), generator=random)
    lengths[0] = LENGTH
    place = torch.arange(LENGTH)
    words = torch.randint(5, VOCAB, (4 * k, LENGTH), generator=random)
    words[:, 0] = BOS
    return words.where(place < lengths - 1, EOS).where(place < lengths, IGNORE_INDEX)


def rows(context: Context, chosen: slice) -> Context:
    """Some inputs of a context."""
    summary = None if context.summary is None else context.summary[chosen]
    return Context(context.x[chosen], context.mask[chosen], summary, streams=context.streams)


def generated(
    decoder: Decoder,
    contexts: Sequence[Context],
    limits: Limits,
    capacity: int | None = None,
    constraint: Constraint | None = None,
    **settings: Any,
) -> tuple[Tensor, Tensor]:
    """The best text of every input, and its score."""
    source = [(context, torch.arange(len(context))) for context in contexts]
    own = GenerationSettings(**settings)
    parts = list(decoder.generate(source, own, limits, capacity, constraint))
    order = torch.cat([numbers for numbers, _ in parts]).argsort()
    tokens = torch.cat([texts.tokens[:, 0] for _, texts in parts])[order]
    return tokens, torch.cat([texts.scores[:, 0] for _, texts in parts])[order]
