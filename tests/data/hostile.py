"""Files that no honest program writes, and what a call of a function costs at most."""

import io
import os
import resource
import signal
import struct
import traceback
from contextlib import contextmanager

import numpy as np
from PIL import Image

MEGABYTE = 10**6
_UNIT = 1 if os.uname().sysname == "Darwin" else 1024


def peak_memory(function, *args):
    """Bytes that a call takes beyond what this process has, measured in a copy of it."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with open("/proc/self/statm") as file:
                before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            function(*args)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
            os.write(write, struct.pack("<q", peak - before))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the call failed; see above"
    return struct.unpack("<q", found)[0]


@contextmanager
def not_waiting(seconds=60):
    """Fail, in place of a wait without end, where something blocks."""

    def fail(*_):
        raise AssertionError("it blocks")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def jpeg(progressive=True, size=(48, 32), **kwargs):
    """A photograph of sorts."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels).resize(size)
    picture.save(buffer, "JPEG", progressive=progressive, **kwargs)
    return buffer.getvalue()


def many_scans(data, count):
    """A progressive JPEG whose last scan comes ``count`` times more."""
    last = data.rindex(b"\xff\xda")
    end = data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]
