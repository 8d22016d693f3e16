"""Where pictures are decoded: in this process or in a child."""

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.media import image_reader
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import picture_kind, read_picture
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return str(tmp_path / "a.png"), pixels


def test_nothing_is_decoded_here_if_always_isolated(picture, monkeypatch, tmp_path):
    path, pixels = picture
    guard = IsolatedDecoder(60.0, always=True)

    def here(*args):
        raise AssertionError("decoded in this process")

    assert picture_kind(guard, path) == "still"  # starts the child with the real functions
    monkeypatch.setattr(image_reader, "decode_small", here)
    monkeypatch.setattr(image_reader.Image, "open", here)
    np.testing.assert_array_equal(read_picture(guard, path), pixels)
    assert picture_kind(guard, path) == "still"
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(UnreadableError, match="known format"):
        read_picture(guard, str(tmp_path / "b.png"))
    with pytest.raises(AssertionError, match="this process"):
        read_picture(IsolatedDecoder(60.0), path)
    guard.close()
