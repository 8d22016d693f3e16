"""Weak scaling on one machine: two processes on a core each, against one process on one core.

Run from the project's root: ``python tests/benchmark/scale.py`` (with ``nice -n -18`` if others use
the machine). Each process trains a captioner with the command's own trainer, one thread and the
same number of samples; the two exchange gradients with gloo (DDP). The group of one and the group
of two take turns, as do two processes that train alone at the same time: these show what sharing
the memory and the caches of a machine costs without any exchange. The efficiency is the time of the
one over that of the two.
Also prints the bytes that a step sends, computed and counted on the loopback interface (which
counts everyone's).
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from paired import verdict  # noqa: E402

from mmtx_cli.types import Batch  # noqa: E402

WARM = 2
"""Turns of each group that do not count."""
CHOICES: dict[str, dict[str, Any]] = {
    "ddp": {},
    "view": {"gradient_as_bucket_view": True},
    "static": {"static_graph": True, "gradient_as_bucket_view": True},
    "unused": {"find_unused_parameters": True},
}
"""Arguments of the strategy that are compared."""


class Commanded:
    """Ready batches, some for each line on standard input; answers with the seconds they took."""

    def __init__(self, batches: list[Batch], turns: int, steps: int) -> None:
        self.batches, self.turns, self.steps = batches, turns, steps

    def __len__(self) -> int:
        return self.turns * self.steps + 1  # the last turn ends when the next batch is asked for

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.turns):
            sys.stdin.readline()
            start = time.perf_counter()
            for i in range(self.steps):
                yield self.batches[i % len(self.batches)]
            os.write(3, f"{time.perf_counter() - start}\n".encode())
        yield self.batches[0]


def worker(options: argparse.Namespace) -> None:
    """Train as one process of a group, on a core of its own."""
    import torch
    from train_step import make_batches, make_config, trained

    from mmtx_cli.config.schema import OptimizerSettings
    from mmtx_cli.training.module import TrainingModule

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    module = TrainingModule(make_config(options.width, options.depth), OptimizerSettings(), 1)
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    os.write(3, f"{parameters}\n".encode())
    loader = Commanded(make_batches(options.batch, 2), options.rounds + WARM, options.steps)
    strategy: Any = "auto"
    if options.world > 1:
        from mmtx_cli.distributed.lightning import pl

        strategy = pl.strategies.DDPStrategy(process_group_backend="gloo", **CHOICES[options.ddp])
    trained(module, loader, options.batch * options.world, strategy=strategy, devices=options.world)  # type: ignore[arg-type]


class Group:
    """Processes that train together, one per core."""

    def __init__(self, options: argparse.Namespace, count: int, ddp: str | None) -> None:
        """Start ``count`` processes; without ``ddp``, each trains alone."""
        world = count if ddp else 1
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        cores = sorted(os.sched_getaffinity(0))
        self.processes, self.answers = [], []
        for i in range(count):
            rank = i if ddp else 0
            read, write = os.pipe()
            env = {
                **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0",
                "LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": str(world),
                "LOCAL_WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "scale" * (world > 1),
            }  # fmt: skip
            env = {k: v for k, v in env.items() if v}
            args = [
                f"--{k}={getattr(options, k)}"
                for k in ("width", "depth", "batch", "rounds", "steps")
            ]
            command = [
                sys.executable,
                __file__,
                "--worker",
                f"--world={world}",
                f"--ddp={ddp}",
                *args,
            ]
            self.processes.append(
                subprocess.Popen(
                    ["taskset", "-c", str(cores[i % len(cores)]), "bash", "-c",
                     f'exec "$@" 3>&{write} {write}>&-', "bash", *command],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, bufsize=1,
                    env=env, pass_fds=[write],
                )
            )  # fmt: skip
            os.close(write)
            self.answers.append(os.fdopen(read))
        self.parameters = max(self.hear())

    def hear(self) -> list[float]:
        """Return the next answer of each process."""
        lines = [answer.readline() for answer in self.answers]
        if not all(lines):
            raise RuntimeError("a process has stopped")
        return [float(line) for line in lines]

    def turn(self) -> float:
        """Let all processes make their next steps; return the seconds of the slowest."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(self.hear())


def loopback() -> int:
    """Return the bytes that the loopback interface has sent."""
    line = next(x for x in Path("/proc/net/dev").read_text().splitlines() if "lo:" in x)
    return int(line.split(":")[1].split()[8])


def compare(options: argparse.Namespace, ddp: str) -> None:
    """Print the efficiency of two processes and the bytes that a step sends."""
    groups = {
        "one": Group(options, 1, None),
        "two": Group(options, 2, ddp),
        "two, each alone": Group(options, 2, None),
    }
    seconds: dict[str, list[float]] = {name: [] for name in groups}
    sent = []
    for turn in range(options.rounds + WARM):
        for name in [*groups][:: 1 if turn % 2 else -1]:
            before = loopback()
            took = groups[name].turn()
            if turn >= WARM:
                seconds[name].append(took / options.steps)
                if name == "two":
                    sent.append((loopback() - before) / options.steps)
    for group in groups.values():
        for process in group.processes:
            process.wait()
    parameters = int(groups["two"].parameters)
    print(
        f"{ddp}: {parameters / 1e6:.1f} M parameters, {options.batch} samples per process and "
        "step; seconds of a step: "
        + ", ".join(f"{name} {statistics.median(took):.3f}" for name, took in seconds.items())
    )

    def ratios(a: str, b: str) -> list[float]:
        return [x / y for x, y in zip(seconds[a], seconds[b], strict=True)]

    verdict(f"weak scaling, {ddp}", ratios("one", "two"), at_least=0.9)
    verdict(
        "of two that exchange nothing (shared memory and caches)", ratios("one", "two, each alone")
    )
    verdict("of the exchange alone", ratios("two, each alone", "two"), at_least=0.9)
    computed = 2 * 2 * (2 - 1) / 2 * parameters * 4
    print(
        f"bytes per step of both processes: computed 2 n (n - 1) / n x parameters x 4 = "
        f"{computed / 1e6:.1f} MB, counted {min(sent) / 1e6:.1f} MB (least of {len(sent)} turns)"
    )


def main() -> None:
    """Compare, or be a process of a group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("width", 368),
        ("depth", 3),
        ("batch", 128),
        ("rounds", 7),
        ("steps", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--ddp", default="ddp", help=f"of {', '.join(CHOICES)}; several with commas"
    )
    parser.add_argument("--world", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    for ddp in options.ddp.split(","):
        compare(options, ddp)


if __name__ == "__main__":
    main()
