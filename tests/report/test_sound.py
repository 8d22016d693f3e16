"""Sounds of a report: they play, their pictures show the pitch, and a reason stands for a fault."""

import base64
import io
import json
import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmtx_cli.report.html import write_report
from mmtx_cli.report.sound import HEIGHT, WIDTH, Sounds
from tests.media.sounds import glide
from tests.messages import mentions, mentions_missing

from .page import Page


@pytest.fixture
def sounds():
    with closing(Sounds()) as sounds:
        yield sounds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "rising.wav", glide(3.0), 16000)
    return tmp_path / "rising.wav"


def content(uri: str, kind: str) -> io.BytesIO:
    assert uri.startswith(f"data:{kind};base64,")
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_what_is_played_is_the_sound(file, sounds):
    clip = sounds(file)
    wave, rate = soundfile.read(content(clip.uri, "audio/mpeg"))
    assert rate == 16000
    assert len(wave) == pytest.approx(3 * rate, abs=0.2 * rate)
    assert (clip.cut, clip.problem) == (False, "")
    part = sounds(file, 1.0, 2.0)
    wave, _ = soundfile.read(content(part.uri, "audio/mpeg"))
    assert len(wave) == pytest.approx(rate, abs=0.2 * rate)


def test_the_picture_shows_how_the_pitch_rises(file, sounds):
    picture = Image.open(content(sounds(file).spectrogram.uri, "image/jpeg"))
    assert picture.size == (WIDTH, HEIGHT)
    loudest = np.asarray(picture, dtype=float).argmax(axis=0)  # rows count from the top
    assert loudest[20] > loudest[WIDTH // 2] > loudest[-20]


def test_of_a_long_sound_the_middle_is_played(tmp_path, sounds):
    soundfile.write(tmp_path / "long.wav", glide(15.0), 16000)
    clip = sounds(tmp_path / "long.wav")
    wave, rate = soundfile.read(content(clip.uri, "audio/mpeg"))
    assert clip.cut
    assert len(wave) / rate == pytest.approx(10, abs=0.2)


def test_a_reason_stands_for_what_cannot_be_played(tmp_path, sounds):
    (tmp_path / "text.wav").write_text("no sound")
    mentions(sounds(tmp_path / "text.wav").problem, "text", "audio")
    mentions_missing(sounds(tmp_path / "gone.wav").problem)


def test_a_page_with_sounds(file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    rows = [
        {
            "id": f"s{i}",
            "inputs": {"audio": str(file if i else tmp_path / "gone.wav")},
            "digit": {"prediction": "one", "label": "one", "probability": 0.9, "top": []},
        }
        for i in range(2)
    ]
    (run / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    captions = [{"path": str(file), "caption": "a rising tone", "score": -0.5}]
    (run / "captions.jsonl").write_text("\n".join(map(json.dumps, captions)))
    page = Page(write_report(run))
    players = page.all("audio")
    assert len(players) == 2
    assert all(player["src"].startswith("data:audio/mpeg") for player in players)
    assert [image["alt"] for image in page.all("img")] == ["spectrogram of rising.wav"] * 2
    mentions_missing(re.search(r"<span>gone\.wav</span><span>([^<]+)</span>", page.source)[1])
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert "media-src data:" in policy
    first = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == first
