"""Commands in processes of their own that need not import everything first.

One process imports what the commands use, and forks for each of them: the copy does what
``python -m mmtx_cli`` does, with its own arguments, folder and output. ``MMTX_TEST_FORK=0`` starts
every command from nothing, as a user does.
"""

import atexit
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXED = re.compile(
    "(?:PYTHON|LC_|LANG|LD_|HOME|TMP|XDG_|OMP_NUM|KMP_|MKL_|ATEN_|ONEDNN_|OPENBLAS_|TORCH|CUDA_|HF_|"
    "TRANSFORMERS_|MPL|COLUMNS|TERM|NO_COLOR|RUST_)"
)
"""Variables that are read while something is imported: with other values it is imported again."""
PATIENCE = 300


def usable(env: Mapping[str, str]) -> bool:
    """Can the server run a command with this environment?"""
    if os.environ.get("MMTX_TEST_FORK") == "0" or not hasattr(os, "fork"):
        return False
    server_env = _started()[1]
    return all(
        env.get(key) == server_env.get(key)
        for key in env.keys() | server_env.keys()
        if FIXED.match(key)
    )


def run(args: Sequence[str], cwd: str, env: Mapping[str, str]) -> subprocess.CompletedProcess:
    """Run a command; what ``subprocess.run`` with captured texts returns."""
    path = _started()[0]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(path)
            request = json.dumps({"args": [*args], "cwd": cwd, "env": {**env}}).encode()
            size = len(request).to_bytes(4, "big")
            socket.send_fds(client, [size], [out.fileno(), err.fileno()])
            client.sendall(request)
            process = int.from_bytes(_received(client, 4), "big")
            client.settimeout(PATIENCE)
            try:
                status = int.from_bytes(_received(client, 4), "big", signed=True)
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise
        out.seek(0)
        err.seek(0)
        texts = [file.read().decode() for file in (out, err)]
    return subprocess.CompletedProcess([*args], status, *texts)


@cache
def _started() -> tuple[str, dict[str, str]]:
    """Start the server; where it listens, and its environment."""
    from tests.command_line import environment

    env = environment()
    path = os.path.join(tempfile.mkdtemp(prefix="mmtx"), "socket")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", path],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return path, env


def serve(path: str) -> None:
    """Fork for each command until standard input is closed."""
    import gc

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        _import_everything()
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those below
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            client, _ = listener.accept()
            if not os.fork():
                _watch(client, listener)
            client.close()


def _import_everything() -> None:
    import importlib
    import pkgutil

    import mmtx_cli

    for module in pkgutil.walk_packages(mmtx_cli.__path__, "mmtx_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _watch(client: socket.socket, listener: socket.socket) -> None:
    """Start the command, and say how it ends."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        size, numbers, _, _ = socket.recv_fds(client, 4, 2)
        request = json.loads(_received(client, int.from_bytes(size, "big")))
        if not (process := os.fork()):
            client.close()
            _command(request, *numbers)
        client.sendall(process.to_bytes(4, "big"))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        client.sendall(status.to_bytes(4, "big", signed=True))
    finally:
        os._exit(0)


def _command(request: Mapping, out: int, err: int) -> None:
    """Be ``python -m mmtx_cli`` with these arguments."""
    import threading
    import time
    import traceback

    from mmtx_cli.io import atomic

    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.closerange(3, 64)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.path[0] = request["cwd"]
        sys.argv = ["mmtx_cli", *request["args"]]
        atomic.PROCESS_START = time.time()  # not when the server was imported
        runpy.run_module("mmtx_cli", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                status = status or 120
        os._exit(status)


def _received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := client.recv(size - len(data))):
            raise EOFError("the command's process is gone")
        data += part
    return data


if __name__ == "__main__":
    serve(sys.argv[1])
