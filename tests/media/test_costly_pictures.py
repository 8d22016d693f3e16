"""What pictures may cost: memory a pixel, scans, and which of them are decoded apart."""

import sys

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import SMALL_PIXELS, decode_image, decode_small
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.jpeg import scan_bound
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.data.hostile import jpeg, many_scans, peak_memory
from tests.messages import raises

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
WIDTH, HEIGHT = 4000, 3000
SLACK = 16e6
"""Bytes that libraries take whatever the size of a picture."""


@needs_linux
@pytest.mark.parametrize(
    ("mode", "format", "most"),
    [
        ("RGB", "PNG", 8),
        ("RGBA", "PNG", 8),
        ("LA", "PNG", 8),
        ("P", "PNG", 8),
        ("I;16", "PNG", 8),
        ("I", "TIFF", 8),
        ("F", "TIFF", 8),
        ("RGBA", "TIFF", 8),
        ("CMYK", "TIFF", 8),
        ("RGB", "BMP", 8),
        ("L", "PPM", 8),
        ("CMYK", "JPEG", 8),
        ("RGBA", "WEBP", 17),
    ],
)
@pytest.mark.quick_cases(8)
def test_memory_of_a_pixel(tmp_path, mode, format, most):
    path = tmp_path / "a"
    options = {"lossless": True, "quality": 0, "method": 0} if format == "WEBP" else {}
    options |= {"compress_level": 1} if format == "PNG" else {}
    Image.new(mode, (WIDTH, HEIGHT)).save(path, format, **options)
    assert peak_memory(decode_image, path) < (most + 1) * WIDTH * HEIGHT + SLACK
    assert decode_image(path, 64).shape[2] == 3


@needs_linux
def test_memory_of_a_picture_that_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a", "PNG", compress_level=1, exif=exif)
    assert peak_memory(decode_image, tmp_path / "a") < 9 * WIDTH * HEIGHT + SLACK
    assert decode_image(tmp_path / "a").shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "1", "CMYK", "I;16", "I", "F"])
def test_strips_are_as_the_whole(tmp_path, monkeypatch, mode):
    draw = np.random.default_rng(0)
    values = draw.integers(0, 256, (37, 53, 4), dtype=np.uint8)
    picture = Image.fromarray(values, "RGBA")
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        picture = Image.fromarray(draw.integers(0, 3000, (37, 53)).astype(kind))
    else:
        picture = picture.convert(mode)
    options = {"transparency": 3} if mode == "P" else {}
    picture.save(tmp_path / "a", "TIFF" if mode in ("CMYK", "I", "F") else "PNG", **options)
    whole = decode_image(tmp_path / "a")
    assert whole.std() > 2
    monkeypatch.setattr("mmtx_cli.media.rgb.STRIP", 60)
    np.testing.assert_array_equal(decode_image(tmp_path / "a"), whole)


class Recorded(IsolatedDecoder):
    """A process apart of which only the calls are of interest."""

    def run(self, function, *args):
        self.calls = [*getattr(self, "calls", []), function.__name__]
        return super().run(function, *args)


def apart(path, **kwargs):
    """Is a picture decoded in a process apart? As it is here, in any case."""
    guard = Recorded(300.0)
    found = read_picture(guard, str(path), **kwargs)
    guard.close()
    np.testing.assert_array_equal(found, decode_image(path, **kwargs))
    return getattr(guard, "calls", []) == ["decode_image"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_common_pictures_are_decoded_in_the_loaders_own_process(tmp_path, format):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a", format)
    assert not apart(tmp_path / "a")
    assert not apart(tmp_path / "a", size=16)


@pytest.mark.parametrize("format", ["TIFF", "AVIF", "PPM"])
def test_formats_whose_cost_is_not_bounded_are_decoded_apart(tmp_path, format):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a", format)
    assert apart(tmp_path / "a")


@pytest.mark.parametrize("format", ["PNG", "BMP", "JPEG", "GIF"])
def test_large_pictures_are_decoded_apart(tmp_path, format, monkeypatch):
    monkeypatch.setattr("mmtx_cli.media.image.SMALL_PIXELS", 1000)
    Image.new("L", (40, 25)).save(tmp_path / "a", format)
    assert not apart(tmp_path / "a")
    Image.new("L", (40, 26)).save(tmp_path / "a", format)
    assert apart(tmp_path / "a")
    with raises(UnreadableError, "1,040 pixels", "999", "data.max_image_pixels"):
        decode_small(tmp_path / "a", max_pixels=999)


def test_a_large_file_of_few_pixels_is_decoded_apart(tmp_path):
    Image.new("L", (40, 25)).save(tmp_path / "a", "GIF", comment=b"x" * (1 << 21))
    assert apart(tmp_path / "a")


def test_the_limit_of_small_pictures_is_a_fraction_of_the_memory():
    assert SMALL_PIXELS * 17 < 0.3e9


@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 1}])
def test_jpegs_of_encoders_have_few_scans(tmp_path, progressive, options):
    data = jpeg(progressive, **options)
    assert scan_bound(data) == (10 if progressive else 1)
    (tmp_path / "a").write_bytes(data)
    assert not apart(tmp_path / "a")


@pytest.mark.parametrize("copies", [23, 490])
def test_a_jpeg_of_many_scans_is_decoded_apart(tmp_path, copies):
    (tmp_path / "a").write_bytes(many_scans(jpeg(), copies))
    assert apart(tmp_path / "a")


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("read", [decode_image, decode_small])
def test_a_jpeg_of_more_scans_than_any_has_is_refused_by_its_number(tmp_path, read, size):
    (tmp_path / "a").write_bytes(many_scans(jpeg(), 491))
    with raises(UnreadableError, "JPEG", "501 scans", "500", "convert"):
        read(tmp_path / "a", size)


def test_scans_of_a_sequential_jpeg_that_come_apart_count(tmp_path):
    """Each of its components has a scan of its own, and the header names one of three."""
    data = jpeg(progressive=False)
    start = data.index(b"\xff\xda")
    one = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(20)
    (tmp_path / "a").write_bytes(data[:start] + one * 501 + b"\xff\xd9")
    with raises(UnreadableError, "501 scans"):
        decode_image(tmp_path / "a")


def test_thumbnails_do_not_make_scans(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda" * 40
    (tmp_path / "a").write_bytes(jpeg(progressive=False, exif=exif))
    assert not apart(tmp_path / "a")
