import importlib
import os
import random
import struct
import sys
from bisect import bisect_right
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmtx_cli.errors import ConfigError
from mmtx_cli.media import backend
from mmtx_cli.media.backend import backend_name
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.transform import fit
from mmtx_cli.media.video import packets, pyav_frames
from mmtx_cli.media.video.decode import decode_video
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.video.frame_sampling import Sampling, frame_times
from tests.media import numbered
from tests.messages import mentions, mentions_missing, raises

MEDIA = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data")) / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no test data in {MEDIA}")

EVEN = list(range(60))
UNEVEN = [0, 1, 2, 10, 11, 30, 31, 33, 40, 41, 42, 60, 61, 62, 63, 75, 76, 90, 99, 100]
KINDS = {
    "h264.mp4": (EVEN, {}),
    "h264_open.mp4": (EVEN, {"options": {"x264-params": "open-gop=1:bframes=3"}}),
    "h264_open.ts": (EVEN, {"options": {"x264-params": "open-gop=1:bframes=3"}}),
    "h264_late.mp4": ([tick + 50 for tick in EVEN], {}),
    "h264_uneven.mp4": (UNEVEN, {}),
    "h264_uneven.mkv": (UNEVEN, {}),
    "h264_in_pieces.mp4": (EVEN, {"muxing": {"movflags": "frag_keyframe+empty_moov"}}),
    "with_longer_sound.mkv": (EVEN, {"sound": 5.0}),
    "mpeg4_reordered.avi": (EVEN, {"codec": "mpeg4", "options": {"bf": "2", "b": "2M"}}),
    "mpeg1.mpg": (EVEN, {"codec": "mpeg1video", "options": {"bf": "2", "b": "2M"}}),
}


@pytest.fixture(params=["pyav", "torchcodec"])
def decoder(request, monkeypatch):
    if backend._fault(request.param) is not None:
        pytest.skip(f"{request.param} does not load here")
    monkeypatch.setenv("MMTX_DECODER", request.param)
    return request.param


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {
        name: numbered.write(folder / name, ticks, **options)
        for name, (ticks, options) in KINDS.items()
    }


def reason_of(path, *args, **kwargs):
    with pytest.raises(UnreadableError) as caught:
        decode_video(path, *(args or [Sampling(), 32]), **kwargs)
    assert caught.value.path == str(path)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def media(*names):
    return [pytest.param(MEDIA / name, id=name, marks=needs_media) for name in names]


@pytest.mark.parametrize("seek", [2.0, 0.1])
@pytest.mark.parametrize("name", KINDS)
def test_each_moment_shows_the_last_frame_that_began(name, seek, videos, decoder, monkeypatch):
    monkeypatch.setattr(packets, "SEEK", seek)
    ticks = KINDS[name][0]
    facts = video_facts(videos[name])
    times = [facts.start + (tick - ticks[0]) / 25 for tick in ticks]
    start, end = facts.start, facts.start + facts.duration
    assert end == pytest.approx(times[-1] + 1 / 25, abs=2e-3)
    for sampling, window, offset in (
        (Sampling(8), (None, None), None),
        (Sampling(3), (start + 0.5, None), 0.1),
        (Sampling(40), (None, end - 0.3), 0.87),
        (Sampling(4, "fps", 5.0), (None, None), 0.77),
        (Sampling(6, "dense", 25.0), (start + 0.4, end), None),
        (Sampling(1), (end - 0.05, None), None),
    ):
        clip = decode_video(videos[name], sampling, 64, "squash", *window, offset)
        begin, stop = window[0] or start, window[1] or end
        wanted = frame_times(begin, stop, sampling, offset)
        # containers round times to 1 ms at worst: at a frame's very beginning either is right
        early, late = (
            [max(0, bisect_right(times, m + slack) - 1) for m in wanted] for slack in (-1e-3, 1e-3)
        )
        shown = [numbered.number(frame) for frame in clip.frames]
        assert shown == sorted(set(shown))
        assert set(shown) <= {*early, *late}
        assert all({a, b} & set(shown) for a, b in zip(early, late, strict=True))
        assert clip.seconds == pytest.approx([times[i] for i in shown], abs=2e-3)
        assert clip.frames.shape == (len(shown), 3, 64, 64)
        assert clip.frames.dtype == torch.uint8


