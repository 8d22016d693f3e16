"""Main loop of the decoder process: setup, answering requests, ending with its parent."""

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from io import FileIO, TextIOWrapper
from itertools import pairwise
from typing import NoReturn

from mmtx_cli.io.allocator import keep_freed_memory
from mmtx_cli.media.errors import OUT_OF_MEMORY, UnreadableError
from mmtx_cli.media.worker.ipc import Parts, fill_from, receive, unpack_request, write
from mmtx_cli.media.worker.memory_limit import is_out_of_memory, limit_memory
from mmtx_cli.media.worker.serialization import pack_error, pack_value

# ignored, as they go to a whole process group: the parent decides when and why work ends
GROUP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
# reset, since the inherited handlers would report a crash as the parent's own
_DEFAULT = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGALRM", "SIGCHLD")
_PR_SET_PDEATHSIG = 1


def serve(requests: FileIO, results: FileIO, limit: float | None, memory: int) -> None:
    """Answer requests until their pipe is closed.

    A request that exceeds ``limit`` ends the process: where the system does not kill the children
    of a dead parent, a hanging child would otherwise run forever.

    Args:
        requests: Pipe from which requests are read.
        results: Pipe to which answers are written.
        limit: Maximum seconds per request; None for no limit.
        memory: Bytes that the process may allocate beyond what it uses at the first request.
    """
    with open(os.devnull, "w") as devnull:
        first = True
        while True:
            try:
                message = receive(lambda view: fill_from(requests, view))
            except EOFError:
                return
            if limit is not None:
                faulthandler.dump_traceback_later(limit, exit=True, file=devnull)
            answer = _answer(message, memory, first)
            faulthandler.cancel_dump_traceback_later()
            write(results, answer)
            first = False
            del message, answer  # free the pixels of a large image before waiting


def _answer(message: Parts, memory: int, first: bool) -> Parts:
    """Run a request and pack its value, or its error with a traceback (none if UnreadableError).

    ``memory`` is the limit in bytes, also of the value. It is set at the first request, after
    unpacking has imported the function. Memory that the process gives back later is free to be
    allocated, so that a value can still be too large.
    """
    try:
        function, args = unpack_request(message)
    except Exception as error:
        reason = f"cannot read the request: {error}; functions must be importable"
        return pack_error(TypeError(reason), traceback.format_exc())
    if first:
        limit_memory(memory)
    try:
        value = function(*args)
    except UnreadableError as error:
        return pack_error(error)
    except BaseException as error:
        if is_out_of_memory(error) and args:
            return pack_error(UnreadableError(str(args[0]), OUT_OF_MEMORY))
        return pack_error(error, traceback.format_exc())
    try:
        answer = pack_value(value)
        if sum(part.nbytes for part in answer) > memory:
            raise MemoryError
        return answer
    except Exception as error:
        if is_out_of_memory(error) and args:
            return pack_error(UnreadableError(str(args[0]), OUT_OF_MEMORY))
        reason = f"cannot send the return value of {function.__qualname__}: {error}"
        return pack_error(TypeError(reason), traceback.format_exc())


def live_forked(
    requests: int, results: int, parent: int | None, limit: float | None, memory: int
) -> NoReturn:
    """Run as a forked child; never return into the code of the parent.

    Signals are blocked and garbage collection is disabled when this is called.

    Args:
        requests: Descriptor from which requests are read.
        results: Descriptor to which answers are written.
        parent: ID of the process with which this one ends at once; None to rely on the pipes and
            ``limit``.
        limit: Maximum seconds per request, as for ``serve``.
        memory: Maximum bytes to allocate, as for ``serve``.
    """
    try:
        gc.freeze()  # the parent's objects must not be finalized here
        gc.enable()
        _reset_signals()
        _close_all_but({0, 1, 2, requests, results})
        _detach_output()
        if parent is not None and die_with_parent(parent):
            limit = None
        keep_freed_memory(False)  # its memory is limited
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # a fork does not inherit threads
        with FileIO(requests, "rb") as source, FileIO(results, "wb") as sink:
            serve(source, sink, limit, memory)
        os._exit(0)
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def live_spawned(limit: float | None, memory: int) -> None:
    """Run as a new interpreter that serves requests on its standard input and output."""
    _reset_signals()
    with FileIO(os.dup(0), "rb") as source, FileIO(os.dup(1), "wb") as sink:
        _detach_output()
        try:
            serve(source, sink, limit, memory)
        except BrokenPipeError:  # the parent is gone
            os._exit(0)


def set_handler(names: Iterable[str], handler: signal.Handlers) -> None:
    """Set the handler of each named signal that the system has."""
    for name in names:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def _reset_signals() -> None:
    faulthandler.disable()
    set_handler(GROUP_SIGNALS, signal.SIG_IGN)
    set_handler(_DEFAULT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(keep: set[int]) -> None:
    """Close inherited descriptors: open copies hide the parent's death from other processes."""
    edges = [-1, *sorted(keep), os.sysconf("SC_OPEN_MAX")]
    for low, high in pairwise(edges):
        if low + 1 < high:  # closerange(0, 0) closes everything in some versions of Python
            os.closerange(low + 1, high)


def _detach_output() -> None:
    """Detach standard input, and redirect output, which may be a pipe of results, to stderr."""
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # a parent without standard error
        os.dup2(devnull, 1)
    if devnull > 2:
        os.close(devnull)
    # the inherited stream objects may write elsewhere, or hold unflushed output
    output = FileIO(1, "w", closefd=False)
    sys.stdout = sys.stderr = TextIOWrapper(output, errors="backslashreplace", line_buffering=True)


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when the parent dies; return False if it cannot."""
    if sys.platform != "linux":
        return False
    is_set = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0
    if os.getppid() != parent:  # the parent died before prctl was called
        os._exit(0)
    return is_set
