"""Sheets of heat maps."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmtx_cli.explanation.drawing.draw import FRAMES, MOST_WORDS, Explained, sheet_of
from mmtx_cli.explanation.drawing.overlay import overlay, palette
from mmtx_cli.explanation.drawing.region import read_region
from mmtx_cli.explanation.drawing.sheet import font, shortened, wrapped


def words(count):
    return [(f"word{i}", 0.5) for i in range(count)]


def gray(height, width):
    return np.full((height, width, 3), 128, dtype=np.uint8)


def size_of(explained):
    return sheet_of(explained).image.size


def test_the_light_place_is_the_relevant_one():
    heat = np.zeros((20, 30))
    heat[5, 25] = 2.0
    heat[15, 3] = 1.0
    found = overlay(gray(20, 30), heat, 2.0).astype(float).sum(axis=2)
    assert found[5, 25] == found.max()
    assert (np.diff(palette() @ [0.2126, 0.7152, 0.0722]) > -1).all()
    assert np.array_equal(overlay(gray(20, 30), 0 * heat, 0.0), gray(20, 30))


@pytest.mark.parametrize(("height", "width"), [(40, 400), (400, 40), (90, 90)])
def test_a_picture_of_any_shape(height, width):
    maps = {"image": torch.rand(7, 8, 8)}
    region = read_region(height, width, 32, "crop")
    found = sheet_of(Explained("a b", words(7), maps, gray(height, width), region))
    pixels = np.asarray(found.image)
    assert pixels.shape[0] < 1500
    assert pixels.shape[1] < 1100
    assert (pixels.min(axis=(1, 2)) < 200).any()


def test_a_map_lies_on_its_part_of_the_picture():
    """The model reads the middle square; its right edge is relevant."""
    heat = torch.zeros(1, 8, 8)
    heat[0, :, -1] = 1
    region = read_region(100, 300, 32, "crop")
    found = sheet_of(Explained("x", words(1), {"image": heat}, gray(100, 300), region))
    pixels = np.asarray(found.image).astype(int)
    tile = pixels[-12 - 59 : -12, 12 + 176 + 8 : 12 + 2 * 176 + 8].sum(axis=2)
    column = tile.mean(axis=0)
    light = int(column.argmax())
    assert 176 / 3 * 2 - 12 < light < 176 / 3 * 2
    assert column[:50].max() < column[70:100].min() < column[light]


def test_videos_and_sound():
    maps = {"audio": torch.rand(3, 40, 8), "video": torch.rand(3, 9, 8, 8)}
    frames = {"video": np.zeros((9, 32, 32, 3), dtype=np.uint8)}
    both = Explained("a", words(3), maps, None, frames=frames, spectrogram=np.zeros((300, 64)))
    film = Explained("a", words(3), {"video": maps["video"]}, None, frames=frames)
    short = Explained(
        "a", words(3), {"video": maps["video"][:, :2]}, frames={"video": frames["video"][:2]}
    )
    sound = Explained(
        "a", words(3), {"audio": torch.rand(3, 40)}, spectrogram=np.random.rand(300, 64)
    )
    assert size_of(both)[0] > size_of(film)[0] > size_of(short)[0]
    assert size_of(both)[1] == size_of(sound)[1]
    assert size_of(film)[0] < 150 + FRAMES * 100 + 40


def test_sizes_are_bounded(tmp_path):
    long = "word " * 500
    many = Explained(long, words(500), {"image": torch.rand(500, 8, 8)}, gray(30, 30))
    sheet = sheet_of(many)
    assert (
        sheet.image.size
        == sheet_of(
            Explained(long, words(MOST_WORDS + 1), {"image": torch.rand(33, 8, 8)}, gray(30, 30))
        ).image.size
    )
    sheet.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 2**20
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == sheet.image.size
    assert size_of(Explained("", [], {}, gray(30, 30)))[1] > 100


def test_texts_are_cut_to_their_width():
    face = font()
    for text in ("short", "long " * 50, "W" * 100, "a\nb\x1b[31m", "красный круг", ""):
        assert face.getlength(shortened(text, face, 90)) <= 90
        lines = wrapped(text, face, 90, 3)
        assert len(lines) <= 3
        assert all(face.getlength(line) <= 90 for line in lines)
    assert shortened("a\nb", face, 90) == "a b"
