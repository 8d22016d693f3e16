import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmtx_cli.data.importer.formats import pickled
from mmtx_cli.data.importer.formats.pickled import plain, read_pickle
from mmtx_cli.errors import DataError
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
    message = refused({"train": Call(os.system, f"touch {mark}")}, tmp_path, protocol)
    mentions(message, "posix.system", "executed")
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
        b"mmtx_cli.data.importer.formats.pickled\nread_pickle",
    ],
)
def test_nothing_but_stand_ins_can_be_named(name, tmp_path):
    message = refused(b"c" + name + b"\n.", tmp_path)
    dotted = name.decode().replace("\n", ".").replace("__builtin__", "builtins")
    mentions(message, f" {dotted},", "array")


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
def test_a_hostile_array_is_reported(name, tmp_path):
    found = read(State(*HOSTILE_STATES[name]), tmp_path)
    with raises(ValueError, "array", "read"):
        plain(found)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_files_are_reported(tmp_path_factory, junk, place):
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


def shared(levels, width=10_000):
    """Lists in lists, each ten thousand times the one below: kilobytes that stand for 10^40."""
    value = ["x"] * width
    for _ in range(levels):
        value = [value] * width
    return value


def test_one_list_in_a_thousand_places(tmp_path):
    objects = np.empty(1, dtype=object)
    objects[0] = shared(9)
    for value in (shared(10), objects):
        with pytest.raises(ValueError, match=f"{pickled.MAX_VALUES:,}"):
            plain(read({"x": value}, tmp_path)["x"])


def test_a_list_in_itself(tmp_path):
    value = [1]
    value.append(value)
    with pytest.raises(ValueError, match="64 levels"):
        plain(read({"x": value}, tmp_path)["x"])


def test_one_text_that_is_made_bytes_a_thousand_times(tmp_path):
    """Protocol 2 stores bytes as a text and a call: the call may be repeated."""
    text = b"\x80\x02c_codecs\nencode\nq\x00X\x10\x27\x00\x00" + b"a" * 10_000 + b"q\x01"
    text += b"X\x06\x00\x00\x00latin1q\x02\x86R"
    assert read(text + b".", tmp_path) == b"a" * 10_000
    message = refused(text + b"0h\x00h\x01h\x02\x86R" * 1000 + b".", tmp_path)
    assert "more bytes than the file" in message


def test_bytes_allocated_for_a_number(tmp_path):
    call = Call(from_numpy(), 10**12, np.dtype("u1"), (10**12,), "C")
    assert "arrays of int" in refused({"x": call}, tmp_path)


def from_numpy():
    from numpy._core.numeric import _frombuffer

    return _frombuffer


def test_more_objects_than_a_file_may_build(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "MAX_OPCODES", 1000)
    assert read([0] * 10, tmp_path) == [0] * 10
    assert "1,000 objects" in refused([*range(2000)], tmp_path)


def test_a_pipe_in_place_of_a_pickle(tmp_path):
    os.mkfifo(tmp_path / "a.pkl")
    with pytest.raises(DataError, match="named pipe"):
        read_pickle(tmp_path / "a.pkl")
