from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.events.make import make_events
from mmtx_cli.data.unreadable import UnreadableError
from mmtx_cli.report.film import SIDE, film_strip
from mmtx_cli.report.thumbnail import Thumbnails


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    folder = make_events(tmp_path_factory.mktemp("film") / "events", num=10, size=48).parent
    return sorted((folder / "videos").iterdir())[0]


def test_four_frames_that_differ_as_the_film_moves(film):
    strip = np.asarray(film_strip(film), dtype=int)
    assert strip.shape == (2 * SIDE, 2 * SIDE, 3)
    first, last = strip[:SIDE, :SIDE], strip[SIDE:, SIDE:]
    assert first.std() > 5
    assert np.abs(first - last).mean() > 1


def test_a_thumbnail_of_a_film_and_the_reason_of_what_is_none(film, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    thumbnails = Thumbnails(film_strip)
    assert thumbnails(film).uri.startswith("data:image/jpeg")
    broken = thumbnails(tmp_path / "text.mp4")
    assert not broken.uri
    assert "cannot be read" in broken.problem
    with pytest.raises(UnreadableError):
        film_strip(tmp_path / "text.mp4")


def test_a_single_frame_is_shown_as_it_is(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    assert Thumbnails(film_strip)(tmp_path / "a.png").width == 40
