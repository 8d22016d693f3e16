"""The process that measures: reads a request, writes measurements, and may run out of memory."""

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmtx_cli.distributed import ranks
from mmtx_cli.errors import MmtxError
from mmtx_cli.planning.memory import available_memory, resident
from mmtx_cli.planning.request import ANSWER, MISTAKE, OUT_OF_MEMORY, Request

KEPT_FREE = 0.1
"""Share of the available memory that a measurement leaves free."""
_POLL_SECONDS = 0.02

Writer = Callable[[dict[str, Any]], None]


def main() -> None:
    """Measure what standard input asks for; write the answer to the folder of the first argument.

    The request is a pickle: it comes from the parent process over a pipe of its own.
    """
    ranks.end_with_parent()
    folder = Path(sys.argv[1])
    content = pickle.load(sys.stdin.buffer)  # nosec B301 # written by the parent process
    sys.path[:] = content["path"]
    request: Request = content["request"]

    def write(line: dict[str, Any]) -> None:
        with open(folder / ANSWER, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    prefer_killing_this()
    watch_memory()
    try:
        measure(request, content["begun"], write)
    except MmtxError as error:
        write({"faults": list(error.faults)})
        os._exit(MISTAKE)
    except Exception as error:
        from mmtx_cli.planning.out_of_memory import is_out_of_memory

        if is_out_of_memory(error):
            os._exit(OUT_OF_MEMORY)
        raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no destructors: everything has been written


def measure(request: Request, begun: float, write: Writer) -> None:
    """Call the function that a request names.

    Args:
        request: What to measure.
        begun: Time at which the process was started.
        write: Writes a measurement.
    """
    if request.kind == "training":
        from mmtx_cli.planning.train_probe import measure_training

        measure_training(request, begun, write)
    elif request.kind == "training_sizes":
        from mmtx_cli.planning.size_probe import try_training_sizes

        try_training_sizes(request, write)
    elif request.kind == "inference":
        from mmtx_cli.planning.inference_probe import measure_inference

        measure_inference(request, begun, write)
    else:
        from mmtx_cli.planning.size_probe import try_inference_sizes

        try_inference_sizes(request, write)


def prefer_killing_this() -> None:
    """Make this process the first that the system kills when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:  # another system
        return


def watch_memory() -> None:
    """End this process before it takes the memory that other processes need."""
    free, before = available_memory(), resident()
    if free is None or before is None:
        return
    limit = before + free * (1 - KEPT_FREE)

    def watch() -> None:
        while True:
            if (resident() or 0) > limit:
                os._exit(OUT_OF_MEMORY)
            time.sleep(_POLL_SECONDS)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
