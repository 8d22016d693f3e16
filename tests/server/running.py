"""A server as a user starts it, and requests to it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mmtx_cli.io.quoting import quoted
from tests.command_line import environment

BYTES = {"Content-Type": "application/octet-stream"}
SECONDS = 120


@dataclass
class Running:
    """A server process and its address."""

    process: subprocess.Popen
    port: int

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of the answer to a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def caption(self, body: bytes, **settings: Any) -> tuple[int, dict[str, Any]]:
        """The status of a caption, and the row or the error."""
        status, _, answer = self.send("POST", f"/caption?{urlencode(settings)}", body, BYTES)
        return status, json.loads(answer)

    def health(self) -> dict[str, Any]:
        return json.loads(self.send("GET", "/health")[2])

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many requests are being answered."""
        limit = time.monotonic() + SECONDS
        while (found := self.health()["requests"]) != count:
            assert time.monotonic() < limit, f"{found} requests, not {count}, after {SECONDS} s"

    def connect(self, *lines: str, body: bytes = b"") -> socket.socket:
        """A connection on which the head of a request, and part of its body, is sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        head = ("POST /caption HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines, "", "")
        connection.sendall("\r\n".join(head).encode() + body)
        return connection

    def children(self) -> list[int]:
        """Its decoding processes."""
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit status after a signal, and standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, err


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the content of the answer on a connection."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@contextmanager
def running(ckpt: Path, place: Path, *args: str) -> Iterator[Running]:
    """A server of a model, with temporary files below ``place``."""
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    command = ["serve", f"ckpt={quoted(str(ckpt))}", "port=0", "trainer.accelerator=cpu", *args]
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *command],
        cwd=place,
        env=environment(TMPDIR=str(place / "tmp")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a job in a shell's background ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), (line, process.communicate()[1])
        yield Running(process, int(line.rpartition(":")[2]))
    finally:
        process.kill()
        process.wait()


def gone(pids: list[int], seconds: float = 20) -> bool:
    """Whether processes end in time."""
    limit = time.monotonic() + seconds
    while any(os.path.exists(f"/proc/{pid}") and alive(pid) for pid in pids):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
