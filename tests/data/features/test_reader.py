import multiprocessing
import os
import pickle
import re
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmtx_cli.data.features.reader import MAX_OPEN_FILES, FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from tests.data.features.feature_files import FORMATS, written
from tests.messages import faults_mention, mentions, mentions_missing, raises

X = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)
by_format = pytest.mark.parametrize("name", FORMATS)


def reason(place, width=None):
    with pytest.raises(UnreadableError) as caught:
        FeatureFiles().read(place, width)
    assert caught.value.path == place.path
    return caught.value.reason


@by_format
def test_a_sequence_a_vector_and_rows_of_a_stack(name, tmp_path):
    files = FeatureFiles()
    np.testing.assert_array_equal(files.read(written(tmp_path, name, X, row=2)), X[2])
    assert files.read(written(tmp_path, name, X, row=2), 3, most=4).tolist() == X[2, :4].tolist()
    files.close()
    np.testing.assert_array_equal(files.read(written(tmp_path, name, X, row=1), most=99), X[1])
    files.close()
    np.testing.assert_array_equal(files.read(written(tmp_path, name, X[0])), X[0])
    files.close()
    np.testing.assert_array_equal(files.read(written(tmp_path, name, X[0], row=6)), X[0, 6:])
    files.close()
    np.testing.assert_array_equal(files.read(written(tmp_path, name, X[0, 0])), X[0, :1])


@given(
    arrays.arrays(
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, ">f4"]),
        arrays.array_shapes(min_dims=1, max_dims=2, max_side=6),
        elements={"min_value": 0, "max_value": 100},
    ),
    st.sampled_from(["npy", "npz", "hdf5"]),
    st.integers(1, 8),
)
def test_numbers_of_any_kind_come_as_they_are(array, name, most):
    with tempfile.TemporaryDirectory() as folder:
        found = FeatureFiles().read(written(Path(folder), name, array), most=most)
    assert found.dtype == np.float32
    wanted = array[None] if array.ndim == 1 else array[:most]
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def test_numbers_that_numpy_has_not(tmp_path):
    from safetensors.torch import save_file

    x = torch.randn(4, 6).bfloat16()
    save_file({"k": x}, tmp_path / "a.safetensors")
    torch.save(x, tmp_path / "a.pt")
    for place in (
        FeaturePlace(str(tmp_path / "a.safetensors"), "k"),
        FeaturePlace(str(tmp_path / "a.pt")),
    ):
        np.testing.assert_array_equal(FeatureFiles().read(place), x.float().numpy())


@by_format
def test_arrays_that_are_no_sequence_are_reported(name, tmp_path):
    mentions(reason(written(tmp_path, name, X)), "[5, 7, 3]", "[c]", "[l, c]")
    mentions(reason(written(tmp_path, name, X, row=5)), "row 5", "[5, 7, 3]")


@by_format
def test_non_finite_values_are_reported(name, tmp_path):
    bad = X.copy()
    bad[2, 1, 0], bad[2, 3, 2] = np.nan, -np.inf
    place = written(tmp_path, name, bad, row=2)
    key = f"key {place.key}, " if place.key else ""
    faults_mention([reason(place)], (f"{key}row 2: ", "2 of 21 ", "NaN", "infinite"))
    FeatureFiles().read(FeaturePlace(place.path, place.key, 1))


def test_a_number_too_large_for_32_bits_is_infinite(tmp_path):
    mentions(reason(written(tmp_path, "npy", np.array([1.0, 1e300]))), "1 of 2 ", "infinite")


def test_a_wrong_width_is_reported_with_both_sizes(tmp_path):
    place = written(tmp_path, "npy", X[0])
    mentions(reason(place, 74), "vectors", " 3 ", " 74")


