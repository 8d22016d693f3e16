import os
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.input_files import InputFiles
from mmtx_cli.data.pieces import Piece, all_pieces, split_duration
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.inference.inputs import piece_fields
from mmtx_cli.media.image_reader import picture_kind
from mmtx_cli.media.video.decode import decode_video
from mmtx_cli.media.video.frame_sampling import Sampling
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits
from tests.media import numbered
from tests.messages import mentions

LIMITS = DecodeLimits(seconds=60)
GUARD = IsolatedDecoder(60)


@given(st.floats(0.01, 1e5), st.floats(0.1, 1e3))
def test_pieces_cover_a_video_without_a_gap(duration, length):
    pieces = split_duration(duration, length)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == duration
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    assert all(0 < end - start <= 1.25 * length + 1e-6 for start, end in pieces)


@pytest.mark.parametrize(
    ("duration", "count"), [(9, 1), (10, 1), (12, 1), (12.6, 2), (20, 2), (95, 10)]
)
def test_a_short_rest_joins_the_piece_before(duration, count):
    assert len(split_duration(duration, 10)) == count


def test_images_are_recognized_by_content(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.mp4", "PNG")
    (tmp_path / "b.jpg").write_text("no picture")
    assert picture_kind(GUARD, str(tmp_path / "a.mp4")) == "still"
    assert picture_kind(GUARD, str(tmp_path / "b.jpg")) is None
    assert picture_kind(GUARD, str(tmp_path / "missing.jpg")) is None


def animation(path):
    """Four frames of growing brightness; of a TIFF they are pages."""
    frames = [Image.new("RGB", (32, 32), (60 * i, 0, 0)) for i in range(4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return str(path)


def read_by(modalities, path):
    wish = Preprocessing(image_size=32, text=None, num_frames=8)
    tokenizer = Tokenizer.train(["a film"], 300)
    return InputFiles([Piece(path)], ["a"], modalities, wish, tokenizer, LIMITS)[(0, 0)]


@pytest.mark.parametrize("suffix", ["gif", "png", "avif"])
def test_an_animated_picture_is_a_film_to_a_model_of_films(tmp_path, suffix):
    path = animation(tmp_path / f"a.{suffix}")
    assert picture_kind(GUARD, path) == "animation"
    film = read_by(["image", "video"], path).inputs
    assert set(film) == {"video"}
    wanted = decode_video(path, Sampling(8), 32).frames
    assert len(wanted) == 4
    assert torch.equal(film["video"], wanted)
    assert len(read_by(["image"], path).inputs["image"]) == 1
    assert [piece.start for piece in all_pieces([path], 0.2, LIMITS)] == pytest.approx([0, 0.2])


def test_pages_are_no_film_and_an_animated_webp_is_refused_by_name(tmp_path):
    path = animation(tmp_path / "a.tiff")
    assert picture_kind(GUARD, path) == "still"
    assert len(read_by(["video"], path).inputs["video"]) == 1
    path = animation(tmp_path / "a.webp")
    mentions(read_by(["video"], path).fault["reason"], "animated WebP")
    assert len(read_by(["image"], path).inputs["image"]) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert picture_kind(GUARD, str(tmp_path / "pipe.mp4")) is None


def test_time_codes_count_from_the_beginning_of_the_file(tmp_path):
    path = numbered.write(tmp_path / "late.mp4", [tick + 100 for tick in range(50)])
    (tmp_path / "notes.txt").write_text("no film")
    found = list(all_pieces([path, str(tmp_path / "notes.txt")], 1.0, LIMITS))
    assert found == [
        Piece(path, 0.0, 1.0),
        Piece(path, 1.0, 2.0),
        Piece(str(tmp_path / "notes.txt")),
    ]
    assert piece_fields(found[1]) == {"path": path, "start": 1.0, "end": 2.0, "seconds": 1.0}
    assert list(all_pieces([path], None, LIMITS)) == [Piece(path)]


def test_a_video_continues_after_its_audio_ends(tmp_path):
    path = numbered.write(tmp_path / "film.mkv", range(100), sound=1.0)
    found = [Piece(path, 0.0, 0.9), Piece(path, 2.0, 3.0), Piece(path, 9.0, 10.0)]
    wish = Preprocessing(image_size=32, text=None, num_frames=2)
    files = InputFiles(
        found, ["a", "b", "c"], ["video", "audio"], wish, Tokenizer.train(["a film"], 300), LIMITS
    )
    first, second, third = (files[(0, row)] for row in range(3))
    assert set(first.inputs) == {"video", "audio"}
    assert set(second.inputs) == {"video"}, second.fault
    assert not third.inputs
    mentions(third.fault["reason"], "start 9 s", "end")


@pytest.mark.parametrize("name", ["a.HEIC", "a.jxl", "a.tga", "a.svg", "a.dng"])
@pytest.mark.parametrize("modalities", [["image"], ["video"], ["image", "video"]])
def test_a_picture_that_is_not_read_is_called_one(tmp_path, name, modalities):
    (tmp_path / name).write_bytes(b"\0\0\0 ftypheic" + bytes(100))
    reason = read_by(modalities, str(tmp_path / name)).fault["reason"]
    mentions(reason, "image", "known format", "JPEG, PNG", "convert")


def test_a_picture_of_more_pixels_than_allowed_is_still_called_one(tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "large", format="PNG")
    options = (["image"], Preprocessing(image_size=32, text=None), Tokenizer.train(["a"], 300))
    pieces = [Piece(str(tmp_path / "large"))]
    small, large = (
        InputFiles(pieces, ["a"], *options, DecodeLimits(pixels=most))[(0, 0)]
        for most in (1599, 1600)
    )
    mentions(small.fault["reason"], "1,600 pixels", "1,599")
    assert not small.inputs
    assert large.fault is None
    assert large.inputs
