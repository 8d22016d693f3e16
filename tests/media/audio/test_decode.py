import csv
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from PIL import Image

from mmtx_cli.media import backend
from mmtx_cli.media.audio import pyav_reader
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.media.sounds import glide, shift_and_error, wav_bytes, write_floats, write_with_av
from tests.messages import mentions, mentions_missing, raises

RATE = 16000
DATA = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data"))
MEDIA = DATA / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no test data in {MEDIA}")
SPEECH = DATA / "flickr8k_mini" / "speech"
needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no test data in {SPEECH}")
DIGITS = DATA / "avdigits"
needs_digits = pytest.mark.skipif(not DIGITS.is_dir(), reason=f"no test data in {DIGITS}")
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg on the path")


@pytest.fixture(scope="module")
def wave():
    return glide()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, wave):
    """The same three seconds in many containers."""
    path = tmp_path_factory.mktemp("sounds")
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(path / name, wave, RATE)
    write_with_av(path / "a.mp3", wave, RATE, "mp3")
    write_with_av(path / "a.m4a", wave, RATE, "aac", "mp4")
    write_with_av(path / "film.mkv", wave, RATE, "aac", picture=3.0)
    write_with_av(path / "late.mp4", wave, RATE, "aac", picture=4.0, audio_after=1.0)
    write_with_av(path / "film.ts", wave, RATE, "mp2", "mpegts", picture=3.0, begin=7)
    return path


def decoded(path, rate=RATE, *args, **kwargs):
    found = decode_sound(path, rate, *args, **kwargs)
    assert found.dtype == torch.float32
    return found.numpy()


