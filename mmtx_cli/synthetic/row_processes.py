"""Make the rows of a data set in several processes, in order."""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from mmtx_cli.data.loader_worker import group_signals_blocked, init_worker
from mmtx_cli.errors import RunError

MIN_PARALLEL = 200
"""Fewer rows are made in the calling process, sooner than other processes start."""
_CHUNK = 8


@contextmanager
def rows_in_order(
    make_row: Callable[[int], dict[str, Any]], num: int, workers: int | None
) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield an iterator over ``make_row(0)`` to ``make_row(num - 1)``.

    Rendering and encoding hold the interpreter's lock most of the time, so that threads would not
    use a second core.

    Args:
        make_row: Makes a row; must be picklable if there are several processes.
        num: Number of rows.
        workers: Number of processes; by default, the number of cores, or one for few rows.

    Raises:
        RunError: if a process is killed.
    """
    workers = workers or (os.cpu_count() or 1 if num >= MIN_PARALLEL else 1)
    if workers == 1:
        yield map(make_row, range(num))
        return
    # a fork starts at once; Linux alone supports it in every program
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(workers, context, init_worker, (0,))
    try:
        with warnings.catch_warnings(), group_signals_blocked():
            # Python warns if there are threads; a row uses no lock that they may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            rows = pool.map(make_row, range(num), chunksize=_CHUNK)
        yield rows
    except BrokenProcessPool as error:
        raise RunError(
            "a process that makes the data was killed; the system may have run out of memory: "
            "use fewer (workers=1)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
