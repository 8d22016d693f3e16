import re

import pytest

from mmtx_cli.inference.subtitles import clock, sub_rip, web_vtt, write_subtitles

PIECES = [
    {"path": "a/film.mp4", "start": 0.0, "end": 10.0, "caption": "a <b> & c"},
    {"path": "a/film.mp4", "start": 10.0, "end": 3725.0625, "caption": "red --> blue"},
]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3725.0625, "01:02:05.062")],
)
def test_clock(seconds, text):
    assert clock(seconds, ".") == text


def test_web_vtt_has_a_header_and_cues_apart():
    blocks = web_vtt(PIECES).split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[1] == "00:00:00.000 --> 00:00:10.000\na &lt;b&gt; &amp; c"
    assert all(block.count("-->") == 1 for block in blocks[1:]), "no caption looks like a time"


def test_sub_rip_numbers_its_cues():
    blocks = sub_rip(PIECES).strip().split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == ["1", "2"]
    assert re.match(r"00:00:10,000 --> 01:02:05,062$", blocks[1].split("\n")[1])


def test_a_file_a_video_and_none_for_whole_files(tmp_path):
    rows = [
        *PIECES,
        {"path": "b/film.mp4", "start": 0.0, "end": 1.0, "caption": "x"},
        {"path": "c.jpg", "caption": "a picture"},
        {"path": "d.mp4", "start": 0.0, "end": 1.0, "error": "broken"},
    ]
    names = [path.name for path in write_subtitles(tmp_path / "subtitles", rows)]
    assert names == ["film.vtt", "film.srt", "film-2.vtt", "film-2.srt"]
    assert "red" in (tmp_path / "subtitles" / "film.srt").read_text()
    assert write_subtitles(tmp_path / "none", rows[3:]) == []
    assert not (tmp_path / "none").exists()