def reason_of(path, *args, data=None, **kwargs):
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UnreadableError) as caught:
        decode_sound(path, RATE, *args, **kwargs)
    assert caught.value.path == str(path)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("format", "subtype", "error"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ALAW", 2e-2),
        ("WAV", "IMA_ADPCM", 2e-2),
        ("WAVEX", "PCM_16", 1e-4),
        ("RF64", "PCM_16", 1e-4),
        ("W64", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("AU", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
        ("NIST", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 2e-2),
        ("OGG", "OPUS", 2e-2),
        ("MP3", "MPEG_LAYER_III", 2e-2),
    ],
)
def test_the_content_decides_not_the_name(tmp_path, wave, format, subtype, error):
    path = tmp_path / "a.mp4"
    soundfile.write(path, wave, RATE, format=format, subtype=subtype)
    found = decoded(path)
    assert abs(len(found) - len(wave)) <= (1000 if subtype == "IMA_ADPCM" else 0)
    assert np.abs(found[: len(wave)] - wave[: len(found)]).mean() <= error


@pytest.mark.parametrize(
    ("name", "codec", "format"),
    [
        ("a.m4a", "aac", "mp4"),
        ("a.aac", "aac", "adts"),
        ("a.mkv", "aac", "matroska"),
        ("a.webm", "libopus", "webm"),
        ("a.mp3", "mp3", "mp3"),
        ("a.wav", "mp3", "mp3"),
        ("mp3.wav", "mp3", "wav"),
        ("a.ts", "mp2", "mpegts"),
        ("a.avi", "mp3", "avi"),
        ("a.flac", "flac", "flac"),
    ],
)
def test_what_is_written_by_pyav(tmp_path, wave, name, codec, format):
    rate = 48000 if codec == "libopus" else RATE
    path = write_with_av(tmp_path / name, glide(rate=rate), rate, codec, format)
    found = decoded(path)
    assert abs(len(found) - len(wave)) < 0.15 * RATE
    shift, error = shift_and_error(found, wave, RATE // 10)
    assert abs(shift) <= 0.08 * RATE  # a codec's delay, where the container does not tell it
    assert error < 0.02


@needs_ffmpeg
@pytest.mark.parametrize("arguments", ["a.mp3", "a.m4a", "a.ac3", "-f wav piped", "-f flac piped"])
def test_what_is_written_by_ffmpeg(tmp_path, folder, wave, arguments):
    *options, name = arguments.split()
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "a.wav"), *options]
    if name == "piped":  # the header cannot tell the length
        piped = subprocess.run([*command, "-"], check=True, capture_output=True)
        (tmp_path / name).write_bytes(piped.stdout)
    else:
        subprocess.run([*command, str(tmp_path / name)], check=True)
    found = decoded(tmp_path / name)
    shift, error = shift_and_error(found, wave, RATE // 10)
    assert abs(shift) <= 0.03 * RATE
    assert error < 0.02
    assert len(decoded(tmp_path / name, RATE, 1.0)) == RATE


@pytest.mark.parametrize("name", ["a.wav", "a.mkv"])
@pytest.mark.parametrize("channels", [2, 8, 12])
def test_channels_are_averaged(tmp_path, wave, name, channels):
    parts = np.stack([wave * (i + 1) / channels for i in range(channels)], axis=1)
    if name == "a.wav":
        soundfile.write(tmp_path / name, parts, RATE)
    else:  # a codec whose frames hold the channels one after the other
        soundfile.write(tmp_path / "a.ogg", parts, RATE, subtype="VORBIS")
        with av.open(str(tmp_path / "a.ogg")) as source, av.open(str(tmp_path / name), "w") as sink:
            stream = sink.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    sink.mux(packet)
    shift, error = shift_and_error(decoded(tmp_path / name), parts.mean(axis=1), 200)
    assert abs(shift) <= 128
    assert error < (1e-4 if name == "a.wav" else 0.02)


EVERY_FILE = ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a"]


@pytest.mark.parametrize("rate", [RATE, 11025])
@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_window_is_a_part_of_the_whole(folder, name, rate):
    whole = decoded(folder / name, rate)
    for start, end in [(0.5, 1.25), (2.5, 2.75), (None, 0.7), (2.4, None), (2.9, 99.0), (-1, 0.1)]:
        first = round(max(start or 0, 0) * rate)
        last = len(whole) if end is None else min(len(whole), round(end * rate))
        found = decoded(folder / name, rate, None, start, end)
        assert len(found) == last - first
        assert np.abs(found - whole[first:last]).max() < 1e-3


@pytest.mark.parametrize("name", EVERY_FILE)
def test_seconds_are_cut_at_the_offset(folder, name):
    whole = decoded(folder / name)
    for offset, first in [
        (None, len(whole) / 2 - 8000),
        (0.0, 0),
        (0.25, (len(whole) - RATE) / 4),
        (0.999999, len(whole) - RATE),
        (1.0, len(whole) - RATE),  # what a random number just below 1 may round to
    ]:
        found = decoded(folder / name, RATE, 1.0, offset=offset)
        first = round(first)
        assert len(found) == RATE
        parts = [whole[first + i : first + i + RATE] for i in (-1, 0, 1) if first + i >= 0]
        assert min(np.abs(found - p).max() for p in parts if len(p) == RATE) < 1e-3
    assert len(decoded(folder / name, RATE, 60.0)) == len(whole)
    found = decoded(folder / name, RATE, 0.5, start=1.0, end=2.0)
    assert np.abs(found - whole[RATE * 5 // 4 : RATE * 7 // 4]).max() < 1e-3


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (44100, 16000), (48000, 16000), (22050, 44100)]
)
def test_resampling_is_torchaudios(tmp_path, source, target):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * source).astype(np.float32)
    path = write_floats(tmp_path / "a.wav", sound, source)
    wanted = torchaudio.functional.resample(torch.from_numpy(sound), source, target).numpy()
    found = decoded(path, target)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4
    # what the filter needs beyond the window is read too, on both sides
    part = decoded(path, target, None, 0.7, 1.1)
    assert np.abs(part - found[round(0.7 * target) :][: len(part)]).max() < 1e-5


@pytest.mark.parametrize(("source", "target"), [(44101, 16000), (16000, 15999), (11027, 16000)])
def test_rates_without_a_common_divisor(tmp_path, source, target):
    """torchaudio's kernels for them would take gigabytes."""
    path = write_floats(tmp_path / "a.wav", glide(2.0, source), source)
    wanted = glide(2.0, target)
    found = decoded(path, target)
    assert abs(len(found) - len(wanted)) <= 1
    inner = slice(200, len(wanted) - 200)
    assert np.abs(found[inner] - wanted[inner]).max() < 2e-3
    part = decoded(path, target, None, 0.7, 1.1)
    assert np.abs(part - found[round(0.7 * target) :][: len(part)]).max() < 1e-6


