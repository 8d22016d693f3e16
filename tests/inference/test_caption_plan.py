"""Inputs of about the same size are read together, and lines keep the order of the inputs."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.data.pieces import Piece
from mmtx_cli.inference.caption import in_order
from mmtx_cli.inference.caption_plan import Plan, by_size

LENGTHS = st.lists(st.floats(0.1, 100), max_size=40)


def pieces_of(lengths):
    return [Piece(f"{i}.wav", 3.0, 3.0 + length) for i, length in enumerate(lengths)]


@given(LENGTHS, st.integers(1, 12))
def test_each_part_is_read_by_size(lengths, size):
    pieces = pieces_of(lengths)
    plan = Plan(Path(), pieces, size, "", by_size(pieces, size))
    for number in range(plan.parts):
        order = plan.reading_order(number)
        assert sorted(order) == [*plan.part(number)]
        own = [pieces[i].end - pieces[i].start for i in order]
        assert own == sorted(own)


def test_files_by_their_bytes_and_missing_ones_first(tmp_path):
    for name, size in (("a", 30), ("b", 10), ("c", 20)):
        (tmp_path / name).write_bytes(b"x" * size)
    pieces = [Piece(str(tmp_path / name)) for name in "abcd"]
    assert by_size(pieces, 4) == [3, 1, 2, 0]


@given(st.integers(0, 50), st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_rows_are_in_the_order_of_the_inputs_as_soon_as_they_can_be(start, order):
    yielded = []

    def arriving():
        for i, number in enumerate(order):
            known = {*order[:i]}
            ready = next(j for j in range(len(order) + 1) if j not in known)
            assert len(yielded) == ready
            yield start + number, {"row": number}

    for row in in_order(arriving(), range(start, start + len(order))):
        yielded.append(row["row"])
    assert yielded == sorted(order)
