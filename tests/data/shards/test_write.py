import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.shard.index import INDEX, ShardIndex
from tests.data.shards.fixtures import pack, write_media
from tests.messages import raises


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_and_bytes_of_media_are_those_of_the_files(media_rows, packed_rows):
    old = {s.id: s for s in read_manifest(media_rows).samples}
    new = {s.id: s for s in read_manifest(packed_rows).samples}
    assert old.keys() == new.keys()
    for ident, sample in old.items():
        other = new[ident]
        kept = ("split", "captions", "label", "text", "start", "end")
        assert all(getattr(sample, name) == getattr(other, name) for name in kept)
        assert [kind for kind, _ in sample.media()] == [kind for kind, _ in other.media()]
        for (_, path), (_, reference) in zip(sample.media(), other.media(), strict=True):
            with open_regular(reference) as file:
                assert file.read() == Path(path).read_bytes()
    rows = [json.loads(line) for line in packed_rows.read_text().splitlines()]
    assert sorted(row["mine"] for row in rows) == list(range(24))


def test_shards_are_read_by_tarfile_and_hold_one_split_each(packed_rows):
    shards = sorted(packed_rows.parent.glob("*.tar"))
    assert len(shards) > 3
    for shard in shards:
        with tarfile.open(shard) as tar:
            rows = [
                json.load(tar.extractfile(m)) for m in tar.getmembers() if m.name.endswith(".json")
            ]
            names = tar.getnames()
        assert len({row["split"] for row in rows}) == 1
        stems = [name.partition(".")[0] for name in names]
        assert stems == sorted(stems)  # members of a sample are adjacent, as WebDataset requires
        assert len(names) == len(set(names))


def test_webdataset_reads_the_shards(packed_rows):
    webdataset = pytest.importorskip("webdataset")
    shards = [str(path) for path in sorted(packed_rows.parent.glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(samples) == 24
    assert all("json" in sample and sample["txt"].startswith(b"a ") for sample in samples)


def test_a_second_run_changes_nothing_and_two_runs_give_the_same_bytes(media_rows, tmp_path):
    pack(media_rows, tmp_path / "a", shard_size=0.02, seed=3)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("*.tar")}
    pack(media_rows, tmp_path / "a", shard_size=0.02, seed=3)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("*.tar")}
    pack(media_rows, tmp_path / "b", shard_size=0.02, seed=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    orders = [p.read_text() for p in (tmp_path / "a" / "mine.jsonl", media_rows)]
    assert orders[0] != orders[1]


def test_a_file_that_rows_share_is_stored_once(tmp_path):
    manifest = write_media(tmp_path / "files", 4)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    more = [{**row, "id": row["id"] + "x", "text": "what?"} for row in rows]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows + more))
    out = pack(manifest, tmp_path / "out")
    pictures = 0
    for shard in out.parent.glob("*.tar"):
        with tarfile.open(shard) as tar:
            pictures += sum(name.endswith(".jpg") for name in tar.getnames())
    # the picture of the first row is also the second picture of none of another split
    assert pictures <= 5
    assert len(read_manifest(out).samples) == 8


@pytest.mark.parametrize("how", ["other", "changed", "settings"])
def test_shards_of_other_data_are_not_replaced(how, tmp_path):
    manifest = write_media(tmp_path / "files", 6)
    out = tmp_path / "out"
    pack(manifest, out, shard_size=0.01)
    before = contents(out)
    settings = {"shard_size": 0.01}
    if how == "other":
        manifest = write_media(tmp_path / "more", 8)
    elif how == "changed":
        (manifest.parent / "1.jpg").write_bytes((manifest.parent / "2.jpg").read_bytes())
    else:
        settings["shard_size"] = 0.02
    with raises(ConfigError, f"out={out}: ", "another folder"):
        pack(manifest, out, **settings)
    assert contents(out) == before


def test_tar_files_of_others_are_not_replaced(media_rows, tmp_path):
    (tmp_path / "000000.tar").write_bytes(b"mine")
    with raises(ConfigError, f"out={tmp_path}: ", "did not write"):
        pack(media_rows, tmp_path)
    assert contents(tmp_path) == {"000000.tar": b"mine"}


def test_features_are_not_packed_and_missing_files_are_listed(tmp_path):
    manifest = write_media(tmp_path / "files", 3)
    rows = manifest.read_text()
    (tmp_path / "files" / "1.jpg").unlink()
    with raises(DataError, "mine.jsonl:2: image: ", "1.jpg"):
        pack(manifest, tmp_path / "out")
    manifest.write_text(rows.replace('"mine": 2', '"features": {"text": "0.jpg"}'))
    (tmp_path / "files" / "1.jpg").write_bytes((tmp_path / "files" / "0.jpg").read_bytes())
    with raises(DataError, "mine.jsonl:3: ", "features"):
        pack(manifest, tmp_path / "out")


KILLED = """
import os, sys
from mmtx_cli.data.shards import tar_writer
from tests.data.shards.fixtures import pack
from pathlib import Path
left = int(sys.argv[3])
write = tar_writer._Hashed.write
def count(self, data):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    write(self, data)
tar_writer._Hashed.write = count
pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=0.02)
"""


@pytest.mark.parametrize("writes", [3, 120])
def test_a_killed_run_is_continued_with_the_same_bytes(writes, media_rows, tmp_path, monkeypatch):
    out = tmp_path / "killed"
    args = [sys.executable, "-c", KILLED, str(media_rows), str(out), str(writes)]
    assert subprocess.run(args, check=False).returncode == -signal.SIGKILL
    assert not (out / INDEX).exists()
    finished = {p: p.stat().st_mtime_ns for p in out.glob("*.tar")}
    assert bool(finished) == (writes > 100)
    # another process continues, which begins after the first one
    monkeypatch.setattr("mmtx_cli.io.atomic.PROCESS_START", time.time() + 1)
    pack(media_rows, out, shard_size=0.02)
    assert all(p.stat().st_mtime_ns == time for p, time in finished.items())  # not written again
    assert contents(out) == contents(pack(media_rows, tmp_path / "whole", shard_size=0.02).parent)


def test_another_command_does_not_continue_unfinished_shards(media_rows, tmp_path):
    args = [sys.executable, "-c", KILLED, str(media_rows), str(tmp_path / "out"), "100"]
    subprocess.run(args, check=False)
    with raises(ConfigError, f"out={tmp_path / 'out'}: ", "unfinished"):
        pack(media_rows, tmp_path / "out", shard_size=0.03)


def test_the_index_knows_every_member(packed_rows):
    index = ShardIndex(str(packed_rows.parent))
    for facts in index.shards:
        shard = packed_rows.parent / facts.name
        assert shard.stat().st_size == facts.bytes
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                place = index.find(facts.name, member.name)
                assert (place.offset, place.size) == (member.offset_data, member.size)
            assert facts.members == len(tar.getmembers())