def test_only_the_window_is_decoded(tmp_path, monkeypatch):
    """Of a minute of sound no more than the window and what a decoder needs before it.

    Matroska is sought in by clusters of 5 s.
    """
    count = 0
    original = pyav_reader.decoded

    def counted(*args):
        nonlocal count
        for block in original(*args):
            count += len(block.samples)
            yield block

    monkeypatch.setattr(pyav_reader, "decoded", counted)
    long = glide(60.0)
    for name, codec, most in (
        ("a.mp3", "mp3", 2.5),
        ("a.m4a", "aac", 2.5),
        ("a.mkv", "libopus", 7),
    ):
        rate = 48000 if codec == "libopus" else RATE
        path = write_with_av(tmp_path / name, glide(60.0, rate), rate, codec)
        count = 0
        found = decoded(path, RATE, 1.0)
        assert count < most * rate
        wanted = long[round(29.5 * RATE) - 1600 : round(30.5 * RATE) + 1600]
        shift, error = shift_and_error(np.pad(found, 1600), wanted, 1000)
        assert abs(shift) < 0.06 * RATE
        assert error < 0.05


def test_an_hour_is_not_read_for_a_second(tmp_path):
    with open(tmp_path / "long.wav", "wb") as file:
        size = 2 * RATE * 3600
        file.write(wav_bytes(np.zeros(0, np.float32), data=size, riff=36 + size))
        file.seek(44 + size // 2)
        file.write((glide(1.0) * 32767).astype("<i2").tobytes())
        file.truncate(44 + size)  # a sparse file
    found = decoded(tmp_path / "long.wav", RATE, 1.0, start=1800.0)
    assert np.abs(found).sum() == 0  # the center of the second half
    found = decoded(tmp_path / "long.wav", RATE, None, 1800.0, 1801.0)
    assert np.abs(found - glide(1.0)).max() < 1e-4


def test_sound_of_videos(folder, wave, tmp_path):
    shift, error = shift_and_error(decoded(folder / "film.mkv"), wave, 1600)
    assert abs(shift) <= 0.07 * RATE
    assert error < 0.02
    # silence comes before sound that begins later than the video
    late = decoded(folder / "late.mp4")
    assert np.abs(late[: round(0.9 * RATE)]).max() == 0
    wanted = np.concatenate([np.zeros(RATE, np.float32), wave])
    shift, error = shift_and_error(late, wanted, 1600)
    assert abs(shift) <= 0.07 * RATE
    assert error < 0.02
    with av.open(str(folder / "film.mkv")) as source, av.open(str(tmp_path / "a.mp4"), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    assert decode_sound(tmp_path / "a.mp4", RATE) is None


def test_times_of_a_video_count_from_the_beginning_of_the_file(folder, wave):
    with av.open(str(folder / "film.ts")) as container:
        assert container.start_time > 6 * av.time_base
    found = decoded(folder / "film.ts", RATE, None, 1.0, 2.0)
    shift, error = shift_and_error(found, wave[RATE : 2 * RATE], 1600)
    assert abs(shift) <= 0.07 * RATE
    assert error < 0.02
    mentions(reason_of(folder / "film.ts", start=9.0), "start 9 s", "end", " 3")


def mp3_without_length(folder, tmp_path):
    """The first frame, which tells the number of frames, is taken out."""
    data = (folder / "a.mp3").read_bytes()
    start = data.index(b"\xff", 10 if data.startswith(b"ID3") else 0)
    assert b"Xing" in data[:4096] or b"Info" in data[:4096]
    size = data.index(data[start : start + 2], start + 4) - start
    (tmp_path / "a.mp3").write_bytes(data[start + size :])
    return tmp_path / "a.mp3"


def test_a_duration_missing_from_the_header_is_found(folder, tmp_path, wave):
    path = mp3_without_length(folder, tmp_path)
    assert abs(len(decoded(path)) - len(wave)) < 0.15 * RATE
    found = decoded(path, RATE, 1.0)
    shift, error = shift_and_error(np.pad(found, 1600), wave[RATE - 1600 : 2 * RATE + 1600], 1500)
    assert abs(shift) < 0.07 * RATE
    assert error < 0.05
    mentions(reason_of(path, start=5.0), "start 5 s", "end", " 3")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_recorders_that_do_not_know_the_size(tmp_path, wave, size):
    (tmp_path / "a.wav").write_bytes(wav_bytes(wave, data=size, riff=size))
    assert np.abs(decoded(tmp_path / "a.wav") - wave).max() < 1e-4


def test_start_beyond_the_end_names_both(folder):
    mentions(reason_of(folder / "a.wav", start=7.5), "start 7.5 s", "end", " 3 s")
    mentions(reason_of(folder / "a.m4a", start=7.5), "start 7.5 s", "end", " 3")
    mentions(reason_of(folder / "a.wav", start=2.0, end=1.0), "end 1 s", "start 2 s")
    mentions(reason_of(folder / "a.wav", start=float("nan")), "start nan")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 0}, ["sample rate", " 0 Hz"]),
        ({"rate": 1}, ["sample rate", " 1 Hz"]),
        ({"rate": 4_000_000_000}, ["sample rate", " 4,000,000,000 Hz"]),
        ({"rate": 2_000_000_000}, ["sample rate", " 2,000,000,000 Hz"]),
        ({"channels": 0}, ["0 channels"]),
        ({"channels": 9999}, ["channels"]),
        ({"channels": 500, "align": 1000}, ["500 channels"]),
        ({"kind": 0x1234}, ["damaged", "WAV"]),
        ({"bits": 0}, ["damaged", "WAV"]),
        ({"data": 300_000}, ["truncated", "96,000 ", "300,000 bytes"]),
    ],
)
def test_impossible_headers(tmp_path, wave, changes, words):
    mentions(reason_of(tmp_path / "a.wav", data=wav_bytes(wave, **changes)), *words)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "film.mkv"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated(folder, tmp_path, name, part):
    data = (folder / name).read_bytes()
    reason = reason_of(tmp_path / name, data=data[: round(len(data) * part)])
    assert "truncated" in reason or "lost sync" in reason


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.m4a"])
def test_damaged_in_the_middle(folder, tmp_path, name):
    data = bytearray((folder / name).read_bytes())
    middle, size = len(data) // 2, len(data) // 4
    data[middle : middle + size] = random.Random(0).randbytes(size)
    reason = reason_of(tmp_path / name, data=bytes(data))
    assert "damaged" in reason or "truncated" in reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty file"]),
        (b"RIFF" + bytes(4) + b"WAVE", ["truncated"]),
        (b"version https://git-lfs.github.com/spec/v1\noid", ["text", "audio", "'version http"]),
        ("Grüße, no sound".encode(), ["text", "audio", "'Grüße"]),
        (bytes(5000), ["audio", "video"]),
        (b"OggS" + bytes(5000), ["damaged", "Ogg"]),
        (b"fLaC" + bytes(5000), ["damaged", "FLAC"]),
        (b"\xff\xfb\x90\x00" + bytes(50), ["audio", "video"]),
    ],
)
def test_what_is_no_sound(tmp_path, data, words):
    mentions(reason_of(tmp_path / "a.wav", data=data), *words)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_pictures(tmp_path, format):
    if format == "AVIF" and not __import__("PIL.features").features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.wav", format)
    mentions(reason_of(tmp_path / "a.wav"), f"{format} ", "image", "audio")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.ts\n",
    ],
)
def test_playlists_are_not_followed(folder, tmp_path, text):
    shutil.copy(folder / "film.ts", tmp_path / "a.ts")
    reason = reason_of(tmp_path / "a.mp3", data=text.encode())
    mentions(reason, "text", "audio", f"'{text[:6]}")