@by_format
def test_damaged_files_and_missing_ones(name, tmp_path):
    place = written(tmp_path, name, X, row=1)
    whole = Path(place.path).read_bytes()
    for content in (b"", b"junk" * 30, whole[: len(whole) // 2]):
        Path(place.path).write_bytes(content)
        assert reason(place)
    Path(place.path).unlink()
    mentions_missing(reason(place))


def test_missing_keys(tmp_path):
    for name in ("npz", "pt of several", "safetensors"):
        place = written(tmp_path, name, X)
        mentions(reason(FeaturePlace(place.path, "kk")), "key", "'kk'", "'k'")
    place = written(tmp_path, "pt of several", X)
    assert re.search(r"\bkey\b.*\bk\b", reason(FeaturePlace(place.path)))
    place = written(tmp_path, "pt", X)
    mentions(reason(FeaturePlace(place.path, "k")), "unnamed tensor")
    place = written(tmp_path, "hdf5", X)
    assert re.search(r"\bgroup\b.*\bgroup\b.*\bk\b", reason(FeaturePlace(place.path, "group")))


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_nothing_is_unpickled(suffix, tmp_path):
    evil, path = Evil(), str(tmp_path / f"a{suffix}")
    evil.mark = tmp_path / "mark"
    if suffix == ".pt":
        torch.save({"k": evil}, path)
    else:
        save = {".npy": np.save, ".npz": lambda at, x: np.savez(at, k=x)}[suffix]
        save(path, np.array([evil], dtype=object))
    message = reason(FeaturePlace(path, None if suffix == ".npy" else "k"))
    mentions(message, "pickled")
    Path(path).write_bytes(pickle.dumps(evil))
    assert reason(FeaturePlace(path, None if suffix == ".npy" else "k"))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["link", "raw", "virtual"])
def test_hdf5_leads_to_no_other_file(kind, tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "outside").write_bytes(X.tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["k"] = X[0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "link":
            file["k"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "k")
        elif kind == "raw":
            where = [(str(tmp_path / "outside"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset("k", (7, 3), "f4", external=where)
        else:
            layout = h5py.VirtualLayout((7, 3), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "k", (7, 3))
            file.create_virtual_dataset("k", layout)
    mentions(reason(FeaturePlace(str(tmp_path / "a.h5"), "k")), "key k", "elsewhere")


def test_without_h5py_the_package_to_install_is_named(tmp_path, monkeypatch):
    place = written(tmp_path, "hdf5", X, row=0)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with raises(DataError, "pip install mmtx[hdf5]") as caught:
        FeatureFiles().read(place)
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("name", ["npy", "pt", "safetensors", "hdf5"])
def test_a_row_does_not_cost_the_file(name, tmp_path):
    big = np.ones((2000, 10, 50), dtype=np.float32)  # 4 MB
    place, files = written(tmp_path, name, big, row=1000), FeatureFiles()
    files.read(place)
    tracemalloc.start()
    files.read(FeaturePlace(place.path, place.key, 1500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


def test_the_last_files_stay_open_and_no_more(tmp_path):
    files = FeatureFiles()
    for i in range(MAX_OPEN_FILES + 5):
        np.save(tmp_path / f"{i}.npy", X[0] + i)
    places = [FeaturePlace(str(tmp_path / f"{i}.npy")) for i in range(MAX_OPEN_FILES + 5)]
    kept = files.read(places[0])
    for i, place in enumerate(places):
        np.testing.assert_array_equal(files.read(place), X[0] + i)
    assert list(files.files) == [place.path for place in places[5:]]
    np.testing.assert_array_equal(kept, X[0])


def read_in_child(files, places, queue):
    owner = files.owner
    queue.put(([files.read(place).sum().item() for place in places], owner != files.owner))


@by_format
def test_a_forked_process_opens_its_own_files(name, tmp_path):
    place, files = written(tmp_path, name, X, row=0), FeatureFiles()
    files.read(place)
    places = [FeaturePlace(place.path, place.key, i) for i in range(5)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=read_in_child, args=(files, places, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    wanted = [pytest.approx(x.sum(), abs=1e-4) for x in X]
    for _ in workers:
        sums, anew = queue.get(timeout=60)
        assert sums == wanted
        assert anew or name == "hdf5"  # which yet another process opens
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(files.read(places[4]), X[4])


def test_open_files_are_not_sent_to_another_process(tmp_path):
    place, files = written(tmp_path, "hdf5", X, row=3), FeatureFiles()
    files.read(place)
    copy = pickle.loads(pickle.dumps(files))
    assert not copy.files
    np.testing.assert_array_equal(copy.read(place), X[3])
