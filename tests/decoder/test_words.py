"""The first stage of a connector: the words of the texts from the context alone."""

import torch

from mmtx_cli.decoder.base import shifted
from mmtx_cli.decoder.words import BIAS_GAIN, SCALE, WordPredictor
from mmtx_cli.types import IGNORE_INDEX, Tokens
from tests.decoders import KINDS, tiny_context, tiny_decoder, tiny_texts
from tests.tiny import same

PREFIX = next(kind.values[0] for kind in KINDS if "connector=prefix" in kind.values[0])


def test_log_probabilities_agree_with_a_loop():
    random = torch.Generator().manual_seed(0)
    x, words = torch.randn(3, 4, 6, generator=random), torch.randn(9, 6, generator=random)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    predictor = WordPredictor(9)
    torch.nn.init.normal_(predictor.bias, std=0.1, generator=random)
    found = predictor(Tokens(x * mask[..., None], mask), words)
    centered = words.double() - words.double().mean(dim=0)
    for i in range(3):
        logits = torch.zeros(9, dtype=torch.float64)
        present = [token.double() for token, real in zip(x[i], mask[i], strict=True) if real]
        for v in range(9):
            parts = [
                torch.exp(SCALE * torch.cosine_similarity(token, centered[v], dim=0))
                for token in present
            ]
            logits[v] = torch.log(sum(parts) / len(parts)) if parts else 0
            logits[v] += BIAS_GAIN * predictor.bias[v].item()
        same(found[i].double(), logits.log_softmax(dim=0), 1e-5)


def test_the_loss_is_summed_over_real_tokens():
    log_probs = torch.randn(2, 5).log_softmax(dim=1)
    target = torch.tensor([[1, 2, IGNORE_INDEX], [4, 4, 0]])
    wanted = -sum(log_probs[i, v] for i, v in [(0, 1), (0, 2), (1, 4), (1, 4), (1, 0)])
    same(WordPredictor(5).loss(log_probs, target), wanted, 1e-6)


def test_only_the_connector_learns_and_the_model_is_not_run():
    words = tuple(arg for arg in PREFIX if arg != "decoder.freeze=false")
    decoder = tiny_decoder((*words, "decoder.freeze=false"))
    decoder.objective = "words"
    decoder.words = WordPredictor(len(decoder.lm.get_input_embeddings().weight)).double()
    decoder.lm.requires_grad_(False)
    context, texts = tiny_context(decoder), tiny_texts(k=2)

    def fail(*_):
        raise AssertionError("the language model was run")

    hook = decoder.lm.base_model.register_forward_pre_hook(fail)
    losses = []
    optimizer = torch.optim.Adam([p for p in decoder.parameters() if p.requires_grad], 1e-2)
    for _ in range(60):
        loss = decoder.text_loss(*shifted(texts), context)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    hook.remove()
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is None for p in decoder.lm.parameters())
    assert all(p.grad is not None for p in decoder.connector.parameters())