def test_names_that_look_like_addresses(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.m4a", "pipe:0", "concat:a|b", "-"):
        shutil.copy(folder / "a.m4a", name)
        assert len(decoded(name)) > 2 * RATE


def test_missing_files(tmp_path):
    mentions_missing(reason_of(tmp_path / "a.wav"))
    mentions(reason_of(tmp_path), "folder", "regular file")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, ["finite"]),
        (np.inf, ["finite"]),
        (-np.inf, ["finite"]),
        (30000.0, [" 30000", "full scale", " 1"]),
        (1e38, ["1e+38", "full scale"]),
    ],
)
@pytest.mark.parametrize("rate", [RATE, 8000])
def test_samples_that_are_no_sound(tmp_path, wave, value, words, rate):
    wave = wave.copy()
    wave[5000] = value
    write_floats(tmp_path / "a.wav", wave)
    with raises(UnreadableError, "samples"):
        decode_sound(tmp_path / "a.wav", rate)
    if rate == RATE:
        mentions(reason_of(tmp_path / "a.wav"), *words)
    assert len(decoded(tmp_path / "a.wav", rate, None, 1.0)) == 2 * rate  # behind the fault


@pytest.mark.parametrize("format", ["WAV", "OGG", "AIFF"])
def test_no_samples(tmp_path, format):
    soundfile.write(tmp_path / "a", np.zeros(0), RATE, format=format)
    reason = reason_of(tmp_path / "a")
    mentions(reason, "audio")
    assert not [word for word in ("video", "image", "damaged", "truncated") if word in reason]


