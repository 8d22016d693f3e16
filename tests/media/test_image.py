import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import decode_image
from mmtx_cli.media.jpeg import StrictJpeg, baseline_scan, plain_jpeg
from tests.messages import mentions, mentions_missing, raises

MEDIA = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data")) / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no test data in {MEDIA}")


@pytest.fixture(scope="module")
def scene():
    """A picture with no symmetry, smooth enough for JPEG: 120 wide, 80 high."""
    y, x = np.mgrid[:80, :120]
    return np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


def saved(path, pixels, *, format, mode=None, **kwargs):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, format, **kwargs)
    return str(path)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


def reason_of(path, data=None):
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UnreadableError) as caught:
        decode_image(str(path))
    assert caught.value.path == str(path)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("format", "tolerance"),
    [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("PPM", 0), ("JPEG", 3), ("WEBP", 5), ("AVIF", 5)],
)
def test_the_content_decides_not_the_name(tmp_path, scene, format, tolerance):
    if format == "AVIF" and not __import__("PIL.features").features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pixels = decode_image(saved(tmp_path / "a.mp4", scene, format=format))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (80, 120, 3)
    assert pixels.flags.writeable
    assert difference(pixels, scene) <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_modes_without_alpha(tmp_path, scene, mode):
    path = saved(tmp_path / "a", scene, format="TIFF", mode=mode)
    wanted = np.asarray(Image.fromarray(scene).convert(mode).convert("RGB"))
    assert difference(decode_image(path), wanted) <= 1


def test_a_cmyk_jpeg_is_not_inverted(tmp_path, scene):
    path = saved(tmp_path / "a", scene, format="JPEG", mode="CMYK", quality=95)
    assert difference(decode_image(path), scene) < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_parts_become_white(tmp_path, mode):
    image = Image.new("RGBA", (4, 2), (200, 200, 200, 255))
    image.paste((0, 0, 0, 0), (0, 0, 2, 2))
    if mode == "P":
        image.convert("P").save(
            tmp_path / "a", "PNG", transparency=image.convert("P").getpixel((0, 0))
        )
    elif mode == "PA":
        image.quantize(4).save(tmp_path / "a", "PNG")
    else:
        image.convert(mode).save(tmp_path / "a", "PNG")
    pixels = decode_image(str(tmp_path / "a"))
    assert (pixels[:, :2] == 255).all()
    assert np.abs(pixels[:, 2:].astype(int) - 200).max() <= 4


def test_half_transparent_is_halfway_to_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 128)).save(tmp_path / "a", "PNG")
    assert np.abs(decode_image(str(tmp_path / "a")).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, format):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a", format)
    pixels = decode_image(str(tmp_path / "a"))
    assert np.abs(pixels[..., 0] - ramp / 257).max() <= 1
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize(("top", "wanted"), [(1.0, 255), (0.5, 128), (2000.0, 255)])
def test_floats(tmp_path, top, wanted):
    Image.fromarray(np.array([[0, top]], dtype=np.float32)).save(tmp_path / "a", "TIFF")
    assert decode_image(str(tmp_path / "a"))[0, :, 0].tolist() == [0, wanted]


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a", "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(str(tmp_path / "a"))[0, 0].tolist() == [255, 0, 0]


