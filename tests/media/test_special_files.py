"""Pipes, sockets, devices and folders in the place of media files: refused by name, never read."""

import json
import os
import socket
import tempfile

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.crop_report import crop_warning
from mmtx_cli.data.duplicate_files import same_content
from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.audio.array_decode import check_sound
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import decode_image, decode_small, image_size
from mmtx_cli.media.image_reader import picture_kind
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.command_line import refused
from tests.data.hostile import not_waiting
from tests.messages import mentions, mentions_missing, raises

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")

KINDS = {
    "pipe": "a named pipe",
    "folder": "a folder",
    "socket": "a socket",
    "device": "a device",
    "link": "a named pipe",
}
READERS = {
    "picture": (decode_image, ".png"),
    "small picture": (decode_small, ".png"),
    "size": (image_size, ".png"),
    "sound": (lambda path: decode_sound(path, 16000), ".wav"),
    "whole sound": (check_sound, ".wav"),
    "video": (video_facts, ".mp4"),
    **{
        f"features {suffix}": (
            lambda path: FeatureFiles().read(
                FeaturePlace(path, None if path.endswith(".npy") else "x")
            ),
            suffix,
        )
        for suffix in (".npy", ".npz", ".pt", ".safetensors", ".h5")
    },
}


@pytest.fixture
def special(tmp_path):
    """Makes a file of a kind, with a suffix."""
    open_sockets = []

    def make(kind, suffix):
        path = tmp_path / f"a{suffix}"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "link":
            os.mkfifo(tmp_path / "pipe")
            path.symlink_to(tmp_path / "pipe")
        else:  # a socket's path may have about 100 letters
            short = tempfile.mkdtemp()
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(f"{short}/s")
            open_sockets.append(bound)
            path.symlink_to(f"{short}/s")
        return str(path)

    yield make
    for bound in open_sockets:
        bound.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_they_are_refused_by_name(special, reader, kind):
    read, suffix = READERS[reader]
    path = special(kind, suffix)
    with not_waiting(), pytest.raises(UnreadableError) as error:
        read(path)
    assert error.value.path == path
    mentions(error.value.reason, KINDS[kind], "regular file")


@pytest.mark.parametrize("kind", KINDS)
def test_what_looks_at_files_passes_them_over(special, kind):
    path = special(kind, ".png")
    guard = IsolatedDecoder(300.0)
    with not_waiting():
        assert picture_kind(guard, path) is None
        assert same_content([path, path + "x", path]) == {}
        assert crop_warning([Sample("a", "train", image=(path,))], "image", guard) is None
    guard.close()


def test_an_empty_file_and_one_that_is_not_there(tmp_path):
    (tmp_path / "empty").touch()
    with raises(UnreadableError, tmp_path / "empty", "empty file"):
        open_regular(tmp_path / "empty")
    with raises(UnreadableError, tmp_path / "none") as error:
        open_regular(tmp_path / "none")
    mentions_missing(error.value.reason)


def test_a_regular_file_is_read_as_ever(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.ones(3))
    with open_regular(tmp_path / "a.png") as file:
        assert file.read(4) == b"\x89PNG"
    assert image_size(str(tmp_path / "a.png")) == (3, 2)
    assert FeatureFiles().read(FeaturePlace(str(tmp_path / "a.npy"))).shape == (1, 3)


def test_check_names_each_of_them(tmp_path):
    rows = []
    for name, key in (("p.png", "image"), ("s.wav", "audio"), ("v.mp4", "video")):
        os.mkfifo(tmp_path / name)
        rows.append({"id": name, "split": "train", "captions": ["x"], key: name})
    os.mkfifo(tmp_path / "f.npy")
    rows.append({"id": "f", "split": "train", "captions": ["x"], "features": {"audio": "f.npy"}})
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with not_waiting(280):
        message = refused("data", "action=check", f"manifest={path}", "decode=true", "workers=1")
    for line, name in enumerate(("p.png", "s.wav", "v.mp4", "f.npy"), 1):
        assert f"m.jsonl:{line}:" in message
        assert name in message
    assert message.count("regular file") == 4