def test_a_cover_is_no_video(folder, tmp_path, wave):
    with av.open(str(folder / "a.m4a")) as source, av.open(str(tmp_path / "a.mp4"), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.audio[0])
        cover = sink.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        pictures = cover.encode(frame) + cover.encode()
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
        sink.mux(pictures)
    shift, _ = shift_and_error(decoded(tmp_path / "a.mp4"), wave, 1600)
    assert abs(shift) <= 0.07 * RATE


def test_more_than_a_day_at_once(tmp_path):
    with open(tmp_path / "a.wav", "wb") as file:
        size = 100 * 3600 * 30  # thirty hours of 100 samples a second
        header = wav_bytes(np.zeros(0, np.float32), 100, data=size, riff=size, align=1, bits=8)
        file.write(header)
        file.truncate(44 + size)
    mentions(reason_of(tmp_path / "a.wav"), "30 hours")
    assert len(decoded(tmp_path / "a.wav", 100, 10.0)) == 1000


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"sample_rate": 0}, ["sample_rate", " 1"]),
        ({"seconds": 0}, ["seconds", " 0"]),
        ({"offset": 1.5}, ["offset", " 0 and 1"]),
    ],
)
def test_invalid_requests(folder, wish, words):
    with raises(ValueError, *words) as caught:
        decode_sound(folder / "a.wav", **{"sample_rate": RATE, **wish})
    assert not isinstance(caught.value, UnreadableError)


def test_through_the_guard(folder, wave):
    guard = IsolatedDecoder(30.0)
    assert np.abs(guard.run(decode_sound, str(folder / "a.wav"), RATE).numpy() - wave).max() < 1e-4
    assert guard.run(decode_sound, str(folder / "a.m4a"), 8000, 1.0).shape == (8000,)
    with raises(UnreadableError, folder / "none.wav") as caught:
        guard.run(decode_sound, str(folder / "none.wav"), RATE)
    mentions_missing(caught.value.reason)
    guard.close()


def test_mutilated_files_are_unreadable_or_sounds(folder, tmp_path):
    """Never another error: whatever a file holds, a run must go on."""
    draw = random.Random(0)
    guard = IsolatedDecoder(30.0)  # a decoder may crash of it
    for name in [*EVERY_FILE, "film.mkv", "film.ts"]:
        data = (folder / name).read_bytes()
        for _ in range(12):
            mutilated = bytearray(data)
            for _ in range(draw.choice((1, 4, 30))):
                mutilated[draw.randrange(draw.choice((200, len(data))))] = draw.randrange(256)
            (tmp_path / "a").write_bytes(mutilated)
            reason, found = "", None
            try:
                found = guard.run(decode_sound, str(tmp_path / "a"), RATE, 1.0)
            except UnreadableError as error:
                reason = error.reason
            assert " 30 s" not in reason
            assert found is None or bool(found.isfinite().all())
    guard.close()


# real files, and torchcodec as a peer


def peers_sound(path, window=None):
    if (fault := backend._fault("torchcodec")) is not None:
        pytest.skip(f"torchcodec: {fault}")
    from torchcodec import decoders

    decoder = decoders.AudioDecoder(path)
    if window is None:
        samples = decoder.get_all_samples()
    else:
        samples = decoder.get_samples_played_in_range(*window)
    return samples.data.mean(0).numpy(), samples.sample_rate


