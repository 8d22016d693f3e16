import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.counter_rng.bits import id_keys, mix, random_bits, seeded_keys, uniform_numbers
from mmtx_cli.counter_rng.tensors import id_tensor, mix_tensor, signed, step_keys, uniform

ids = st.lists(st.text(max_size=8), min_size=1, max_size=20)


@given(names=ids, seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6))
def test_depends_on_the_id_not_on_its_place(names, seed, epoch):
    all_at_once = random_bits(seed, epoch, id_keys(names))
    for i, name in enumerate(names):
        assert random_bits(seed, epoch, id_keys([name]))[0] == all_at_once[i]


def test_numbers_never_change():
    """A run that is resumed by another version goes on with the same draws."""
    keys = id_keys(["a", "é"])
    assert keys.tolist() == [3405396810240292928, 3394012004367669963]
    assert random_bits(1, 2, keys[:1], 3).tolist() == [9324019707260831517]


def splitmix(x):
    """The finaliser of SplitMix64, in integers of any size."""
    bits = 2**64 - 1
    x = (x + 0x9E3779B97F4A7C15) & bits
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & bits
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & bits
    return x ^ (x >> 31)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=10))
def test_mixing(numbers):
    found = mix(np.array(numbers, dtype=np.uint64))
    assert found.tolist() == [splitmix(x) for x in numbers]
    found = mix_tensor(torch.tensor([signed(x) for x in numbers]))
    assert found.tolist() == [signed(splitmix(x)) for x in numbers]


def test_nothing_to_draw_for():
    assert random_bits(0, 0, id_keys([])).shape == (0,)


def test_seeds_epochs_purposes_and_ids_are_independent():
    keys = id_keys(str(i) for i in range(20_000))
    base = random_bits(0, 0, keys)
    for other in (
        random_bits(1, 0, keys),
        random_bits(0, 1, keys),
        random_bits(0, 0, keys, 1),
        np.roll(base, 1),
    ):
        same_bits = np.unpackbits((base ^ other).view(np.uint8)).mean()
        assert abs(same_bits - 0.5) < 5 * 0.5 / np.sqrt(64 * len(keys))
    assert not np.array_equal(random_bits(1, 0, keys), random_bits(0, 1, keys))


def test_every_bit_is_as_often_set():
    bits = np.unpackbits(random_bits(7, 3, id_keys(str(i) for i in range(20_000))).view(np.uint8))
    shares = bits.reshape(-1, 64).mean(axis=0)
    assert abs(shares - 0.5).max() < 5 * 0.5 / np.sqrt(20_000)


def test_what_a_model_draws_never_changes():
    keys = step_keys(id_tensor(["a", "b"]), seed=1, step=7)
    found = uniform(keys, 2, "hidden tokens")
    assert (found * 2**24).long().tolist() == [[5034058, 2257837], [15017948, 1993852]]


def test_the_draws_of_a_sample_do_not_depend_on_the_batch():
    """Whatever else is in it, and however long it is."""
    every = uniform(id_tensor("abc"), 20, "test")
    assert torch.equal(uniform(id_tensor("b"), 8, "test")[0], every[1, :8])


@pytest.mark.parametrize("axis", [0, 1])
def test_draws_are_even(axis):
    """Along the samples and along the places."""
    x = uniform(id_tensor(str(i) for i in range(400)), 400, "test").double()
    assert (x >= 0).all()
    assert (x < 1).all()
    deviation = (12 * 400) ** -0.5  # of a mean of 400
    assert ((x.mean(dim=axis) - 0.5).abs() < 5 * deviation).all()
    assert (x.square().mean(dim=axis) - 1 / 3).abs().max() < 0.08
    near = (x[1:] - 0.5) * (x[:-1] - 0.5) if axis == 0 else (x[:, 1:] - 0.5) * (x[:, :-1] - 0.5)
    assert abs(12 * near.mean()) < 0.02


def test_steps_and_purposes_are_independent():
    keys = id_tensor(str(i) for i in range(1000))
    x = [uniform(step_keys(keys, 0, step), 4, name) for step in (1, 2) for name in ("a", "b")]
    correlation = torch.corrcoef(torch.stack(x).flatten(1).double())
    assert (correlation - torch.eye(4)).abs().max() < 0.08


@given(names=ids, seed=st.integers(0, 2**62), step=st.integers(0, 10**6), n=st.integers(1, 9))
def test_numpy_draws_the_same_numbers(names, seed, step, n):
    keys = seeded_keys(id_keys(names), seed, step)
    tensor = step_keys(id_tensor(names), seed, step)
    assert (keys.view(np.int64) == tensor.numpy()).all()
    assert (uniform_numbers(keys, n, "text 1") == uniform(tensor, n, "text 1").numpy()).all()
