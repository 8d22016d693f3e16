from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmtx_cli.data.inputs import cut, is_picture


@given(st.floats(0.01, 1e5), st.floats(0.1, 1e3))
def test_pieces_cover_a_video_without_a_gap(duration, length):
    pieces = cut(duration, length)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == duration
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    assert all(0 < end - start <= 1.25 * length + 1e-6 for start, end in pieces)


@pytest.mark.parametrize(
    ("duration", "count"), [(9, 1), (10, 1), (12, 1), (12.6, 2), (20, 2), (95, 10)]
)
def test_a_short_rest_joins_the_piece_before(duration, count):
    assert len(cut(duration, 10)) == count


def test_the_content_says_what_a_picture_is(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.mp4", "PNG")
    (tmp_path / "b.jpg").write_text("no picture")
    assert is_picture(str(tmp_path / "a.mp4"))
    assert not is_picture(str(tmp_path / "b.jpg"))
    assert not is_picture(str(tmp_path / "missing.jpg"))
