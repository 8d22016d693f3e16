"""Where prefixes and texts stand, against a naive construction."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.decoder.layout import first_fit, move_padding, one_by_one, packed

MASKS = st.integers(1, 4).flatmap(
    lambda p: st.lists(
        st.lists(st.booleans(), min_size=p, max_size=p).map(lambda row: [True, *row]),
        min_size=1,
        max_size=4,
    )
)


@given(MASKS, st.booleans())
def test_padding_moves_and_all_else_keeps_its_order(masks, to_left):
    mask = torch.tensor(masks)
    x = torch.arange(mask.numel(), dtype=torch.float64).view(*mask.shape, 1)
    moved, now = move_padding(x, mask, to_left)
    for before, real, after, place in zip(x, mask, moved, now, strict=True):
        assert after[place].tolist() == before[real].tolist()
        count = int(real.sum())
        assert place.tolist() == (
            [False] * (len(real) - count) + [True] * count
            if to_left
            else [True] * count + [False] * (len(real) - count)
        )


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 60))
def test_groups_hold_everything_and_not_too_much(sizes, limit):
    groups = first_fit(sizes, limit)
    assert sorted(i for group in groups for i in group) == [*range(len(sizes))]
    assert all(len(g) == 1 or sum(sizes[i] for i in g) <= limit for g in groups)


@given(MASKS, st.integers(1, 3), st.integers(1, 30), st.data())
def test_every_token_attends_to_its_own_prefix_and_text(masks, k, size, data):
    mask = torch.tensor(masks)
    b, p, length = *mask.shape, 4
    lengths = torch.tensor(
        [[data.draw(st.integers(0, length)) for _ in range(k)] for _ in range(b)]
    )
    layout = packed(mask, lengths, length, size)
    pool = [("prefix", i, j) for i in range(b) for j in range(p)]
    pool += [("text", s, t) for s in range(b * k) for t in range(length)]
    sequences = [[pool[n] if n < len(pool) else None for n in row] for row in layout.index.tolist()]
    flat = [(r, c) for r, row in enumerate(sequences) for c in range(len(row))]
    for s in range(b * k):
        i, n = s // k, int(lengths[s // k, s % k])
        own = [("prefix", i, j) for j in range(p) if masks[i][j]]
        for t in range(n + 1 if n else 0):
            r, c = flat[layout.states[s, t]]
            reached = layout.attended[r, 0, c].nonzero()[:, 0].tolist()
            wanted = [*own, *(("text", s, u) for u in range(t))]
            assert [sequences[r][j] for j in reached] == wanted
            assert layout.position[r, c] == len(wanted) - 1


@given(MASKS, st.integers(1, 3))
def test_one_text_a_sequence(masks, k):
    mask = torch.tensor(masks)
    b, p, length = *mask.shape, 3
    layout = one_by_one(mask, k, length)
    for s, row in enumerate(layout.index.tolist()):
        own = [s // k * p + j for j in range(p) if masks[s // k][j]]
        texts = [b * p + s * length + t for t in range(length)]
        assert row[: len(own) + length] == [*own, *texts]
        assert set(row[len(own) + length :]) <= {b * p + b * k * length}
        starts = (layout.states[s] - s * layout.index.shape[1]).tolist()
        assert starts == [len(own) - 1 + t for t in range(length + 1)]
