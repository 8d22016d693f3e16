"""``trainer.compile``: time to compile and time of a step, for nothing, blocks and the whole model.

``python tests/benchmark/compile.py`` trains a captioner on a ViT with the command's own trainer,
each way in a process of its own with an empty cache of compiled code. The first step of a compiled
model compiles. Times are CPU time of one thread, which hardly depends on others' load.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from mmtx_cli.types import Batch  # noqa: E402

WARM = 2


def spent() -> float:
    """Return the CPU time of this process and of the compilers that it has run."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


class Timed:
    """Batches; notes the CPU time at which each is asked for."""

    def __init__(self, batches: list[Batch], steps: int) -> None:
        self.batches, self.steps = batches, steps
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        for i in range(self.steps):
            self.seconds.append(spent())
            yield self.batches[i % len(self.batches)]


def measure(options: argparse.Namespace) -> None:
    """Train in one way, and print its figures."""
    import torch
    from train_step import make_batches, make_config, trained

    from mmtx_cli.config.schema import OptimizerSettings
    from mmtx_cli.training.module import TrainingModule

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    config = make_config(options.width, options.depth)
    module = TrainingModule(config, OptimizerSettings(), 1)
    loader = Timed(make_batches(options.batch, 2), options.steps + WARM + 1)
    how = {"false": False, "true": True}.get(options.way, options.way)
    start = time.perf_counter()
    trained(module, loader, options.batch, compile=how, progress=False)  # type: ignore[arg-type]
    took = [b - a for a, b in pairwise(loader.seconds)]
    step = statistics.median(took[WARM:])
    print(
        f"compile={options.way}: first two steps {sum(took[:WARM]):.1f} s, then {1e3 * step:.0f} "
        f"ms a step (CPU time); {time.perf_counter() - start:.0f} s in all",
        flush=True,
    )


def main() -> None:
    """Run all three ways, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 128), ("depth", 12), ("batch", 32), ("steps", 15)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=["false", "blocks", "true"])
    options = parser.parse_args()
    if options.way:
        measure(options)
        return
    for way in ("false", "blocks", "true"):
        with tempfile.TemporaryDirectory() as cache:
            more = {
                "TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            }  # fmt: skip
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            subprocess.run(
                command, env={**os.environ, **more}, check=False, stderr=subprocess.DEVNULL
            )


if __name__ == "__main__":
    main()
