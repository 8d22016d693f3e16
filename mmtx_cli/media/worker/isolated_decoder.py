"""Decoding in a child process: a file that hangs or crashes it costs one call, not the run."""

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.ipc import OversizedError, Parts, pack_request
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.media.worker.process import Child
from mmtx_cli.media.worker.serialization import MalformedError

T = TypeVar("T")

# maximum time from the end of its pipe to the exit of a process, which may write a core file
_DYING_SECONDS = 5.0


class IsolatedDecoder:
    """Run functions in a child process, started at the first call and restarted if it dies.

    Each process has its own child: a copy of this object in a forked or spawned process (such as a
    DataLoader worker) starts another one. The child ends with ``close`` and with its parent,
    however that ends.
    """

    def __init__(
        self,
        timeout: float,
        prepare: Callable[[], None] | None = None,
        memory: int = DecodeLimits().bytes,
        always: bool = False,
    ) -> None:
        """Set the limits; no child is started yet.

        Args:
            timeout: Maximum seconds per call.
            prepare: Called in this process before a child is forked from it, so that the time of
                imports does not count towards a call.
            memory: Bytes that the child may allocate beyond its initial memory, and the maximum
                size of an answer.
            always: Whether readers also decode files here whose cost is bounded.

        Raises:
            ValueError: if ``timeout`` is not above 0.
        """
        if not timeout > 0:
            raise ValueError(f"the timeout must be above 0 seconds, not {timeout}")
        self.timeout, self.prepare, self.memory, self.always = timeout, prepare, memory, always
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._child: Any = None

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``; ``args[0]`` is the path of the file that it reads.

        Arguments are pickled, return values are not (see ``serialization.py``); tensors and arrays
        are sent without copying. The function must be importable from a module.

        Raises:
            UnreadableError: if the function raises it, exceeds the timeout or the memory limit, or
                the child dies.
            TypeError: if the arguments or the return value cannot be sent.
            Exception: anything else that the function raises, with the child's traceback as a note.
        """
        try:
            request = pack_request((function, args))
        except Exception as error:
            name = getattr(function, "__qualname__", repr(function))
            raise TypeError(f"cannot send {name} and its arguments: {error}") from error
        if self._owner != os.getpid():
            self._end()  # only closes the pipes: the child belongs to another process
            self._begin()
        with self._lock:
            value, fault, text = self._ask(request, str(args[0]) if args else repr(function))
        if fault is not None:
            if text is not None:
                fault.add_note(f"in the decoding process:\n{text}")
            raise fault
        return value

    def _ask(self, request: Parts, path: str) -> tuple:
        if self._child is None or not self._child.is_alive():
            self._end()
            if self.prepare is not None:
                self.prepare()
            self._child = Child(self.timeout, self.memory)
        try:
            return self._child.ask(request, self.timeout)
        except TimeoutError:
            self._end()
            reason = f"decoding took longer than {self.timeout:g} s"
        except EOFError:
            status = self._end(_DYING_SECONDS)
            cause = f"signal {-status}" if status < 0 else f"exit status {status}"
            reason = f"the decoder crashed ({cause})"
        except (MalformedError, OversizedError):
            self._end()
            reason = "the decoder sent an invalid response"
        except BaseException:
            self._end()  # interrupted: a late answer would be taken for that of the next call
            raise
        raise UnreadableError(path, reason)

    def _end(self, grace: float = 0.0) -> int:
        child, self._child = self._child, None
        return 0 if child is None else child.end(grace)

    def close(self) -> None:
        """End the child; a later call starts a new one."""
        if self._owner == os.getpid():
            with self._lock:
                self._end()

    def __del__(self) -> None:
        if hasattr(self, "_child"):
            self._end()

    def __getstate__(self) -> dict[str, Any]:
        names = ("timeout", "prepare", "memory", "always")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._begin()
