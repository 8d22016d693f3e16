import base64
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from mmtx_cli.report.thumbnail import Thumbnail, Thumbnails
from tests.messages import mentions, mentions_missing


def decode(thumbnail: Thumbnail) -> Image.Image:
    head, _, body = thumbnail.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "I;16", "LA", "RGBA"])
def test_every_mode_becomes_a_small_jpeg(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (800, 400)).save(path)
    made = Thumbnails()(path)
    assert (made.width, made.height) == decode(made).size == (320, 160)
    assert made.problem == ""


def test_a_small_picture_keeps_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "x.png")
    assert decode(Thumbnails()(tmp_path / "x.png")).size == (20, 10)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert decode(Thumbnails()(tmp_path / "x.png")).getpixel((4, 4)) == (255, 255, 255)


def test_is_rotated_by_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (800, 400)).save(tmp_path / "x.jpg", exif=exif)
    assert decode(Thumbnails()(tmp_path / "x.jpg")).size == (160, 320)


def test_an_animation_shows_what_a_model_sees_of_it(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (60 * i, 60 * i, 60 * i)) for i in range(1, 4)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    red, *_ = decode(Thumbnails()(tmp_path / "x.gif")).getpixel((4, 4))  # type: ignore[misc]
    assert abs(red - 60) < 10


def test_what_cannot_be_shown_gives_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.effect_noise((200, 200), 80).save(tmp_path / "whole.jpg")
    cut = (tmp_path / "whole.jpg").read_bytes()[:900]
    (tmp_path / "cut.jpg").write_bytes(cut)
    os.mkfifo(tmp_path / "pipe.jpg")
    make = Thumbnails()
    problems = {name: make(tmp_path / name) for name in ("text.jpg", "cut.jpg", "pipe.jpg", "none")}
    mentions(problems["text.jpg"].problem, "image of a known format")
    mentions(problems["cut.jpg"].problem, "damaged")
    assert problems["pipe.jpg"].problem == problems["none"].problem
    mentions_missing(problems["none"].problem)
    assert not any(made.uri for made in problems.values())


def test_each_picture_is_made_once(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "x.png")
    make = Thumbnails()
    assert make(tmp_path / "x.png") is make(tmp_path / "x.png")
