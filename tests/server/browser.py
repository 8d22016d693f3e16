"""Chromium without a window, controlled over a pipe (Chrome DevTools Protocol)."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60


class Tab:
    """A tab of the browser."""

    def __init__(self, write: int, read: int) -> None:
        self.write, self.read, self.buffer = write, read, b""
        self.numbers, self.session = itertools.count(1), None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while (answer := self.next_message()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def next_message(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            part = os.read(self.read, 1 << 16)
            assert part, "the browser has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        options = {"returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        limit = time.monotonic() + SECONDS
        while not (value := self.run(expression)):
            assert time.monotonic() < limit, f"not within {SECONDS} s: {expression}"
            time.sleep(0.05)
        return value

    def center(self, selector: str) -> tuple[float, float]:
        """The center of an element."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        middle = "({x, y, width, height}) => [x + width / 2, y + height / 2]"
        return tuple(self.run(f"({middle})({box})"))

    def drop(self, path: Path, selector: str) -> None:
        """Drag a file from the desktop to an element, and drop it."""
        x, y = self.center(selector)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def key(self, name: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            pressed = {"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", **pressed)

    def screenshot(self, path: Path) -> None:
        found = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def problems(self) -> list[str]:
        """What the console and the network complain about."""
        self.run("0")
        kinds = ("Runtime.exceptionThrown", "Network.loadingFailed", "Log.entryAdded")
        return [json.dumps(each["params"]) for each in self.events if each["method"] in kinds]


@contextmanager
def browser(folder: Path, width: int = 1000, height: int = 760) -> Iterator[Tab]:
    """A tab of a new browser, or the test is skipped."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()
    # it reads descriptor 3 and writes 4, which these must not have before
    theirs = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in (to_read, from_write)]
    flags = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run"
    command = [chromium, *flags.split(), f"--user-data-dir={folder}"]
    command.append(f"--window-size={width},{height}")
    process = subprocess.Popen(
        ["/bin/bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash", *command],
        pass_fds=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for number in (to_read, from_write, *theirs):
        os.close(number)
    try:
        yield Tab(to_write, from_read)
    finally:
        process.kill()
        process.wait()
        os.close(to_write)
        os.close(from_read)
