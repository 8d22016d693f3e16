import torch

from mmtx_cli.encoder.precomputed import MAX_DEVIATIONS, PrecomputedEncoder
from mmtx_cli.types import ModalityInput
from tests.messages import raises

SMALL = {"num_features": 5, "max_feature_length": 6, "width": 8, "num_heads": 2}


def sequence(b=2, n=4, c=5):
    return ModalityInput(torch.randn(b, n, c), torch.ones(b, n, dtype=torch.bool))


def test_numbers_of_any_scale_have_equal_weight():
    """Hertz beside ratios: after standardizing, the units have no meaning."""
    encoder = PrecomputedEncoder(**SMALL, depth=1).eval()
    field = sequence()
    scale, shift = torch.tensor([400.0, 0.01, 1.0, 30.0, 5.0]), torch.tensor([120.0, 0, -3, 7, 0])
    plain = encoder(field).x
    encoder.set_feature_statistics(shift, scale)
    other = ModalityInput(field.data * scale + shift, field.mask)
    torch.testing.assert_close(encoder(other).x, plain, atol=1e-4, rtol=1e-4)


def test_outliers_are_clipped():
    encoder = PrecomputedEncoder(**SMALL, depth=0)
    encoder.set_feature_statistics(torch.zeros(5), torch.full((5,), 2.0))
    there = encoder.standard(torch.full((1, 1, 5), 1e6))
    torch.testing.assert_close(there, torch.full((1, 1, 5), MAX_DEVIATIONS))


def test_mean_and_deviation_are_kept_with_the_weights():
    encoder, other = PrecomputedEncoder(**SMALL), PrecomputedEncoder(**SMALL)
    encoder.set_feature_statistics(torch.arange(5.0), torch.arange(1.0, 6.0))
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other.mean, torch.arange(5.0))
    torch.testing.assert_close(other.deviation, torch.arange(1.0, 6.0))
    assert "mean" not in dict(encoder.named_parameters())


def test_without_blocks_a_token_is_its_own_vector_alone():
    encoder = PrecomputedEncoder(**SMALL, depth=0)
    field = sequence()
    tokens = encoder(field)
    torch.testing.assert_close(tokens.x, encoder.linear(field.data) + encoder.position.places[:4])
    changed = field.data.clone()
    changed[:, 3] += 1
    other = encoder(ModalityInput(changed, field.mask)).x
    torch.testing.assert_close(other[:, :3], tokens.x[:, :3])
    assert len(encoder.blocks()) == 1


def test_blocks_let_tokens_see_each_other():
    encoder = PrecomputedEncoder(**SMALL, depth=2).eval()
    field = sequence()
    changed = field.data.clone()
    changed[:, 3] += 1
    difference = encoder(ModalityInput(changed, field.mask)).x - encoder(field).x
    assert difference.abs().amax(dim=2).min() > 1e-5
    assert len(encoder.blocks()) == 3


def test_no_fewer_blocks_than_none():
    with raises(ValueError, "depth=-1: ", " 0 "):
        PrecomputedEncoder(**SMALL, depth=-1)