# what each orientation tag asks to be done to the stored pixels, by its definition: tag 6, say,
# has the top row of the true picture stored as the right-hand column
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_orientation(tmp_path, scene, orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a", scene, format=format, exif=exif)
    wanted = UPRIGHT[orientation](scene)
    pixels = decode_image(path)
    assert pixels.shape == wanted.shape
    assert difference(pixels, wanted) < 3
    small = decode_image(path, size=20)
    assert (small.shape[0] > small.shape[1]) == (wanted.shape[0] > wanted.shape[1])


def test_damaged_exif_does_not_matter(tmp_path, scene):
    path = saved(tmp_path / "a", scene, format="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")
    assert decode_image(path).shape == (80, 120, 3)


class TestDraft:
    @pytest.mark.parametrize(
        ("size", "shape"),
        [(80, (80, 120)), (41, (80, 120)), (40, (40, 60)), (20, (20, 30)), (3, (10, 15))],
    )
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_the_smallest_scale_that_is_large_enough(self, tmp_path, scene, size, shape, mode):
        path = saved(tmp_path / "a", scene, format="JPEG", mode=mode)
        assert decode_image(path, size).shape == (*shape, 3)

    def test_close_to_full_decoding(self, tmp_path, scene):
        path = saved(tmp_path / "a", scene, format="JPEG", quality=95)
        full = Image.fromarray(decode_image(path)).reduce(4)
        assert difference(decode_image(path, 20), np.asarray(full)) < 2

    def test_other_formats_stay_as_they_are(self, tmp_path, scene):
        path = saved(tmp_path / "a", scene, format="PNG")
        assert decode_image(path, 20).shape == (80, 120, 3)


class TestPlainJpeg:
    """The quick way gives what Pillow does, and never takes what Pillow's strict way refuses."""

    @pytest.mark.parametrize(
        "kwargs",
        [
            {},
            {"mode": "L"},
            {"progressive": True},
            {"subsampling": 0},
            {"subsampling": 2, "quality": 30},
            {"restart_marker_blocks": 2},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("size", [None, 80, 41, 40, 20, 13, 3])
    def test_the_same_pixels_as_pillow(self, tmp_path, scene, kwargs, size):
        path = saved(tmp_path / "a", scene, format="JPEG", **kwargs)
        quick = plain_jpeg(Path(path).read_bytes(), size)
        with Image.open(path) as image:
            if size is not None:
                image.draft(None, (size, size))
            assert np.array_equal(quick, np.asarray(image.convert("RGB")))

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_only_what_is_stored_upright(self, tmp_path, scene, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = saved(tmp_path / "a", scene, format="JPEG", exif=exif)
        assert (plain_jpeg(Path(path).read_bytes(), None) is None) == (orientation != 1)

    def test_cmyk_is_left_to_pillow(self, tmp_path, scene):
        path = saved(tmp_path / "a", scene, format="JPEG", mode="CMYK")
        assert plain_jpeg(Path(path).read_bytes(), None) is None

    def test_damaged_files_are_left_to_pillow(self, tmp_path, scene):
        noise = np.random.default_rng(0).integers(0, 60, scene.shape, dtype=np.uint8)
        whole = Path(saved(tmp_path / "a", scene // 2 + noise, format="JPEG")).read_bytes()
        random = np.random.default_rng(1)
        refused = 0
        for turn in range(300):
            data = bytearray(whole)
            at = int(random.integers(630, len(data) - 2))
            match turn % 3:
                case 0:
                    data[at] ^= 1 << int(random.integers(8))
                case 1:
                    del data[at:]
                case _:
                    data[at : at + 40] = bytes(4)
            if plain_jpeg(bytes(data), None) is None:
                refused += 1
            else:
                file = StrictJpeg(bytes(data))
                with Image.open(file) as image:
                    image.load()
                assert not file.has_excess
        assert refused > 120


class TestUnreadable:
    def test_what_is_no_image_file(self, tmp_path):
        mentions_missing(reason_of(tmp_path / "nope"))
        mentions(reason_of(tmp_path), "folder", "regular file")
        mentions(reason_of(tmp_path / "a", b""), "empty file")
        mentions(reason_of(tmp_path / "a", b"hello"), "image", "known format", "JPEG, PNG")
        os.mkfifo(tmp_path / "pipe")
        mentions(reason_of(tmp_path / "pipe"), "named pipe", "regular file")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_permission(self, tmp_path, scene):
        path = Path(saved(tmp_path / "a", scene, format="PNG"))
        path.chmod(0)
        mentions(reason_of(path), "permission")

    def test_formats_that_are_not_listed_are_not_parsed(self, tmp_path, scene):
        path = Path(saved(tmp_path / "a", scene, format="TGA"))
        mentions(reason_of(path), "image", "known format", "JPEG, PNG")

    @pytest.mark.parametrize(
        ("format", "kwargs"),
        [
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {}),
            ("WEBP", {}),
            ("GIF", {}),
            ("BMP", {}),
            ("TIFF", {}),
            ("PPM", {}),
        ],
    )
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_truncated(self, tmp_path, scene, format, kwargs, share):
        buffer = io.BytesIO()
        Image.fromarray(scene).save(buffer, format, **kwargs)
        data = buffer.getvalue()
        assert reason_of(tmp_path / "a", data[: int(share * len(data))])

    def test_a_jpeg_cut_short_but_closed(self, tmp_path, scene):
        path = Path(saved(tmp_path / "a", scene, format="JPEG"))
        data = path.read_bytes()
        start, end = baseline_scan(data)
        cut = data[: (start + end) // 2] + b"\xff\xd9"
        Image.open(io.BytesIO(cut)).load()  # Pillow alone gives half a gray picture
        mentions(reason_of(tmp_path / "b", cut), "damaged", "truncated")

    def test_a_jpeg_with_a_stray_marker(self, tmp_path, scene):
        data = bytearray(Path(saved(tmp_path / "a", scene, format="JPEG")).read_bytes())
        start, end = baseline_scan(bytes(data))
        data[(start + end) // 2 : (start + end) // 2 + 2] = b"\xff\xd9"
        assert "truncated" in reason_of(tmp_path / "b", bytes(data))

    def test_a_header_that_claims_too_much(self, tmp_path):
        header = b"\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
        crc = __import__("zlib").crc32(header[4:]).to_bytes(4, "big")
        png = (
            b"\x89PNG\r\n\x1a\n" + header + crc + b"\0\0\0\0IDAT5\xaf\x06\x1e\0\0\0\0IEND\xaeB`\x82"
        )
        mentions(reason_of(tmp_path / "a", png), "10,000,000,000 pixels", "data.max_image_pixels")

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
    @pytest.mark.parametrize("size", [None, 4])
    def test_more_pixels_than_allowed(self, tmp_path, format, size):
        path = tmp_path / "a"
        Image.new("RGB", (33, 31), "red").save(path, format=format)
        with raises(UnreadableError, "1,023 pixels", "1,022", "data.max_image_pixels"):
            decode_image(path, size, max_pixels=1022)
        assert decode_image(path, size, max_pixels=1023).shape[2] == 3

    def test_it_crosses_processes(self):
        error = pickle.loads(pickle.dumps(UnreadableError("a.jpg", "two\nlines")))
        assert (error.path, error.reason) == ("a.jpg", "two lines")
        assert str(error) == "a.jpg: two lines"


class TestSoundJpegsAreAccepted:
    """What other decoders write must not be taken for damage."""

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"optimize": True},
            {"progressive": True},
            {"restart_marker_blocks": 1},
            {"restart_marker_rows": 2},
            {"subsampling": 0},
            {"subsampling": 2, "quality": 5},
            {"quality": 100},
        ],
    )
    def test_encoder_settings(self, tmp_path, scene, kwargs):
        assert decode_image(saved(tmp_path / "a", scene, format="JPEG", **kwargs)).any()

    @pytest.mark.parametrize(
        "tail", [b"", b"\xff\xd9", b"\0" * 900 + b"\xff\xd9", b"\xff\xd9junk" * 99]
    )
    def test_endings(self, tmp_path, scene, tail):
        data = Path(saved(tmp_path / "a", scene, format="JPEG")).read_bytes()
        (tmp_path / "b").write_bytes(data.removesuffix(b"\xff\xd9") + tail)
        assert difference(decode_image(tmp_path / "b"), scene) < 3

    @pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (8, 8), (17, 33)])
    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_flat_and_tiny(self, tmp_path, shape, value):
        pixels = np.full((*shape, 3), value, dtype=np.uint8)
        path = saved(tmp_path / "a", pixels, format="JPEG")
        assert difference(decode_image(path), pixels) <= 1
        assert decode_image(path, 1).any() == (value > 0)

    def test_noise(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        assert decode_image(saved(tmp_path / "a", pixels, format="JPEG")).shape == (300, 400, 3)

    def test_several_pictures_in_one(self, tmp_path, scene):
        first, second = Image.fromarray(scene), Image.fromarray(scene[::-1].copy())
        first.save(tmp_path / "a", "MPO", save_all=True, append_images=[second])
        assert difference(decode_image(tmp_path / "a"), scene) < 3


@needs_media
class TestMedia:
    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("cmyk.jpg", (720, 1280, 3)),
            ("grayscale.jpg", (720, 1280, 3)),
            ("grayscale_alpha.png", (720, 1280, 3)),
            ("gradient_16bit.png", (48, 64, 3)),
            ("gradient.gif", (720, 1280, 3)),
            ("rgba.png", (720, 1280, 3)),
        ],
    )
    def test_sound(self, name, shape):
        pixels = decode_image(MEDIA / name)
        assert pixels.shape == shape
        assert pixels.std() > 20

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("bad_huffman.jpg", ["damaged", "end of the image"]),
            ("truncated.jpg", ["damaged", "truncated"]),
            ("bomb_header.png", ["pixels", "data.max_image_pixels"]),
            ("text.mp4", ["image", "known format"]),
            ("empty.mp4", ["empty file"]),
            ("no_extension", ["image", "known format"]),
        ],
    )
    def test_broken(self, name, parts):
        mentions(reason_of(MEDIA / name), *parts)

    def test_nothing_crashes(self):
        read, refused = 0, 0
        for path in sorted(MEDIA.iterdir()):
            for size in (None, 64):
                try:
                    assert decode_image(path, size).ndim == 3
                    read += 1
                except UnreadableError as error:
                    assert error.reason  # noqa: PT017
                    refused += 1
        assert read > 10
        assert refused > 10


FLICKR = MEDIA.parent / "flickr8k_mini" / "images"


@pytest.mark.skipif(not FLICKR.is_dir(), reason=f"no test data in {FLICKR}")
def test_flickr8k_photographs_are_all_sound():
    photographs = sorted(FLICKR.glob("*.jpg"))[:300]
    assert photographs
    for path in photographs:
        assert min(decode_image(path, 64).shape[:2]) >= 64
