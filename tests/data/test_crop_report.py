import wave

import pytest
from PIL import Image

from mmtx_cli.data.crop_report import crop_warning, truncation_warning
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.media import numbered
from tests.messages import mentions


@pytest.fixture
def guard():
    made = IsolatedDecoder(20.0)
    yield made
    made.close()


def pictures(folder, *sizes):
    rows = []
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{i}.png")
        rows.append(Sample(str(i), "train", image=(str(folder / f"{i}.png"),)))
    return rows


@pytest.mark.parametrize(
    ("sizes", "share"),
    [
        ([(400, 100)] * 3, 75),
        ([(100, 400), (100, 300), (100, 100)], 67),
        ([(160, 90)], 44),
        ([(400, 300)] * 3, None),
        ([(400, 100), (100, 100), (100, 100)], None),
        ([], None),
    ],
)
def test_cropping_is_reported_from_a_quarter_on(tmp_path, guard, sizes, share):
    message = crop_warning(pictures(tmp_path, *sizes), "image", guard)
    assert (message is None) == (share is None)
    if message:
        mentions(message, "data.resize_mode=crop", f" {share} %", "images", "data.resize_mode=pad")


def test_films_and_files_that_cannot_be_read(tmp_path, guard):
    path = numbered.write(tmp_path / "a.mp4", range(5))  # 64 x 48
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"no film")
    rows = [Sample(str(i), "train", video=str(p)) for i, p in enumerate((path, broken, broken))]
    assert crop_warning(rows, "video", guard) is None
    assert crop_warning(rows, "image", guard) is None


def sounds(folder, *lengths, **more):
    rows = []
    for i, seconds in enumerate(lengths):
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(1, 251)) * int(64 * seconds))
        rows.append(Sample(str(i), "train", audio=str(folder / f"{i}.wav"), **more))
    return rows


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([1.0, 3.0, 2.5], ["audio_seconds=2 ", " 2 of 3 sampled audio", " 3 s"]),
        ([2.5] * 40, ["audio_seconds=2 ", " 16 of 16 sampled audio", " 2.5 s"]),
        ([2.0, 1.0], None),
        ([], None),
    ],
)
def test_audio_longer_than_the_model_input(tmp_path, guard, lengths, parts):
    line = truncation_warning(sounds(tmp_path, *lengths), 2.0, guard)
    assert (line is None) == (parts is None)
    if parts is not None:
        mentions(line, *parts, "training", "random", "evaluation", "middle")


def test_of_a_film_the_part_between_start_and_end_is_looked_at(tmp_path, guard):
    path = str(numbered.write(tmp_path / "a.mkv", range(100), sound=4.0))
    row = Sample("a", "train", video=path, audio=path, start=1.0, end=2.0)
    assert truncation_warning([row], 1.0, guard) is None
    assert "of 1 sampled audio" in str(truncation_warning([row], 0.5, guard))
    assert (
        truncation_warning([Sample("b", "train", audio=str(tmp_path / "gone.wav"))], 0.5, guard)
        is None
    )
