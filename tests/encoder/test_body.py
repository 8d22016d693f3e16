"""What is behind a body reads the body's output as the whole encoder reads pictures."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.types import ModalityInput, Tokens
from tests.tiny import image_data, same, tiny_encoder, tiny_field

ENCODERS = ["cnn", "efficientnet_lite"]


@pytest.mark.parametrize("name", ENCODERS)
def test_both_halves_make_the_whole(name):
    encoder = tiny_encoder("image", name, "encoder.image.freeze=true").eval()
    field = tiny_field("image", [2, 0, 1])
    with torch.no_grad():
        whole, kept = encoder(field), encoder.body_tokens(field)
        assert kept.x.shape[2] == encoder.pooled_width()
        # as a cache has it: the real vectors in front, whatever is behind them is zero
        made = encoder.after_body(Tokens(kept.x.masked_fill(~kept.mask[..., None], 0), kept.mask))
    assert torch.equal(made.mask, whole.mask)
    same(made.x[whole.mask], whole.x[whole.mask], 1e-5)


def test_a_batch_without_any_picture_has_no_real_token():
    encoder = tiny_encoder("image", "cnn", "encoder.image.freeze=true").eval()
    blank = Tokens(torch.zeros(2, 1, encoder.pooled_width()), torch.zeros(2, 1).bool())
    made = encoder.after_body(blank)
    assert not made.present.any()
    assert made.x.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_size_of_a_map_leaves_the_mode_as_it_is(training):
    encoder = tiny_encoder("image", "cnn", "encoder.image.freeze=true").train(training)
    modes = [module.training for module in encoder.modules()]
    kept = encoder.body_tokens(
        ModalityInput(image_data(torch.Generator(), 1, 1), torch.ones(1, 1).bool())
    )
    encoder.after_body(replace(kept, x=kept.x.detach()))
    assert [module.training for module in encoder.modules()] == modes


def test_what_is_behind_the_body_is_trained_on_its_output():
    encoder = tiny_encoder("image", "cnn", "encoder.image.freeze=true").train()
    with torch.no_grad():
        kept = encoder.body_tokens(tiny_field("image", [1, 1]))
    encoder.after_body(kept).x.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == name.startswith(encoder.body_prefix)
