import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.draw import draws, id_keys

ids = st.lists(st.text(max_size=8), min_size=1, max_size=20)


@given(names=ids, seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6))
def test_depends_on_the_id_not_on_its_place(names, seed, epoch):
    all_at_once = draws(seed, epoch, id_keys(names))
    for i, name in enumerate(names):
        assert draws(seed, epoch, id_keys([name]))[0] == all_at_once[i]


def test_keys_are_the_same_on_every_machine():
    assert id_keys(["a", "é", ""]).tolist() == [
        11570506674389366872,
        4366459361104106137,
        4967092119880061412,
    ]
    assert draws(1, 2, id_keys(["a"]), 3).tolist() == [0]


def test_nothing_to_draw_for():
    assert draws(0, 0, id_keys([])).shape == (0,)


def test_seeds_epochs_purposes_and_ids_are_independent():
    keys = id_keys(str(i) for i in range(20_000))
    base = draws(0, 0, keys)
    for other in (draws(1, 0, keys), draws(0, 1, keys), draws(0, 0, keys, 1), np.roll(base, 1)):
        same_bits = np.unpackbits((base ^ other).view(np.uint8)).mean()
        assert abs(same_bits - 0.5) < 5 * 0.5 / np.sqrt(64 * len(keys))
    assert not np.array_equal(draws(1, 0, keys), draws(0, 1, keys))


def test_every_bit_is_as_often_set():
    bits = np.unpackbits(draws(7, 3, id_keys(str(i) for i in range(20_000))).view(np.uint8))
    shares = bits.reshape(-1, 64).mean(axis=0)
    assert abs(shares - 0.5).max() < 5 * 0.5 / np.sqrt(20_000)