WITH_SOUND = {
    "nasa_13013.mp4": (13.056, 1e-3),
    "nasa_13013.mp4.audio.mp3": (13.056, 1e-3),
    "no_extension": (13.056, 1e-3),
    "says_mp3_is_wav.mp3": (4.0, 1e-6),
    "sine_16ch_s16.wav": (1.0, 1e-6),
    "sine_mono_f32.wav": (4.0, 1e-6),
    "sine_mono_mp3.swf": (2.04, 1e-3),
    "sine_mono_s24.wav": (4.0, 1e-6),
    "sine_mono_u8.wav": (4.0, 1e-6),
    "sine_stereo_mp2.mpg": (4.02, 1e-3),
}


@needs_media
@pytest.mark.parametrize("name", WITH_SOUND)
def test_real_files(name):
    seconds, error = WITH_SOUND[name]
    wanted, rate = peers_sound(MEDIA / name)
    found = decoded(MEDIA / name, rate)
    assert len(found) / rate == pytest.approx(seconds, abs=0.01)
    shift, difference = shift_and_error(found, wanted, min(2000, len(found) // 8))
    assert abs(shift) <= 0.05 * rate
    assert difference < error
    assert len(decoded(MEDIA / name, RATE)) == pytest.approx(seconds * RATE, abs=200)


@needs_media
@pytest.mark.parametrize("name", ["nasa_13013.mp4", "sine_stereo_mp2.mpg", "sine_mono_f32.wav"])
def test_a_window_of_real_files(name):
    wanted, rate = peers_sound(MEDIA / name, (2.5, 3.5))
    found = decoded(MEDIA / name, rate, None, 2.5, 3.5)
    assert len(found) == rate
    shift, difference = shift_and_error(found, wanted, rate // 20)
    assert abs(shift) <= 0.03 * rate
    assert difference < 1e-3


@needs_media
def test_real_videos_without_sound_and_files_without_both():
    silent, broken = [], {}
    for path in sorted(MEDIA.iterdir()):
        if path.name in WITH_SOUND:
            continue
        try:
            assert decode_sound(path, RATE) is None
            silent.append(path.name)
        except UnreadableError as error:
            broken[path.name] = error.reason
    assert len(silent) == 8
    assert all(name.endswith((".mp4", ".mkv", ".webm", ".avi")) for name in silent)
    pictures = (".jpg", ".png", ".gif")
    assert any(name.endswith(pictures) for name in broken)
    for name in broken:
        if name.endswith(pictures):
            mentions(broken[name], "image", "audio")
    mentions(broken["empty.mp4"], "empty file")
    assert "truncated" in broken["truncated.mp4"]
    assert "text" in broken["text.mp4"]


def speech_files(count=None):
    with open(SPEECH.parent / "speech.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:count]
    return [SPEECH / Path(row["speech"]).name for row in rows]


@needs_speech
def test_speech_that_is_mp3_under_another_name():
    for path in speech_files(20):
        wanted, read_rate = soundfile.read(path, dtype="float32")  # another decoder, mpg123
        found = decoded(path, read_rate)
        assert read_rate == 24000
        shift, error = shift_and_error(found, wanted, 600)
        assert abs(shift) <= 600
        assert error < 1e-4
        assert len(decoded(path, RATE, 2.0)) == 2 * RATE


@needs_speech
@pytest.mark.slow
def test_all_speech():
    guard = IsolatedDecoder(30.0)
    for path in speech_files():
        found = guard.run(decode_sound, str(path), RATE, 10.0)
        assert RATE // 2 < len(found) <= 10 * RATE
        assert found.abs().max() > 0.01
    guard.close()


@needs_digits
def test_spoken_digits_at_twice_their_rate():
    rows = (DIGITS / "avdigits.jsonl").read_text().splitlines()[::400]
    for row in map(json.loads, rows):
        path = DIGITS / row["audio"]
        sound, rate = soundfile.read(path, dtype="float32")
        assert rate == 8000
        found = decoded(path)
        wanted = torchaudio.functional.resample(torch.from_numpy(sound), rate, RATE).numpy()
        assert len(found) == 2 * len(sound)
        assert np.abs(found - wanted).max() < 1e-4
