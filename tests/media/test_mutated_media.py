"""Media files with changed, lost and inserted bytes: each is read or refused, and nothing else."""

import io
import random
import resource

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmtx_cli.media.audio.array_decode import check_sound
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import picture_kind, read_picture
from mmtx_cli.media.video.decode import decode_video
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.data.hostile import jpeg
from tests.media import numbered
from tests.media.sounds import glide, write_with_av

SECONDS = 120.0


def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    made = [jpeg(True), jpeg(False)]
    for mode, formats in (
        ("RGB", ("PNG", "WEBP", "BMP", "TIFF", "PPM", "AVIF")),
        ("RGBA", ("PNG", "WEBP", "TIFF")),
        ("P", ("PNG", "GIF")),
        ("CMYK", ("JPEG", "TIFF")),
    ):
        for format in formats:
            buffer = io.BytesIO()
            Image.fromarray(pixels, "RGBA").convert(mode).save(buffer, format)
            made.append(buffer.getvalue())
    return made


def sounds(folder):
    made = []
    for format in ("WAV", "FLAC", "OGG", "AIFF", "AU", "CAF", "W64", "RF64", "MP3"):
        buffer = io.BytesIO()
        soundfile.write(buffer, glide(0.5), 16000, format=format)
        made.append(buffer.getvalue())
    path = write_with_av(folder / "a.m4a", glide(0.5), 16000, "aac")
    with open(path, "rb") as file:
        made.append(file.read())
    return made


def videos(folder):
    made = []
    for suffix in ("mp4", "mkv"):
        path = numbered.write(folder / f"a.{suffix}", range(12))
        with open(path, "rb") as file:
            made.append(file.read())
    return made


def mutated(draw, data):
    """Bytes changed (most often near the beginning), lost, doubled; numbers made extreme."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 2, 8))):
        at = draw.randrange(min(len(data), draw.choice((64, 512, len(data)))))
        match draw.randrange(5):
            case 0:
                data[at] = draw.randrange(256)
            case 1:
                data[at : at + 4] = draw.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            case 2:
                del data[at : at + draw.choice((1, 16, 400))]
            case 3:
                data[at:at] = data[at : at + draw.choice((4, 64, 1000))]
            case 4:
                data = data[: max(16, draw.randrange(len(data)))]
        if len(data) < 20:
            break
    return bytes(data)


def read(guard, kind, path):
    """As samples and check read it."""
    if kind == "picture":
        picture_kind(guard, path)
        read_picture(guard, path, 16)
    elif kind == "sound":
        guard.run(decode_sound, path, 16000, 0.2)
        guard.run(check_sound, path)
    else:
        guard.run(decode_video, path, Sampling(2), 16, "crop")


def fault(guard, kind, path):
    """Why a file cannot be read; None where it can. Any other error is a fault of ours."""
    try:
        read(guard, kind, path)
    except UnreadableError as error:
        return error
    return None


def round_of(tmp_path, count, seed):
    """Read mutated files of each kind; return how many were refused, by kind."""
    load_decoders()
    sources = {"picture": pictures(), "sound": sounds(tmp_path), "video": videos(tmp_path)}
    guard, draw, refused = IsolatedDecoder(SECONDS), random.Random(seed), dict.fromkeys(sources, 0)
    path = str(tmp_path / "mutated")
    for i in range(count):
        kind = draw.choice(tuple(sources))
        with open(path, "wb") as file:
            file.write(mutated(draw, draw.choice(sources[kind])))
        error = fault(guard, kind, path)
        if error is None:
            continue
        refused[kind] += 1
        assert error.path == path
        assert error.reason
        # neither given up nor without an answer: of these, the decoder is to blame
        assert f" {SECONDS:g} s" not in error.reason, (seed, i)
        assert "answer" not in error.reason, (seed, i)
    guard.close()
    return refused


def test_a_few(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = round_of(tmp_path, 60, seed=1)
    assert all(refused.values())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.slow
def test_many(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = round_of(tmp_path, 2000, seed=2)
    assert 200 < sum(refused.values()) < 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert children < 2_000_000
    print(f"\n2000 files, {refused} refused, at most {children / 1e6:.2f} GB in a process")