def test_only_what_the_requested_frames_need_is_decoded(videos, monkeypatch):
    monkeypatch.setenv("MMTX_DECODER", "pyav")
    monkeypatch.setattr(packets, "SEEK", 0.1)
    decoded, read = [], []
    real, real_next = pyav_frames._decoded, packets._Reader.next
    monkeypatch.setattr(
        pyav_frames, "_decoded", lambda s, p, *w: decoded.extend(p) or real(s, p, *w)
    )
    monkeypatch.setattr(packets._Reader, "next", lambda self: read.append(1) or real_next(self))
    decode_video(videos["h264.mp4"], Sampling(1), 32, start=2.3, end=2.32)  # the 10th of its group
    assert len(decoded) <= 12
    assert len(read) < 30


def test_the_same_offset_gives_the_same_frames(videos, decoder):
    path = videos["h264.mp4"]
    clips = [decode_video(path, Sampling(4), 32, offset=o) for o in (0.2, 0.2, 0.8)]
    assert torch.equal(clips[0].frames, clips[1].frames)
    assert not torch.equal(clips[0].frames, clips[2].frames)


def test_few_frames_come_once_each(tmp_path, decoder):
    path = numbered.write(tmp_path / "one.mp4", [0])
    assert decode_video(path, Sampling(8), 32).frames.shape == (1, 3, 32, 32)
    path = numbered.write(tmp_path / "three.mkv", [0, 1, 2])
    clip = decode_video(path, Sampling(8), 64, "squash")
    assert [numbered.number(frame) for frame in clip.frames] == [0, 1, 2]


def test_dense_takes_the_videos_own_rate(videos, decoder):
    clip = decode_video(videos["h264.mp4"], Sampling(5, "dense"), 64, "squash", offset=0.5)
    numbers = [numbered.number(frame) for frame in clip.frames]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_a_still_animation(tmp_path, decoder):
    Image.fromarray(numbered.picture(37)).save(tmp_path / "still.gif")
    clip = decode_video(tmp_path / "still.gif", Sampling(8), 64, "squash")
    assert [numbered.number(frame) for frame in clip.frames] == [37]


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [20, 60, 200])
def test_frames_are_fitted_as_pictures_are(tmp_path, decoder, how, size):
    """Scaled while decoded (20), or after (60, 200): the same as a picture that is fitted."""
    path = noisy(tmp_path / "noisy.mp4", 96, 150)
    whole = decode_video(path, Sampling(2), 96, "squash")  # the shorter side as it is
    clip = decode_video(path, Sampling(2), size, how)
    whole = full_size(path, whole.seconds)
    for frame, picture in zip(clip.frames, whole, strict=True):
        assert (frame.int() - fit(picture, size, how).int()).abs().float().mean() <= 2


