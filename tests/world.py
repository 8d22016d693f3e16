"""Commands in several processes that something else starts, as ``torchrun`` and ``srun`` do.

They are copies of a process that has imported everything (``tests/fork_server.py``), so that a
second one costs little.
"""

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.command_line import Done, mmtx


def free_port() -> str:
    """A port that nothing listens to, at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def world(size: int, *args: str, each_cwd: Sequence[Path | None] = (), **env: str) -> list[Done]:
    """What each of ``size`` processes of a command ends with; a single one is started as usual.

    They work in the folders ``each_cwd``, if these are given.
    """
    folders = [*each_cwd] or [None] * size
    if size == 1:
        return [mmtx(*args, cwd=folders[0], **env)]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), **env}
    devices = f"trainer.devices={size}"

    def start(rank: int) -> Done:
        return mmtx(*args, devices, cwd=folders[rank], **place, LOCAL_RANK=str(rank))

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(start, range(size)))


def trained(size: int, *args: str, **env: str) -> Path:
    """The run folder of a command that succeeds in each of ``size`` processes."""
    done = world(size, *args, **env)
    assert not any(one.returncode for one in done), [(one.returncode, one.stderr) for one in done]
    return Path(done[0].stdout.splitlines()[-1])
