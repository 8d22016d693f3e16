"""Features that take more memory than they may: refused by what they declare."""

import io
import sys
import zipfile

import numpy as np
import pytest
import torch

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits
from tests.data.features.feature_files import FORMATS, written
from tests.data.hostile import MEGABYTE, peak_memory
from tests.messages import mentions

HUGE = 2_000_000_000


def limited(memory):
    """Files of which a sample may take that many bytes."""
    return FeatureFiles(DecodeLimits(memory=memory / 10**9))


def reason(place, memory=None, most=None):
    files = FeatureFiles() if memory is None else limited(memory)
    with pytest.raises(UnreadableError) as error:
        files.read(place, most=most)
    return error.value.reason


def header(shape, dtype="<f4"):
    """The beginning of an ``.npy``."""
    buffer = io.BytesIO()
    given = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, given)
    return buffer.getvalue()


def npy(path):
    with open(path, "wb") as file:
        file.write(header((HUGE,)))
        file.truncate(len(header((HUGE,))) + 4 * HUGE)  # a sparse file
    return FeaturePlace(str(path))


def npz_of_declared_numbers(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header((HUGE,)) + bytes(100))
    return FeaturePlace(str(path), "x")


def npz_of_declared_bytes(path):
    """The zip's own directory declares what it unpacks to."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header((2,)) + bytes(8))
    size = len(header((2,))) + 8
    data = path.read_bytes().replace(size.to_bytes(4, "little"), (4 * 10**9).to_bytes(4, "little"))
    path.write_bytes(data)
    return FeaturePlace(str(path), "x")


def hdf5(path, **options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", dtype="f4", **options)
    return FeaturePlace(str(path), "x")


def hdf5_of_wide_vectors(path):
    return hdf5(path, shape=(HUGE,), chunks=(1_000_000,), compression="gzip")


def hdf5_of_large_chunks(path):
    """One row of few numbers, which lies in a chunk of 4 GB."""
    options = {"chunks": (1000, 500_000), "compression": "gzip"}
    return hdf5(path, shape=(1000, 500_000), **options)


def torch_of_repeated_numbers(path):
    torch.save(torch.ones(1).expand(HUGE), path)
    return FeaturePlace(str(path))


HOSTILE = {
    ".npy": [npy],
    ".npz": [npz_of_declared_numbers, npz_of_declared_bytes],
    ".h5": [hdf5_of_wide_vectors, hdf5_of_large_chunks],
    ".pt": [torch_of_repeated_numbers],
}
MAKERS = [(suffix, make) for suffix, makers in HOSTILE.items() for make in makers]


@pytest.mark.parametrize(("suffix", "make"), MAKERS, ids=[make.__name__ for _, make in MAKERS])
def test_nothing_is_made_of_what_is_too_large(tmp_path, suffix, make):
    place = make(tmp_path / f"a{suffix}")
    if make is hdf5_of_large_chunks:
        place = FeaturePlace(place.path, place.key, 3)
    message = reason(place)
    mentions(message, "too large", " GB", "data.decode_memory=1.5 ")
    if sys.platform == "linux":
        assert peak_memory(reason, place) < 100 * MEGABYTE


@pytest.mark.parametrize("name", FORMATS)
def test_the_limit_is_the_memory_of_one_sample(tmp_path, name):
    array = np.ones((500, 4))
    place = written(tmp_path, name, array)
    assert limited(array.size * (8 + 4) + 2000).read(place).shape == array.shape
    assert "too large" in reason(place, memory=array.size * 4)


def test_vectors_that_are_not_read_do_not_count(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10_000, 10), np.float32))
    place = FeaturePlace(str(tmp_path / "a.npy"))
    assert limited(100_000).read(place, most=1000).shape == (1000, 10)
    assert "too large" in reason(place, memory=100_000, most=2000)
    row = FeaturePlace(place.path, None, 9999)
    assert limited(100).read(row).shape == (1, 10)


@pytest.mark.parametrize("dtype", ["S9", "V8", "datetime64[s]"])
def test_what_is_no_number_is_not_read(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros(3, dtype))
    message = reason(FeaturePlace(str(tmp_path / "a.npy")))
    assert "not numbers" in message