def noisy(path, height, width):
    import av

    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        y, x = np.mgrid[:height, :width]
        for i in range(6):
            waves = [np.sin(x / 9 + i), np.cos(y / 7), np.sin((x + y) / 11 - i)]
            pixels = 128 + 90 * np.stack(waves, -1) + draw.normal(0, 6, (height, width, 3))
            frame = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def full_size(path, seconds):
    """The frames at these times as PyAV gives them, full-size and upright."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        frames = {
            round(float(frame.pts * stream.time_base), 4): np.rot90(
                frame.to_ndarray(format="rgb24"), frame.rotation // 90
            ).copy()
            for frame in container.decode(stream)
        }
    return [torch.from_numpy(frames[round(s, 4)]).permute(2, 0, 1) for s in seconds]


GOOD = (
    "nasa_13013.mp4",
    "nasa_13013_rotated.mp4",
    "no_extension",
    "h265_video.mp4",
    "av1_video.mkv",
    "testsrc2_vp9.webm",
    "testsrc2_mpeg4.avi",
    "h264_10bits.mp4",
    "test_non_zero_start.mp4",
    "testsrc2_odd_height_and_width_444.mp4",
    "sine_stereo_mp2.mpg",
    "gradient.gif",
)


@pytest.mark.parametrize("path", media(*GOOD))
def test_both_decoders_give_the_same_frames(path, monkeypatch):
    if backend._fault("torchcodec") is not None:
        pytest.skip("torchcodec does not load here")
    for size, how in ((64, "crop"), (224, "squash")):
        clips = []
        for name in ("torchcodec", "pyav"):
            monkeypatch.setenv("MMTX_DECODER", name)
            clips.append(decode_video(path, Sampling(5), size, how))
        assert clips[0].seconds == pytest.approx(clips[1].seconds, abs=1e-6)
        assert (clips[0].frames.float() - clips[1].frames.float()).abs().mean() <= 2


@needs_media
def test_facts_of_the_best_stream_and_upright():
    facts = video_facts(MEDIA / "nasa_13013.mp4")
    assert (facts.width, facts.height, facts.codec, facts.has_audio) == (480, 270, "h264", True)
    assert (facts.start, facts.duration) == (0, pytest.approx(13.013))
    assert facts.fps == pytest.approx(29.97, abs=1e-2)
    facts = video_facts(MEDIA / "nasa_13013_rotated.mp4")
    assert (facts.width, facts.height, facts.has_audio) == (270, 480, False)
    assert video_facts(MEDIA / "test_non_zero_start.mp4").start == 0
    assert video_facts(MEDIA / "av1_video.mkv").codec == "av1"


@needs_media
def test_turned_pictures_are_brought_upright(decoder):
    path = MEDIA / "nasa_13013_rotated.mp4"
    clip = decode_video(path, Sampling(2), 100)
    for frame, picture in zip(clip.frames, full_size(path, clip.seconds), strict=True):
        assert picture.shape == (3, 480, 270)
        assert (frame.int() - fit(picture, 100, "crop").int()).abs().float().mean() <= 2


def test_windows_outside_of_the_video(videos, decoder):
    path = videos["h264_late.mp4"]  # 2.4 s long; its clock begins at 2 s
    mentions(reason_of(path, start=9.5), "start 9.5 s", "end", " 2.4 s")
    mentions(reason_of(path, end=-1.0), "end -1 s", "first frame", " 0 s")
    mentions(reason_of(path, start=1.5, end=1.0), "end 1 s", "start 1.5 s")
    mentions(reason_of(path, start=float("nan")), "start nan")
    seconds = decode_video(path, Sampling(3), 32, start=-1.0, end=100.0).seconds
    assert seconds == pytest.approx([0.4, 1.2, 2.0])


@pytest.mark.parametrize(
    ("name", "begins", "options"),
    [
        ("late.mp4", 3, {}),
        ("late.mkv", 5, {}),
        ("late.ts", 7, {}),
        ("late.mpg", 4, {"codec": "mpeg1video"}),
        ("in_pieces.mp4", 6, {"muxing": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_a_window_counts_from_the_beginning_of_the_file(name, begins, options, decoder, tmp_path):
    """Whatever the container's clock says there, as players and ``ffmpeg -ss`` count."""
    path = numbered.write(tmp_path / name, [25 * begins + tick for tick in EVEN], **options)
    with av.open(str(path)) as container:
        assert container.start_time > 0
    clip = decode_video(path, Sampling(4), 64, "squash", start=1.0, end=2.0)
    assert clip.seconds == pytest.approx([1.12, 1.36, 1.6, 1.84], abs=0.05)
    assert [numbered.number(frame) for frame in clip.frames] == [28, 34, 40, 46]


BROKEN = {
    "empty.mp4": ["empty file"],
    "text.mp4": ["video", "known format"],
    "truncated.mp4": ["truncated", "200,000 ", "654,812 bytes"],
    "sine_mono_s24.wav": ["video stream"],
    "nasa_13013.mp4.audio.mp3": ["video stream"],
    "bomb_header.png": ["image", "video"],
    "bad_huffman.jpg": ["image", "video"],
}


@pytest.mark.parametrize("path", media(*BROKEN))
def test_broken_files_of_the_test_data(path, decoder):
    mentions(reason_of(path), *BROKEN[path.name])


def test_what_is_no_file(tmp_path, decoder):
    mentions_missing(reason_of(tmp_path / "absent.mp4"))
    mentions(reason_of(tmp_path), "folder", "regular file")
    (tmp_path / "empty").touch()
    mentions(reason_of(tmp_path / "empty"), "empty file")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    mentions(reason_of(tmp_path / "list.mp4"), "video", "known format")


