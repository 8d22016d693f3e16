"""What children are asked to do in the tests: importable, and quickly, without torch."""

import os
import signal
import sys
import time

from mmtx_cli.media.errors import UnreadableError


def own_pid(path):
    return os.getpid()


def double(path, value):
    return value * 2


def sleep(path, seconds):
    time.sleep(seconds)


def hold_the_lock(path):
    # as a decoder that hangs without giving Python's lock back: no signal handler of Python runs
    import ctypes

    ctypes.PyDLL(None).pause()


def crash(path, number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(path, status):
    os._exit(status)


def unreadable(path):
    raise UnreadableError(path, "truncated")


def bug(path):
    raise KeyError("a bug of ours")


class AwkwardError(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def awkward_bug(path):
    raise AwkwardError(1, 2)


def unsendable(path):
    return lambda: None


def facts(path):
    descriptors = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    print("a decoder that prints")
    return {
        "threads": sys.modules["torch"].get_num_threads(),
        "descriptors": len(descriptors) - 1,  # the listing's own
        "interrupt": signal.getsignal(signal.SIGINT),
    }


def hoard(path, how, size):
    import numpy as np

    if how == "numpy":
        return np.empty(size, np.uint8)
    if how == "bytes":
        return bytearray(size)
    import torch

    return torch.empty(size, dtype=torch.uint8)


def waste(path, size):
    bytearray(size)


def send_raw(path, data):
    """Write to every pipe, as a decoder that was taken over could, and end."""
    for descriptor in range(3, 1024):
        try:
            os.write(descriptor, data)
        except OSError:
            continue
    os._exit(0)


class Unprintable:
    """A value that is not plain data, for whose text there is no memory."""

    def __repr__(self):
        raise MemoryError


def unprintable(path):
    return Unprintable()
