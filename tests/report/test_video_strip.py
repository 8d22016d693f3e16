from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.report.thumbnail import Thumbnails
from mmtx_cli.report.video_strip import SIDE, FilmStrips
from mmtx_cli.synthetic.events.make import make_events


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    folder = make_events(tmp_path_factory.mktemp("film") / "events", num=10, size=48).parent
    return sorted((folder / "videos").iterdir())[0]


@pytest.fixture
def strips():
    with closing(FilmStrips()) as strips:
        yield strips


def test_four_frames_that_differ_as_the_film_moves(film, strips):
    strip = np.asarray(strips(film), dtype=int)
    assert strip.shape == (2 * SIDE, 2 * SIDE, 3)
    first, last = strip[:SIDE, :SIDE], strip[SIDE:, SIDE:]
    assert first.std() > 5
    assert np.abs(first - last).mean() > 1


def test_a_part_of_a_film_shows_its_own_frames(film, strips):
    early, late = (np.asarray(strips(film, *window), dtype=int) for window in ((0, 1), (2, 3)))
    assert np.abs(early - late).mean() > 1


def test_a_thumbnail_of_a_film_and_the_reason_of_what_is_none(film, tmp_path, strips):
    (tmp_path / "text.mp4").write_text("no film")
    with closing(Thumbnails()) as thumbnails:
        assert thumbnails(film).uri.startswith("data:image/jpeg")
        assert thumbnails(film, 0.0, 1.0).uri != thumbnails(film, 2.0, 3.0).uri
        broken = thumbnails(tmp_path / "text.mp4")
    assert not broken.uri
    assert broken.problem
    with pytest.raises(UnreadableError):
        strips(tmp_path / "text.mp4")


def test_a_single_frame_is_shown_as_it_is(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    assert Thumbnails()(tmp_path / "a.png").width == 40
