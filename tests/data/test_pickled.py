import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmtx_cli.data.importer.pickled import plain, read_pickle
from mmtx_cli.error import DataError
from tests.messages import mentions, raises

KINDS = ["<f4", ">f8", "<f2", "<i8", "|u1", "|b1", "<U5", "|S4"]


def read(content, folder, protocol=4):
    path = folder / "a.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return read_pickle(path)


def refused(content, folder, protocol=4):
    with pytest.raises(DataError) as caught:
        read(content, folder, protocol)
    assert str(caught.value).startswith(f"{folder}/a.pkl: ")
    return str(caught.value)


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: arrays.arrays(np.dtype(kind), arrays.array_shapes(max_dims=3, max_side=4))
    ),
    st.integers(0, 5),
    st.booleans(),
)
def test_arrays_come_back(tmp_path_factory, array, protocol, fortran):
    array = np.asfortranarray(array) if fortran else array
    folder = tmp_path_factory.mktemp("pickle")
    found = plain(read({"x": array}, folder, protocol)["x"])
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("protocol", range(6))
def test_everything_else_that_such_files_hold(protocol, tmp_path):
    content = OrderedDict(
        texts=["ein Straße", "b"],
        objects=np.array(["a", "日本", b"c"], dtype=object),
        scalars=[np.float32(2.5), np.int64(7), np.str_("x")],
        plain=(1, 2.5, None, True, b"raw", b""),
        names={"a", "b"},
    )
    found = read(content, tmp_path, protocol)
    assert isinstance(found, OrderedDict)
    assert found["texts"] == content["texts"]
    assert plain(found["objects"]).tolist() == ["a", "日本", b"c"]
    assert plain(found["scalars"]) == [2.5, 7, "x"]
    assert plain(found["plain"]) == [1, 2.5, None, True, b"raw", b""]
    assert found["names"] == {"a", "b"}


@pytest.mark.parametrize(("old", "new"), [("numpy._core", "numpy.core"), ("numpy.core",) * 2])
def test_files_of_either_numpy(old, new, tmp_path):
    """Their own module is in another place since numpy 2."""
    array = np.arange(6.0).reshape(2, 3)
    raw = pickle.dumps(array, 2).replace(old.encode(), new.encode())
    assert new.encode() in raw or old == new
    np.testing.assert_array_equal(plain(read(raw, tmp_path)), array)


def test_files_of_python_2(tmp_path):
    """Protocol 2 as Python 2 wrote it: raw bytes as a text, the module __builtin__."""
    array = np.array([1.5, -2.0], dtype="<f4")
    raw = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08" + array.tobytes() + b"tb."
    )
    np.testing.assert_array_equal(plain(read(raw, tmp_path)), array)


class Call:
    """Pickles as a call of something."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_refused_by_name_and_does_nothing(protocol, tmp_path):
    mark = tmp_path / "mark"
    told = refused({"train": Call(os.system, f"touch {mark}")}, tmp_path, protocol)
    mentions(told, "posix.system", "executed")
    assert "builtins.eval" in refused(Call(eval, f"open({str(mark)!r}, 'w')"), tmp_path, protocol)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        b"numpy\nload",
        b"numpy\nf2py.compile",
        b"numpy._core.multiarray\n_reconstruct.__globals__",
        b"builtins\ngetattr",
        b"builtins\n__import__",
        b"__builtin__\napply",
        b"copyreg\n_reconstructor",
        b"functools\npartial",
        b"mmtx_cli.data.importer.pickled\nread_pickle",
    ],
)
def test_nothing_but_stand_ins_can_be_named(name, tmp_path):
    told = refused(b"c" + name + b"\n.", tmp_path)
    dotted = name.decode().replace("\n", ".").replace("__builtin__", "builtins")
    mentions(told, f" {dotted},", "array")


HOSTILE_STATES = {
    "objects made of bytes": ((2,), "O8", b"\xff" * 16),
    "more than there is": ((10**9,), "f8", b"\x00" * 8),
    "less than a number": ((1,), "f8", b"\x00" * 3),
    "fields": ((1,), "V16", b"\x00" * 16),
    "no kind": ((1,), "f4,O", b"\x00" * 12),
    "a negative shape": ((-5, 3), "f4", b"\x00" * 8),
}


class State:
    """An array with a state of one's own choice."""

    def __init__(self, shape, code, content):
        self.state = (1, shape, Kind(code), False, content)

    def __reduce__(self):
        from numpy._core.multiarray import _reconstruct

        return _reconstruct, (np.ndarray, (0,), b"b"), self.state


class Kind:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return np.dtype, (self.code, False, True), (3, "|", None, None, None, -1, -1, 0)


@pytest.mark.parametrize("name", HOSTILE_STATES)
def test_a_hostile_array_is_told(name, tmp_path):
    found = read(State(*HOSTILE_STATES[name]), tmp_path)
    with raises(ValueError, "array", "read"):
        plain(found)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_files_are_told(tmp_path_factory, junk, place):
    folder = tmp_path_factory.mktemp("pickle")
    raw = pickle.dumps({"x": np.arange(9.0), "y": ["a", "b"]})
    place = min(place, len(raw))
    for content in (junk, raw[:place], raw[:place] + junk):
        try:
            found = read(content, folder)
        except DataError:
            continue
        assert not isinstance(found, type)


def test_no_file(tmp_path):
    with raises(DataError, f"{tmp_path / 'no.pkl'}: No such file or directory", "source= "):
        read_pickle(tmp_path / "no.pkl")
