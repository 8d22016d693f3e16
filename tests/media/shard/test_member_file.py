import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.shards.tar_writer import of_bytes, write_tar
from mmtx_cli.media.audio.array_decode import check_sound, decode_wave
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image import decode_image, decode_small
from mmtx_cli.media.regular_file import check_regular, open_regular
from mmtx_cli.media.shard import member_file
from mmtx_cli.media.shard.index import INDEX, write_index
from mmtx_cli.media.shard.member_file import check_member, forget_shards
from mmtx_cli.media.video.array_decode import decode_frames
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.video.frame_sampling import Sampling
from tests.messages import raises


@pytest.fixture
def shard(tmp_path):
    """A folder with one shard of two members; returns the reference of the first."""
    rng = np.random.default_rng(0)
    entries = [(name, of_bytes(rng.bytes(20_000))) for name in ("a.bin", "b.bin")]
    part = write_tar(tmp_path / "000000.tar", entries)
    write_index(tmp_path / INDEX, [part])
    forget_shards()
    yield f"{tmp_path}/000000.tar::a.bin"
    forget_shards()


def damage(reference, at=600):
    path = Path(reference.partition("::")[0])
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.write_bytes(data)


def test_all_media_of_a_shard_decode_as_their_files_do(media_rows, packed_rows):
    packed = {s.id: s for s in read_manifest(packed_rows).samples}
    kinds = set()
    for sample in read_manifest(media_rows).samples[::2]:
        for (kind, path), (_, reference) in zip(
            sample.media(), packed[sample.id].media(), strict=True
        ):
            kinds.add(kind)
            assert check_regular(reference) == os.path.getsize(path)
            if kind == "image":
                assert (decode_image(path) == decode_image(reference)).all()
                assert (decode_small(path, 16) == decode_small(reference, 16)).all()
            elif kind == "audio":
                assert (decode_wave(path, 8000) == decode_wave(reference, 8000)).all()
                check_sound(reference)
            else:
                sampling = Sampling(4)
                old, new = (decode_frames(p, sampling, 32) for p in (path, reference))
                assert (old.frames == new.frames).all()
                assert old.seconds == new.seconds
                assert video_facts(path) == video_facts(reference)
    assert kinds == {"image", "video", "audio"}


def test_audio_that_ffmpeg_reads(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    wave = np.sin(np.arange(16000) / 20).astype(np.float32)
    entries = []
    for suffix in ("mp3", "flac", "ogg", "wav"):
        soundfile.write(tmp_path / f"x.{suffix}", wave, 16000)
        entries.append((f"x.{suffix}", of_bytes((tmp_path / f"x.{suffix}").read_bytes())))
    write_index(tmp_path / INDEX, [write_tar(tmp_path / "7.tar", entries)])
    for name, _ in entries:
        old, new = (
            decode_wave(tmp_path / name, 16000),
            decode_wave(f"{tmp_path}/7.tar::{name}", 16000),
        )
        assert (old == new).all()


def test_reading_parts_gives_the_bytes_of_the_tar(shard):
    path = shard.partition("::")[0]
    content = Path(path).read_bytes()[512:20512]
    with open_regular(shard) as file:
        assert file.read(10) == content[:10]
        assert file.seek(-5, os.SEEK_END) == 19995
        assert file.read() == content[-5:]
        assert file.read() == b""
        file.seek(100)
        assert file.read(9000) == content[100:9100]
        assert file.seek(0) == 0
        assert file.read() == content


@pytest.mark.parametrize("read", [open_regular, check_member], ids=["file", "check"])
def test_a_damaged_member_is_named(read, shard):
    damage(shard)

    def whole():
        if read is open_regular:
            with open_regular(shard) as file:
                file.read(12)
                file.seek(0)
                file.read()
        else:
            read(shard)

    with raises(UnreadableError, f"{shard}: ", "checksum"):
        whole()
    with open_regular(shard.replace("a.bin", "b.bin")) as file:  # the other member is intact
        assert len(file.read()) == 20_000


def test_large_members_are_checked_on_request(shard, monkeypatch):
    monkeypatch.setattr(member_file, "CHECKED_BYTES", 100)
    damage(shard)
    check_member(shard)
    with raises(UnreadableError, "checksum"):
        check_member(shard, whole=True)


def test_faults_name_shard_and_member(shard, tmp_path):
    with raises(UnreadableError, f"{tmp_path}/000000.tar::c.bin: ", "no member 'c.bin'"):
        open_regular(f"{tmp_path}/000000.tar::c.bin")
    with raises(UnreadableError, f"{tmp_path}/1.tar::c.bin: ", "not in shards.index"):
        open_regular(f"{tmp_path}/1.tar::c.bin")
    with raises(UnreadableError, "/no/1.tar::c.bin: ", "no index", "action=index"):
        open_regular(f"{tmp_path}/no/1.tar::c.bin")
    os.unlink(tmp_path / "000000.tar")
    with raises(UnreadableError, f"{shard}: ", "file not found"):
        open_regular(shard)
    os.mkfifo(tmp_path / "000000.tar")
    with raises(UnreadableError, f"{shard}: ", "a named pipe"):
        open_regular(shard)


def test_a_shard_that_was_replaced_is_refused(shard):
    path = Path(shard.partition("::")[0])
    path.write_bytes(path.read_bytes()[:-512])
    with raises(UnreadableError, f"{shard}: ", "has changed since it was indexed"):
        open_regular(shard)


def test_a_shard_that_shrinks_while_it_is_open_is_truncated(shard):
    with open_regular(shard) as file:
        file.read(12)
        os.truncate(shard.partition("::")[0], 5000)
        with raises(UnreadableError, f"{shard}: ", "truncated: the shard ends at byte"):
            file.read()


def test_few_shards_are_open_at_a_time(tmp_path):
    entries = [("a", of_bytes(b"content"))]
    parts = [write_tar(tmp_path / f"{i}.tar", entries) for i in range(100)]
    write_index(tmp_path / INDEX, parts)
    forget_shards()
    before = len(os.listdir("/proc/self/fd"))
    for i in range(100):
        with open_regular(f"{tmp_path}/{i}.tar::a") as file:
            assert file.read() == b"content"
    assert len(os.listdir("/proc/self/fd")) - before <= member_file.MAX_OPEN + 1
    del file
    forget_shards()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_checksum_is_that_of_zlib(shard):
    place = member_file.place_of(shard)[2]
    content = Path(shard.partition("::")[0]).read_bytes()
    assert place.crc == zlib.crc32(content[place.offset : place.offset + place.size])
