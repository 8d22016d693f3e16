"""How a loader's worker behaves: it works for its parent, and ends with it."""

import multiprocessing
import os
import signal

from mmtx_cli.data.decode.child import GROUP_SIGNALS, end_with, set_handler


def settle(number: int) -> None:
    """Leave the signals that a whole process group gets (Ctrl-C, ``timeout``, ``scancel``) to the
    parent: it finishes its step, saves, and ends its workers. If it is killed, so are they.
    """
    set_handler(GROUP_SIGNALS, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    end_with(os.getppid() if parent is None or parent.pid is None else parent.pid)
