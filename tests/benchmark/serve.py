"""Latency of ``mmtx serve`` with one and with eight clients, lost requests, and memory.

    python tests/benchmark/serve.py RUN FILE [FILE …] [--requests 2000] [--clients 8]

Clients are one process each, which sends a file, waits for its caption and sends the next. Rounds
of one client and of all clients take turns, so that both see the same load of the machine.
"""

import argparse
import http.client
import json
import multiprocessing
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

ROUNDS, WARM_UP = 5, 40


def client(url: str, files: list[str], count: int, start: Any, results: Any) -> None:
    """Send ``count`` files one after the other; report the seconds and captions of each."""
    address = urlsplit(url)
    bodies = [Path(path).read_bytes() for path in files]
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.connect()
    start.wait()
    found = []
    for i in range(count):
        number = i % len(bodies)
        before = time.perf_counter()
        headers = {"Content-Type": "application/octet-stream"}
        connection.request("POST", "/caption", bodies[number], headers)
        answer = connection.getresponse()
        row = json.loads(answer.read())
        found.append((time.perf_counter() - before, number, answer.status, row.get("caption")))
    results.put(found)


def measured(url: str, files: list[str], clients: int, count: int) -> list[tuple[Any, ...]]:
    """Return (seconds, file, status, caption) of all requests of some clients at a time."""
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [
        context.Process(target=client, args=(url, files, count, start, results))
        for _ in range(clients)
    ]
    for process in processes:
        process.start()
    time.sleep(0.3)  # all are connected
    start.set()
    found = [row for _ in processes for row in results.get(timeout=600)]
    for process in processes:
        process.join()
    return found


def memory(pid: int) -> dict[int, float]:
    """Return the resident MB of a process and its children, and of these the private part."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {each: resident(each) for each in (pid, *map(int, children))}


def resident(pid: int) -> float:
    """Return the MB that a process has for itself: pages shared with its parent do not count."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M)
    return sum(map(int, kilobytes)) / 1000


def rss(pid: int) -> float:
    """Return the resident set size of a process in MB."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("args", nargs="*", default=[])
    options = parser.parse_args()
    files = [path for path in options.files if "=" not in path]
    more = [arg for arg in options.files if "=" in arg]
    command = [sys.executable, "-m", "mmtx_cli", "serve", f"ckpt={options.run}", "port=0", *more]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    url = server.stdout.readline().strip()
    measured(url, files, options.clients, WARM_UP)
    before = rss(server.pid), memory(server.pid)
    alone, together = [], []
    per_round = options.requests // (2 * ROUNDS)
    for _ in range(ROUNDS):
        alone += measured(url, files, 1, per_round)
        together += measured(url, files, options.clients, -(-per_round // options.clients))
    after = rss(server.pid), memory(server.pid)
    report(alone, together, options.clients)
    print(f"memory of the server: {before[0]:.0f} MB before, {after[0]:.0f} MB after (RSS)")
    for pid, was in before[1].items():
        print(
            f"  process {pid}: {was:.0f} MB before, {after[1].get(pid, 0):.0f} MB after (private)"
        )
    server.send_signal(signal.SIGTERM)
    print("exit status", server.wait(timeout=60))


def report(alone: list[Any], together: list[Any], clients: int) -> None:
    """Print the latencies, and what was lost or differs."""
    captions = {number: text for _, number, _, text in alone}
    rows = alone + together
    lost = sum(status != 200 for _, _, status, _ in rows)
    different = sum(text != captions[number] for _, number, _, text in rows)
    print(f"{len(rows)} requests, {lost} lost, {different} with another caption than alone")
    figures = {}
    for name, found in (("one client", alone), (f"{clients} clients", together)):
        seconds = np.array([row[0] for row in found]) * 1000
        figures[name] = np.percentile(seconds, [50, 95, 99])
        values = ", ".join(f"{x:.1f}" for x in figures[name])
        print(f"{name}: p50, p95, p99 {values} ms ({len(found)} requests)")
    (_, one, _), (_, many, _) = figures.values()
    median = figures["one client"][0]
    print(
        f"p95 ratio {many / one:.2f}; p95 of {clients} clients to the median of one: "
        f"{many / median:.2f}"
    )


if __name__ == "__main__":
    main()
