"""Sounds that lost their end, of every container that tells where it is; and long ones in check."""

import io
import struct
import sys

import numpy as np
import pytest
import soundfile

from mmtx_cli.media.audio.array_decode import check_sound
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.errors import UnreadableError
from tests.data.hostile import MEGABYTE, peak_memory
from tests.media.sounds import glide, wav_bytes, write_with_av
from tests.messages import mentions, raises

RATE = 16000
WRITTEN = [
    ("WAV", "PCM_16", "FILE"),
    ("WAV", "PCM_U8", "FILE"),
    ("WAV", "FLOAT", "FILE"),
    ("WAV", "ULAW", "FILE"),
    ("WAV", "PCM_16", "BIG"),
    ("WAVEX", "PCM_24", "FILE"),
    ("RF64", "PCM_16", "FILE"),
    ("W64", "PCM_16", "FILE"),
    ("AIFF", "PCM_16", "FILE"),
    ("AU", "PCM_16", "FILE"),
    ("CAF", "PCM_16", "FILE"),
    ("FLAC", "PCM_16", "FILE"),
    ("OGG", "VORBIS", "FILE"),
]


def noisy(seconds=4.0):
    return glide(seconds) + np.random.default_rng(0).normal(0, 0.02, round(seconds * RATE)).astype(
        np.float32
    )


def sound(format, subtype, endian):
    buffer = io.BytesIO()
    soundfile.write(buffer, noisy(), RATE, subtype, endian, format)
    return buffer.getvalue()


def reasons(path):
    """Why it cannot be read: whole, in a window that is there, and in check."""
    for read in (
        lambda: decode_sound(path, RATE),
        lambda: decode_sound(path, RATE, 0.5),
        lambda: decode_sound(path, RATE, None, 0.1, 0.5),
        lambda: check_sound(str(path)),
    ):
        try:
            read()
            yield None
        except UnreadableError as error:
            yield error.reason


@pytest.mark.parametrize(("format", "subtype", "endian"), WRITTEN)
def test_a_sound_that_lost_its_end(tmp_path, format, subtype, endian):
    data, path = sound(format, subtype, endian), tmp_path / "a"
    path.write_bytes(data)
    assert list(reasons(path)) == [None] * 4
    for lost in (2, 500, 3000, len(data) // 2):
        path.write_bytes(data[:-lost])
        for reason in reasons(path):
            assert "truncated" in (reason or "none"), lost


def test_an_mp3_that_lost_its_end(tmp_path):
    """Its header counts bytes, of which a frame's worth may differ between writers."""
    data = sound("MP3", "MPEG_LAYER_III", "FILE")
    for tag in (b"", b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)):
        path = tmp_path / "a"
        path.write_bytes(tag + data)
        assert list(reasons(path)) == [None] * 4
        for lost in (2000, len(data) // 2):
            path.write_bytes(tag + data[:-lost])
            assert all("truncated" in (reason or "none") for reason in reasons(path))


def test_an_mp3_whose_header_counts_the_tag_is_whole(tmp_path):
    data = bytearray(sound("MP3", "MPEG_LAYER_III", "FILE"))
    tag = b"ID3\x03\0\0\0\0" + bytes([32, 0]) + bytes(4096)
    at = next(data.index(name) for name in (b"Xing", b"Info") if name in data[:4096]) + 12
    assert int.from_bytes(data[at : at + 4], "big") == len(data)
    data[at : at + 4] = (len(data) + len(tag)).to_bytes(4, "big")
    (tmp_path / "a").write_bytes(tag + data)
    assert list(reasons(tmp_path / "a")) == [None] * 4


@pytest.mark.parametrize("miscount", [8, 36, 44])
def test_writers_that_count_headers_in(tmp_path, miscount):
    wave = glide(1.0)
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(wave, data=2 * len(wave) + miscount))
    assert list(reasons(path)) == [None] * 4
    path.write_bytes(wav_bytes(wave, data=2 * len(wave) + miscount + 2))
    assert all("truncated" in (reason or "none") for reason in reasons(path))


@pytest.mark.parametrize(("magic", "at"), [(b".snd", 8), (b"caff", None)])
def test_streams_that_do_not_know_their_size(tmp_path, magic, at):
    format = {b".snd": "AU", b"caff": "CAF"}[magic]
    data = bytearray(sound(format, "PCM_16", "FILE"))
    assert data.startswith(magic)
    if at is None:
        at = data.index(b"data") + 4
        data[at : at + 8] = struct.pack(">q", -1)
    else:
        data[at : at + 4] = b"\xff" * 4
    (tmp_path / "a").write_bytes(data)
    assert list(reasons(tmp_path / "a")) == [None] * 4


def test_chunks_behind_the_sound_may_lack(tmp_path):
    data = wav_bytes(glide(1.0))
    (tmp_path / "a.wav").write_bytes(data + b"LIST\x10\0\0\0half")
    assert list(reasons(tmp_path / "a.wav")) == [None] * 4


def test_a_header_without_end_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\0\0\0WAVE" + b"junk\0\0\0\0" * 5000)
    found = list(reasons(tmp_path / "a.wav"))
    assert len(found) == 4
    assert all("chunks" in (reason or "") for reason in found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["flac", "wav", "mp3"])
@pytest.mark.slow
def test_check_takes_no_more_memory_for_a_long_sound(tmp_path, kind):
    path, minutes = str(tmp_path / f"a.{kind}"), 20
    silence = np.zeros(minutes * 60 * RATE, np.float32)
    if kind == "mp3":
        write_with_av(path, silence, RATE, "mp3")
    else:
        soundfile.write(path, silence, RATE)
    del silence
    check_sound(path)
    assert 4 * minutes * 60 * RATE > 70 * MEGABYTE
    assert peak_memory(check_sound, path) < 35 * MEGABYTE


def test_check_sound_finds_what_decoding_finds(tmp_path):
    wave = glide(1.0)
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.where(np.arange(len(wave)) == 9000, np.nan, wave), RATE, "FLOAT")
    mentions(next(iter(reasons(path))), "finite")
    with raises(UnreadableError, "finite"):
        check_sound(path)
    check_sound(path, 0.0, 0.5)
    with raises(UnreadableError, "start 5 s", "end", " 1 s"):
        check_sound(path, 5.0)
    with raises(UnreadableError, "start nan"):
        check_sound(path, float("nan"))
