"""Answers of a decoding process: everything honest arrives, and nothing can be executed."""

import json
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.errors import ConfigError
from mmtx_cli.media.errors import NoVideoError, OutsideError, UnreadableError
from mmtx_cli.media.video.decode import Clip
from mmtx_cli.media.video.facts import VideoFacts
from mmtx_cli.media.worker.ipc import OversizedError, framed, receive
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.serialization import (
    MAX_ARRAYS,
    MAX_HEADER,
    MalformedError,
    pack_error,
    pack_value,
    unpack_answer,
)
from tests.media.guarded import double, hoard, own_pid, send_raw, unprintable, waste
from tests.messages import raises

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


def sent(value):
    found, error, trace = unpack_answer(pack_value(value)[1:])
    assert error is trace is None
    return found


@given(plain)
def test_plain_values_arrive(value):
    found = sent(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "<i2", ">i4", "float16", ">f8", "complex64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (2, 3, 4)])
def test_arrays_arrive(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    found = sent([array, array.T])
    assert found[0].shape == shape
    assert found[0].dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found[0], array)
    np.testing.assert_array_equal(found[1], array.T)


def test_records_arrive():
    clip = Clip(torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2), [0.0, 0.5])
    found = sent(clip)
    assert torch.equal(found.frames, clip.frames)
    assert found.seconds == clip.seconds
    facts = VideoFacts(0.0, 1.5, None, 4, 6, True, "h264")
    assert sent(facts) == facts


@pytest.mark.parametrize(
    "error",
    [
        UnreadableError("a", "damaged"),
        OutsideError("a", "too late"),
        NoVideoError("a", "none"),
        ConfigError("a", "b"),
        KeyError("a"),
        OSError(5, "gone"),
    ],
)
def test_errors_arrive(error):
    _, found, trace = unpack_answer(pack_error(error, "where")[1:])
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert trace == "where"


@pytest.mark.parametrize("value", [object(), {1: 2}, b"x", {"a": np.array([object()])}, print])
def test_what_is_not_plain_cannot_be_sent(value):
    with pytest.raises(TypeError):
        pack_value(value)


def header(node):
    return json.dumps(node).encode()


ARRAY = {"array": 1, "dtype": "float32", "shape": [2]}
HOSTILE = {
    "a pickle": pickle.dumps(print),
    "no JSON": b"{",
    "nothing": b"",
    "deep": b'{"value": ' + b"[" * 100_000,
    "no value": header({"other": 1}),
    "an unknown node": header({"value": {"call": "os.system", "args": ["true"]}}),
    "a class that is no record": header({"value": {"record": "Popen", "fields": ["true"]}}),
    "a record of too many fields": header({"value": {"record": "Clip", "fields": [1, 2, 3]}}),
    "objects": header({"value": ARRAY | {"dtype": "object"}}),
    "a type in letters": header({"value": ARRAY | {"dtype": "i4,O"}}),
    "an attribute of torch": header({"value": ARRAY | {"tensor": 1, "dtype": "load"}}),
    "more numbers than there are": header({"value": ARRAY | {"shape": [2_000_000_000]}}),
    "negative sides": header({"value": ARRAY | {"shape": [-1, -2]}}),
    "sides that are none": header({"value": ARRAY | {"shape": [2.0]}}),
    "an array that is not there": header({"value": ARRAY | {"array": 7}}),
    "an error that is none": header({"error": "exec", "args": ["1"], "trace": None}),
    "an exit": header({"error": "SystemExit", "args": [0], "trace": None}),
    "an error of objects": header({"error": "ValueError", "args": [[]], "trace": None}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_honest_process_answers_is_refused(name):
    parts = [memoryview(HOSTILE[name]), memoryview(np.ones(2, np.float32)).cast("B")]
    with pytest.raises(MalformedError):
        unpack_answer(parts)


@pytest.mark.parametrize(
    "sizes", [[], [MAX_HEADER + 1], [5, 1 << 40], [1] * (MAX_ARRAYS + 1), [1 << 63]]
)
def test_nothing_is_made_room_for_that_is_too_large(sizes):
    given = iter([np.array([len(sizes)], "<u8").tobytes(), np.array(sizes, "<u8").tobytes()])

    def fill(view):
        view[:] = next(given)

    with pytest.raises(OversizedError):
        receive(fill, MAX_HEADER, MAX_ARRAYS, 10**9)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_decoder_that_was_taken_over_executes_nothing(tmp_path):
    guard = IsolatedDecoder(300.0)
    bomb = pickle.dumps((Bomb(str(tmp_path / "made")), None, None))
    honest = json.dumps({"value": 5}).encode()
    for parts in ([bomb], [b"x" * 100, b""], [honest, b"x" * 100], []):
        raw = b"".join(bytes(part) for part in framed([memoryview(part) for part in parts]))
        first = guard.run(own_pid, "a.mp4")
        if parts[:1] == [honest]:  # spare parts do no harm
            assert guard.run(send_raw, "bad.mp4", raw) == 5
            guard.close()  # it may not have ended yet
        else:
            with raises(UnreadableError, "bad.mp4: ", "decoder", "response"):
                guard.run(send_raw, "bad.mp4", raw)
        assert guard.run(own_pid, "a.mp4") != first
    assert not (tmp_path / "made").exists()
    guard.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is of Linux")
@pytest.mark.parametrize("how", ["numpy", "bytes", "torch"])
def test_more_memory_than_allowed_costs_one_call(how):
    guard = IsolatedDecoder(300.0, memory=200_000_000)
    assert len(guard.run(hoard, "a.mp4", "numpy", 20_000_000)) == 20_000_000
    with raises(UnreadableError, "a.mp4: ", "too large", "data.decode_memory"):
        guard.run(hoard, "a.mp4", how, 300_000_000)
    assert guard.run(double, "a.mp4", 4) == 8
    guard.close()


@pytest.mark.parametrize("how", ["numpy", "torch"])
def test_a_value_beyond_the_limit_costs_one_call(how, monkeypatch):
    """The kernel's limit is above the given one where the process has given memory back."""
    monkeypatch.setattr("mmtx_cli.media.worker.child.limit_memory", lambda memory: False)
    guard = IsolatedDecoder(300.0, memory=20_000_000)
    with raises(UnreadableError, "a.mp4: ", "too large", "data.decode_memory"):
        guard.run(hoard, "a.mp4", how, 30_000_000)
    assert guard.run(double, "a.mp4", 4) == 8
    guard.close()


def test_memory_that_runs_out_while_a_value_is_packed():
    guard = IsolatedDecoder(300.0)
    with raises(UnreadableError, "a.mp4: ", "too large", "data.decode_memory"):
        guard.run(unprintable, "a.mp4")
    guard.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is of Linux")
def test_memory_that_is_let_go_of_counts_no_more():
    guard = IsolatedDecoder(300.0, memory=200_000_000)
    for _ in range(4):
        assert guard.run(waste, "a.mp4", 120_000_000) is None
    guard.close()