@pytest.mark.parametrize(
    "name", ["h264.mp4", "h264_in_pieces.mp4", "h264_uneven.mkv", "mpeg4_reordered.avi"]
)
@pytest.mark.parametrize("part", [0.3, 0.95])
def test_a_file_that_was_cut_off(name, part, videos, tmp_path, decoder):
    content = Path(videos[name]).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * part)])
    assert "truncated" in reason_of(tmp_path / name)


def test_the_index_may_come_first_and_the_end_lack(tmp_path, decoder):
    path = numbered.write(tmp_path / "a.mp4", EVEN, muxing={"movflags": "+faststart"})
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-500])
    assert "truncated" in reason_of(path)


def test_damage_is_an_error_or_a_frame_never_anything_else(videos, tmp_path, decoder):
    draw = random.Random(0)
    for name in ("h264.mp4", "h264_uneven.mkv", "mpeg1.mpg"):
        content = Path(videos[name]).read_bytes()
        for attempt in range(12):
            damaged = bytearray(content)
            for _ in range(draw.choice([1, 10, 100])):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            path = tmp_path / f"{attempt}{name}"
            path.write_bytes(damaged)
            try:
                clip = decode_video(path, Sampling(3), 16)
            except UnreadableError:
                continue
            assert clip.frames.shape[1:] == (3, 16, 16)


def test_absurd_dimensions(tmp_path, decoder):
    Image.new("L", (8, 8)).save(tmp_path / "a.gif")
    content = bytearray((tmp_path / "a.gif").read_bytes())
    content[6:10] = struct.pack("<HH", 20000, 9000)
    (tmp_path / "a.gif").write_bytes(content)
    mentions(reason_of(tmp_path / "a.gif"), "dimensions", "20000 x 9000")
    content[6:10] = struct.pack("<HH", 16000, 16000)
    (tmp_path / "a.gif").write_bytes(content)
    mentions(reason_of(tmp_path / "a.gif"), "dimensions", "16000 x 16000")


def test_absurd_durations(tmp_path, decoder):
    path = numbered.write(tmp_path / "a.mkv", [0, 8 * 24 * 3600 * 25])
    mentions(reason_of(path), "duration", "691200 s")
    path = numbered.write(tmp_path / "b.mkv", EVEN)
    content = Path(path).read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a number of 8 bytes
    for value in (float("nan"), -5000.0, 1e300):
        Path(path).write_bytes(content[:at] + struct.pack(">d", value) + content[at + 8 :])
        try:
            clip = decode_video(path, Sampling(4), 16)
        except UnreadableError as error:
            mentions(error.reason, "duration")
        else:  # the packets know better
            assert clip.seconds == pytest.approx([0.28, 0.88, 1.48, 2.08])


def test_nonsense_is_not_the_files_fault(videos, decoder):
    with raises(ValueError, "'zoom'"):
        decode_video(videos["h264.mp4"], Sampling(), 32, "zoom")
    with raises(ValueError, "size 0"):
        decode_video(videos["h264.mp4"], Sampling(), 0)
    with raises(ValueError, "offset", " 1.0") as caught:
        decode_video(videos["h264.mp4"], Sampling(), 32, offset=1.0)
    assert not isinstance(caught.value, UnreadableError)


def test_which_decoder(monkeypatch):
    monkeypatch.delenv("MMTX_DECODER", raising=False)
    first = "pyav" if backend._fault("torchcodec") else "torchcodec"
    assert backend_name() == first
    monkeypatch.setenv("MMTX_DECODER", "pyav")
    assert backend_name() == "pyav"
    monkeypatch.setenv("MMTX_DECODER", "decord")
    with raises(ConfigError, "MMTX_DECODER", "'decord'", "torchcodec, pyav"):
        backend_name()


def test_without_torchcodec_pyav_decodes(videos, monkeypatch):
    real = importlib.import_module

    def missing(name):
        if name.startswith("torchcodec"):
            raise RuntimeError("Could not load libtorchcodec.\nIs FFmpeg installed?")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.delenv("MMTX_DECODER", raising=False)
    backend._fault.cache_clear()
    try:
        assert backend_name() == "pyav"
        assert len(decode_video(videos["h264.mp4"], Sampling(), 32).seconds) == 8
        monkeypatch.setenv("MMTX_DECODER", "torchcodec")
        with raises(ConfigError, "torchcodec", "Could not load libtorchcodec."):
            backend_name()
    finally:
        backend._fault.cache_clear()
    assert "av" in sys.modules
