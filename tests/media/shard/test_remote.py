import fcntl
import json
import multiprocessing
import os
from pathlib import Path

import fsspec
import pytest

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.sampling.shard_order import ShardOrder, shard_paths
from mmtx_cli.data.shards.scan import scan_shard
from mmtx_cli.data.shards.tar_writer import of_bytes, shard_name, write_tar
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.shard import remote
from mmtx_cli.media.shard.index import INDEX, ShardIndex, write_index
from mmtx_cli.media.shard.member_file import forget_shards
from tests.messages import raises

SHARDS, EACH = 6, 4
SIZE = 10240 / 1e9
"""GB of a shard."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder of shards behind a URL; returns the folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    parts = [
        write_tar(
            folder / shard_name(s),
            [(f"{s}_{i}.jpg", of_bytes(b"%d %d" % (s, i))) for i in range(EACH)],
        )
        for s in range(SHARDS)
    ]
    write_index(folder / INDEX, parts)
    rows = [
        {"id": f"{s}_{i}", "split": "train", "image": f"{shard_name(s)}::{s}_{i}.jpg"}
        for s in range(SHARDS)
        for i in range(EACH)
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv(remote.VARIABLE, "{}")
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    forget_shards()
    yield folder
    forget_shards()


def attached(server, tmp_path, gigabytes=1.0):
    return remote.attach(f"file://{server}", str(tmp_path / "cache"), gigabytes)


def content(path):
    with open_regular(path) as file:
        return file.read()


def local(folder):
    return sorted(path.name for path in Path(folder).glob("*.tar"))


def test_a_shard_is_fetched_when_it_is_opened(server, tmp_path):
    folder = attached(server, tmp_path)
    samples = read_manifest(tmp_path / "m.jsonl", root=folder).samples
    assert local(folder) == []
    assert content(samples[5].image[0]) == b"1 1"
    assert local(folder) == ["000001.tar"]
    for path in server.glob("*.tar"):
        path.unlink()
    forget_shards()
    assert content(samples[6].image[0]) == b"1 2"  # not fetched again
    with raises(UnreadableError, f"{samples[9].image[0]}: ", "cannot be fetched", "000002.tar"):
        content(samples[9].image[0])


def test_memory_file_system(server, tmp_path):
    for path in server.iterdir():
        fsspec.filesystem("memory").pipe(f"/bucket/{path.name}", path.read_bytes())
    folder = remote.attach("memory://bucket/", str(tmp_path / "cache"), 1.0)
    assert content(f"{folder}/000003.tar::3_0.jpg") == b"3 0"


def test_the_least_recently_used_shards_make_room(server, tmp_path):
    other = tmp_path / "cache" / "mine.tar"
    other.parent.mkdir()
    other.write_bytes(bytes(50_000))
    folder = attached(server, tmp_path, 3.5 * SIZE)
    for number in (0, 1, 2, 0, 3):
        forget_shards()
        content(f"{folder}/{shard_name(number)}::{number}_0.jpg")
    assert local(folder) == ["000000.tar", "000002.tar", "000003.tar"]
    assert other.exists()  # only the folders of URLs are cleaned


def test_what_is_fetched_is_compared_with_the_index(server, tmp_path):
    folder = attached(server, tmp_path)
    data = bytearray((server / "000000.tar").read_bytes())
    (server / "000001.tar").write_bytes(data[:-512])
    data[513] ^= 1
    (server / "000000.tar").write_bytes(data)
    with raises(UnreadableError, "000000.tar::0_0.jpg: ", "has another content"):
        content(f"{folder}/000000.tar::0_0.jpg")
    with raises(UnreadableError, "000001.tar::1_0.jpg: ", "has another size"):
        content(f"{folder}/000001.tar::1_0.jpg")
    assert local(folder) == []
    assert not list(Path(folder).glob(".*.part"))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("nothing://x", ["data.root=nothing://x: ", "no file system"]),
        ("simplecache::file:///x", ["data.root=", "no file system"]),
        ("file:///no/such/folder", ["data.root=file:///no", "cannot be fetched", "action=shard"]),
    ],
)
def test_urls_that_cannot_be_read(url, parts, server, tmp_path):
    with raises(ConfigError, *parts):
        remote.attach(url, str(tmp_path / "cache"), 1.0)


def test_rows_with_urls_are_refused(server, tmp_path):
    folder = attached(server, tmp_path)
    row = {"id": "a", "split": "train", "image": f"file://{server}/000000.tar::0_0.jpg"}
    (tmp_path / "u.jsonl").write_text(json.dumps(row))
    with raises(DataError, "u.jsonl:1: image: ", "is a URL"):
        read_manifest(tmp_path / "u.jsonl", root=folder)


def test_the_next_windows_are_fetched_ahead(server, tmp_path):
    folder = attached(server, tmp_path)
    samples = read_manifest(tmp_path / "m.jsonl", root=folder).samples
    shards, paths = shard_paths(samples)
    order = ShardOrder(len(samples), 2, 0, shards, 2, paths)
    windows = [set(window.tolist()) for _, window in order.shards_by_window(0)]
    fetched = []

    class Recorder:
        def begin(self, found):
            fetched.append({paths.index(path) for path in found})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmtx_cli.data.sampling.shard_order.ReadAhead", Recorder)
        batches = order.run(0, 12, None)
        next(batches)
        assert fetched == windows[:2]
        assert len(list(batches)) == 11
        assert fetched == windows
        fetched.clear()
        next(order.run(9, 12, None))  # resumed within the last window
        assert fetched == windows[2:]
    ahead = remote.ReadAhead()
    ahead.begin(paths[:3])
    ahead.pool.shutdown(wait=True)
    assert local(folder) == [shard_name(i) for i in range(3)]


def _read_all(folder, results):
    forget_shards()
    results.put([content(f"{folder}/{shard_name(s)}::{s}_1.jpg") for s in range(SHARDS)])


def test_several_processes_fetch_with_little_room(server, tmp_path):
    folder = attached(server, tmp_path, 2.5 * SIZE)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_read_all, args=(folder, results)) for _ in range(3)]
    for process in processes:
        process.start()
    expected = [b"%d 1" % s for s in range(SHARDS)]
    assert [results.get(timeout=60) for _ in processes] == [expected] * 3
    for process in processes:
        process.join()
    assert len(local(folder)) <= 2
    assert os.environ[remote.VARIABLE]


def test_a_shard_that_was_replaced_on_the_server_is_fetched_again(server, tmp_path):
    folder = attached(server, tmp_path)
    assert content(f"{folder}/000000.tar::0_0.jpg") == b"0 0"
    assert content(f"{folder}/000001.tar::1_0.jpg") == b"1 0"
    parts = [ShardIndex(str(server)).part(i) for i in range(SHARDS)]
    parts[0] = write_tar(server / "000000.tar", [("0_0.jpg", of_bytes(b"new"))])
    write_index(server / "new", parts)
    (server / "new").replace(server / INDEX)  # it is mapped
    forget_shards()
    attached(server, tmp_path)  # by a further run; the new shard has the same size
    assert local(folder) == ["000001.tar"]
    assert content(f"{folder}/000000.tar::0_0.jpg") == b"new"


def test_shards_that_were_indexed_without_checksums(server, tmp_path):
    parts = [scan_shard(str(server / shard_name(s)), {}).part for s in range(SHARDS)]
    write_index(server / INDEX, parts)
    folder = attached(server, tmp_path)
    for _ in range(2):
        forget_shards()
        assert content(f"{folder}/000002.tar::2_1.jpg") == b"2 1"


def test_a_shard_larger_than_the_cache(server, tmp_path):
    folder = attached(server, tmp_path, 0.5 * SIZE)
    with raises(UnreadableError, "10,240 bytes, more than data.shard_cache_size"):
        content(f"{folder}/000000.tar::0_0.jpg")


def test_a_process_that_is_forked_during_a_fetch_holds_no_lock(tmp_path):
    path = str(tmp_path / "lock")
    context = multiprocessing.get_context("fork")
    end = context.Event()
    with remote._locked(path):
        forked = context.Process(target=end.wait, args=(60,))
        forked.start()
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it is held
    finally:
        os.close(descriptor)
        end.set()
        forked.join()
