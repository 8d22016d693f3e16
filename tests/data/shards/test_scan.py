import io
import json
import shutil
import tarfile

import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.shard.member_file import forget_shards
from tests.data_action import run_action
from tests.messages import raises

PICTURE = b"\xff\xd8\xff not decoded here"


def shard(path, entries):
    with tarfile.open(path, "w") as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def img2dataset(folder):
    """Two shards as img2dataset writes them."""
    folder.mkdir(exist_ok=True)
    for number in range(2):
        entries = []
        for i in range(3):
            key = f"{number:05d}{i:04d}"
            about = {"caption": f"c{i}", "url": "https://x", "key": key, "width": 3, "kind": "k"}
            entries += [
                (f"{key}.jpg", PICTURE + bytes([i])),
                (f"{key}.txt", f"caption {i}\n".encode()),
                (f"{key}.json", json.dumps(about).encode()),
            ]
        shard(folder / f"{number:05d}.tar", entries)
    return folder


def index(folder, **settings):
    run_action("index", source=str(folder), out=str(folder / "all.jsonl"), **settings)
    forget_shards()
    return folder / "all.jsonl"


@pytest.mark.parametrize("checksums", [False, True])
def test_shards_of_img2dataset(checksums, tmp_path):
    path = index(img2dataset(tmp_path / "s"), columns={"group": "kind"}, checksums=checksums)
    samples = read_manifest(path).samples
    assert [s.id for s in samples][:2] == ["00000/000000000", "00000/000000001"]
    assert {s.split for s in samples} == {"train"}
    assert samples[2].captions == ("caption 2",)
    assert samples[2].group == "k"
    with open_regular(samples[4].image[0]) as file:
        assert file.read() == PICTURE + b"\1"


def test_captions_of_json_members_and_splits_by_ratio(tmp_path):
    entries = [(f"{i}.json", json.dumps({"said": f"s{i}"}).encode()) for i in range(50)]
    shard(tmp_path / "0.tar", [*entries, *((f"{i}.png", PICTURE) for i in range(50))])
    path = index(tmp_path, columns={"caption": "said"}, split={"train": 0.6, "val": 0.4})
    samples = {s.id: s for s in read_manifest(path).samples}
    assert samples["0/7"].captions == ("s7",)
    assert {s.split for s in samples.values()} == {"train", "val"}


def test_own_shards_can_be_indexed_again(packed_rows, tmp_path):
    folder = shutil.copytree(packed_rows.parent, tmp_path / "copy")
    (folder / "shards.index").unlink()
    found = {s.image or s.audio: s for s in read_manifest(index(folder, bad="skip")).samples}
    for sample in read_manifest(packed_rows).samples:
        images = tuple(p.replace(str(packed_rows.parent), str(folder)) for p in sample.image)
        if images in found:  # a picture of two rows belongs to the first
            other = found[images]
            assert other.captions == sample.captions[:1]
            assert [kind for kind, _ in other.media()] == [kind for kind, _ in sample.media()]


def test_bad_shards_and_samples_are_listed(tmp_path, capsys):
    folder = img2dataset(tmp_path / "s")
    (folder / "00002.tar").write_bytes((folder / "00001.tar").read_bytes()[:700])
    link = tarfile.TarInfo("l.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(folder / "00003.tar", "w") as tar:
        tar.addfile(link)
    shard(
        folder / "00004.tar",
        [("a.txt", b"no picture"), ("b.jpg", b""), ("c.jpg", PICTURE), ("c.json", b"{")],
    )
    with raises(DataError, "00002.tar: ", "bad=skip"):
        index(folder)
    assert not (folder / "shards.index").exists()
    path = index(folder, bad="skip")
    assert len(read_manifest(path).samples) == 6
    lines = (folder / "all_bad.txt").read_text().splitlines()
    assert len(lines) == 5
    for part in ("00002.tar", "'l.jpg': a link", "'a': has no image", "is empty", "invalid JSON"):
        assert any(part in line for line in lines), part


def test_a_shard_that_changed_since_it_was_scanned_is_refused(tmp_path):
    folder = img2dataset(tmp_path / "s")
    path = index(folder)
    sample = read_manifest(path).samples[0]
    shard(folder / "00000.tar", [("000000000.jpg", PICTURE)] * 1)
    forget_shards()
    with raises(Exception, "has changed since it was indexed"):
        open_regular(sample.image[0])


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"source": "no"}, ["source=no: ", "folder not found"]),
        ({"out": "elsewhere.jsonl"}, ["out=elsewhere.jsonl: ", "beside the shards"]),
        ({"bad": "x"}, ["bad=x: ", "skip"]),
        ({"columns": {"image": "x"}}, ["columns=", "caption, text"]),
        ({"split": "dev"}, ["split=dev: "]),
    ],
)
def test_settings_are_checked(settings, parts, tmp_path):
    folder = img2dataset(tmp_path / "s")
    with raises(ConfigError, *parts):
        run_action("index", **{"source": str(folder), "out": str(folder / "a.jsonl"), **settings})


def test_references_stay_inside_the_root(packed_rows, tmp_path):
    rows = [json.loads(line) for line in packed_rows.read_text().splitlines()[:1]]
    outside = str(packed_rows.parent / "000000.tar::x.jpg")
    for path, part in {
        outside: "outside the root",
        "no.tar::x.jpg": "file not found",
        "s3://bucket/0.tar::x.jpg": "is a URL",
        "0.tar::../x.jpg": "not a plain relative path",
    }.items():
        manifest = tmp_path / "m.jsonl"
        (tmp_path / "0.tar").write_bytes(b"x")
        manifest.write_text(json.dumps({**rows[0], "image": path, "audio": None, "video": None}))
        with raises(DataError, "m.jsonl:1: image: ", part):
            read_manifest(manifest)
    (tmp_path / "link.tar").symlink_to(packed_rows.parent / "000000.tar")
    manifest.write_text(json.dumps({**rows[0], "image": "link.tar::x", "audio": "", "video": ""}))
    with raises(DataError, "m.jsonl:1: image: ", "symlink out of the root"):
        read_manifest(manifest)


def test_the_check_decodes_members_and_names_damaged_ones(packed_rows, tmp_path):
    folder = shutil.copytree(packed_rows.parent, tmp_path / "copy")
    manifest = folder / packed_rows.name
    run_action("check", manifest=str(manifest), decode=True, workers=1)
    with tarfile.open(folder / "000001.tar") as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(".jpg"))
    data = bytearray((folder / "000001.tar").read_bytes())
    data[member.offset_data + 300] ^= 1
    (folder / "000001.tar").write_bytes(data)
    with raises(DataError, f"000001.tar::{member.name}: ", "checksum"):
        run_action("check", manifest=str(manifest), decode=True, workers=1)


def test_a_sample_with_two_videos_is_not_one_of_them(tmp_path):
    (tmp_path / "s").mkdir()
    entries = [("a.mp4", b"x"), ("a.webm", b"y"), ("b.mp4", b"x"), ("b.wav", b"y")]
    shard(tmp_path / "s" / "0.tar", entries)
    with raises(DataError, "0.tar: sample 'a': has two files of video, 'a.webm'"):
        index(tmp_path / "s")
    samples = read_manifest(index(tmp_path / "s", bad="skip")).samples
    assert [sample.id for sample in samples] == ["0/b"]
