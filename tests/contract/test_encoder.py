"""What every encoder of conf/encoder promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmtx_cli.config.introspect import signature_of
from mmtx_cli.types import ModalityInput
from tests.tiny import (
    ENCODERS,
    REPRESENTATIVE,
    composed,
    gradients,
    noisy_where_absent,
    raw_of,
    real,
    same,
    tiny_encoder,
    tiny_field,
)

COUNTS = [3, 0, 5, 1]
AUDIO_COUNTS = [30, 0, 47, 1]
"""Hops of 10 ms: more than there are positions for, and less than any window."""


def counts_of(modality):
    return AUDIO_COUNTS if modality == "audio" else COUNTS


def name_of(case):
    return "/".join(case) or "as shipped"


def freezing():
    """Each encoder as it is shipped, and both ways where a part of it can be frozen."""
    for modality, name in ENCODERS:
        target = composed(f"encoder/{modality}={name}")["encoder"][modality]["_target_"]
        yield (modality, name), ()
        if "freeze" in signature_of(target).parameters:
            for frozen in ("true", "false"):
                yield (modality, name), (f"encoder.{modality}.freeze={frozen}",)


@pytest.fixture(scope="module", params=ENCODERS, ids=name_of)
def choice(request):
    return request.param


@pytest.fixture(scope="module")
def shared_encoder(choice):
    torch.manual_seed(0)
    return tiny_encoder(*choice)


@pytest.fixture
def encoder(shared_encoder):
    shared_encoder.zero_grad()
    return shared_encoder.eval()


@pytest.fixture
def field(choice):
    return tiny_field(raw_of(*choice), counts_of(choice[0]))


def test_a_checkpoint_contains_all_of_its_weights(encoder):
    """Frozen ones, too: nothing is read from elsewhere when a run is resumed."""
    state = encoder.state_dict()
    assert all(name in state for name, _ in encoder.named_parameters())


def test_tokens_of_its_width(encoder, field):
    tokens = encoder(field)
    b, n = tokens.mask.shape
    assert tokens.x.shape == (b, n, encoder.width)
    assert b == len(COUNTS)
    assert tokens.x.dtype == torch.float32
    assert tokens.mask.dtype == torch.bool
    assert tokens.present.tolist() == [count > 0 for count in COUNTS]
    assert tokens.x.isfinite().all()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_what_is_not_real_does_not_matter(encoder, field, training):
    encoder.train(training)
    torch.manual_seed(1)
    clean = encoder(field)
    torch.manual_seed(1)
    noisy = encoder(noisy_where_absent(field))
    same(noisy.mask, clean.mask)
    same(real(noisy), real(clean))


def test_padding_does_not_matter(encoder, choice, field):
    together = encoder(field)
    for i, count in enumerate(counts_of(choice[0])):
        if count:
            alone = encoder(
                ModalityInput(field.data[i : i + 1, :count], field.mask[i : i + 1, :count])
            )
            assert alone.mask.all()
            same(together.x[i][together.mask[i]], alone.x[0], 1e-5)


def test_batch_mates_do_not_matter(encoder, field):
    order = [2, 0, 3, 1]
    tokens, turned = encoder(field), encoder(ModalityInput(field.data[order], field.mask[order]))
    same(turned.mask, tokens.mask[order])
    same(real(turned), tokens.x[order][turned.mask], 1e-5)


def test_all_samples_absent(encoder, choice):
    tokens = encoder(tiny_field(raw_of(*choice), [0, 0]))
    assert not tokens.mask.any()
    assert tokens.x.isfinite().all()


@pytest.mark.parametrize(
    ("choice", "args"), list(freezing()), ids=lambda x: name_of(x) if isinstance(x, tuple) else x
)
@pytest.mark.quick_cases(24)
def test_gradients_reach_what_is_trained(choice, args):
    encoder = tiny_encoder(*choice, *args)
    counts = [40, 0, 30] if choice[0] == "audio" else [4, 0, 3]  # enough for tokens to differ
    tokens = encoder.train()(tiny_field(raw_of(*choice), counts))
    if tokens.x.requires_grad:  # else all of it is frozen
        (real(tokens) * torch.randn_like(real(tokens))).sum().backward()
    found = gradients(encoder)
    assert found.keys() == {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert [name for name, g in found.items() if not g.any()] == []
    assert all(g.isfinite().all() for g in found.values())


def test_a_saved_state_brings_the_outputs_back(choice, encoder, field):
    torch.manual_seed(7)
    other = tiny_encoder(*choice).eval()
    other.load_state_dict(encoder.state_dict())
    same(other(field).x, encoder(field).x)


def test_training_moves_only_what_is_not_frozen(encoder, field):
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    encoder.train()(field)
    frozen = {
        f"{prefix}.{name}"
        for prefix, module in encoder.named_modules()
        if not module.training
        for name, _ in module.named_buffers(recurse=False)
    }
    kept = frozen & before.keys()
    for name in kept:
        same(encoder.state_dict()[name], before[name])
    encoder.load_state_dict(before)
    if not kept:
        pytest.skip("nothing of it is frozen")


EMULATED = ("video", "torchvision")
"""Where a processor has no bfloat16, three-dimensional convolutions in it take minutes."""


def test_half_precision(encoder, field, choice):
    if choice == EMULATED:
        pytest.skip("takes minutes on some processors; it is a slow test of its own")
    check_half_precision(encoder, field)


@pytest.mark.slow
def test_half_precision_of_three_dimensional_convolutions():
    torch.manual_seed(0)
    field = tiny_field(raw_of(*EMULATED), COUNTS)
    check_half_precision(tiny_encoder(*EMULATED).eval(), field)


def check_half_precision(encoder, field):
    whole = encoder(field)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder(field)
    assert half.x.isfinite().all()
    error = (real(half).float() - real(whole)).pow(2).mean().sqrt()
    assert error < 0.1 * real(whole).pow(2).mean().sqrt()


def test_summary_is_one_vector_a_sample(encoder, field):
    summary = encoder.pooled_features(field)
    assert summary.shape == (len(COUNTS), encoder.pooled_width())
    assert not summary[COUNTS.index(0)].any()
    same(encoder.pooled_features(noisy_where_absent(field)), summary)


ONE_GRAPH = """
import sys, torch
from tests.tiny import same, tiny_encoder, tiny_field

choice = sys.argv[1:]
counts = [30, 0, 47, 1] if choice[0] == "audio" else [3, 0, 5, 1]
encoder, field = tiny_encoder(*choice), tiny_field(choice[0], counts)
compiled = torch.compile(encoder, fullgraph=True)
same(compiled(field).x, encoder(field).x, 1e-5)
compiled(field).x.square().mean().backward()
"""


@pytest.mark.slow
@pytest.mark.parametrize("choice", sorted(REPRESENTATIVE.items()), ids=name_of)
def test_compiles_into_one_graph(choice):
    # in a process of its own: the compiler cannot look through the checks of shapes
    paths = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", ONE_GRAPH, *choice],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
    )
