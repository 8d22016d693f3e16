"""Feature files that take memory or time by what is packed in them, or that lead elsewhere."""

import io
import os
import pickle
import time
import zipfile
import zlib
from functools import partial

import numpy as np
import pytest
import torch

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.importer.mmimdb import MmImdb
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted import torch_file, zip_file
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits
from tests import hostile
from tests.data.hostile import MEGABYTE, not_waiting, peak_memory
from tests.data.importer import mmimdb_file
from tests.messages import faults_mention, mentions, raises

h5py = pytest.importorskip("h5py")


def reason(path, key="x", **limits):
    files = FeatureFiles(DecodeLimits(**limits))
    with pytest.raises(UnreadableError) as error:
        files.read(FeaturePlace(str(path), key))
    files.close()
    return error.value.reason


def zeros(size):
    """Zeros, packed to a two-hundredth."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(size >> 20)), packer.flush()])


def bomb(path, size):
    """A chunk of 40 bytes by its shape, which unpacks to ``size``."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", (10,), "f4", chunks=(10,), compression="gzip")
        made.id.write_direct_chunk((0,), zeros(size))
    return path


def test_a_chunk_that_unpacks_to_more_than_its_shape(tmp_path):
    path = bomb(tmp_path / "a.h5", 600 * 2**20)
    assert os.path.getsize(path) < 5 * MEGABYTE
    assert peak_memory(partial(reason, path, memory=0.1)) < 100 * MEGABYTE


def slow(path):
    """A million chunks of a number each."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1_000_000, 1), "f4", chunks=(1, 1))
    return path


def test_a_file_that_takes_long_is_given_up(tmp_path):
    begun = time.monotonic()
    mentions(reason(slow(tmp_path / "a.h5"), seconds=0.1), "longer than 0.1 s")
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("kind", ["external", "soft", "soft in a group", "a group that is a link"])
def test_no_link_is_followed(kind, tmp_path):
    """To open a pipe is to wait for ever."""
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["own/x"] = np.ones((2, 3))
        match kind:
            case "external":
                file["x"] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "x")
            case "soft":
                file["x"] = h5py.SoftLink("/own/x")
            case "soft in a group":
                file["own/y"] = h5py.ExternalLink("pipe.h5", "x")
                file["x"] = h5py.SoftLink("/own/y")
            case "a group that is a link":
                file["there"] = h5py.ExternalLink("pipe.h5", "/")
    key = "there/x" if "group that" in kind else "x"
    with not_waiting():
        mentions(reason(tmp_path / "a.h5", key), f"key {key}", "elsewhere")


def test_many_names_are_not_listed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(20):
            file[f"group/name{i:02}"] = 1.0
    message = reason(tmp_path / "a.h5", "group")
    faults_mention([message], ("key group ", "name00, name01, name02, name03, name04, …"))
    assert "name05" not in message


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_numpy_does_not_write(packing, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
        archive.writestr("x.npy", buffer.getvalue())
    mentions(reason(tmp_path / "a.npz"), "x.npy ", "compressed")


def test_an_index_of_many_members(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", **{f"x{i}": np.ones(1) for i in range(50)})
    monkeypatch.setattr(zip_file, "MAX_INDEX_BYTES", 2000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    mentions(reason(tmp_path / "a.npz"), "index", "2,000 bytes")


@pytest.mark.parametrize("name", hostile.ARCHIVES)
def test_a_torch_file_that_unpacks_to_more_than_it_is(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_OPCODES", 100_000)
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pt")
    path = hostile.ARCHIVES[name](tmp_path / "a.pt", tmp_path / "bad.pt")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    mentions(reason(path), hostile.WHY_REFUSED[name])


@pytest.mark.parametrize("place", range(5))
def test_an_old_torch_file_that_builds_much(place, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_OPCODES", 100_000)
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with open(tmp_path / "a.pt", "rb") as file:
        before = [pickle.dumps(pickle.load(file)) for _ in range(min(place, 3))]
    bomb = b"\x80\x04(" + b"\x8f" * 200_000 + b"t."
    (tmp_path / "a.pt").write_bytes(b"".join([*before, b"\x80\x04N." * (place > 3), bomb]))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    mentions(reason(tmp_path / "a.pt"), "pickle", "checkpoint")


class TestMmImdb:
    """An import of HDF5."""

    def changed(self, folder, change):
        path = mmimdb_file.write(folder / "multimodal_imdb.hdf5")
        with h5py.File(path, "a") as file:
            del file["imdb_ids"]
            change(file)
        return path

    def test_no_link_is_followed(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.h5")
        link = h5py.ExternalLink("pipe.h5", "imdb_ids")
        path = self.changed(tmp_path, lambda file: file.__setitem__("imdb_ids", link))
        with not_waiting(), raises(DataError, f"{path}: ", "imdb_ids"):
            MmImdb(path)

    def test_ids_that_take_gigabytes(self, tmp_path):
        size = 3_000_000_000
        path = self.changed(
            tmp_path, lambda file: file.create_dataset("imdb_ids", (size,), "S1", chunks=(1000,))
        )

        def refused():
            with raises(DataError, f"{path}: "):
                MmImdb(path)

        assert peak_memory(refused) < 200 * MEGABYTE
