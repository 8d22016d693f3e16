"""Compare how soon mmtx answers with how long its libraries take to import.

Run from the project's root: ``python tests/benchmark/startup.py``. Takes about two minutes.
``mmtx --help`` against ``python -c "import torch"``; and the first training step of a tiny run
(the moment its row is in metrics.csv) against a script that imports torch and pytorch_lightning.
Fresh processes, A B B A.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from paired import paired_ratio  # noqa: E402

from mmtx_cli.synthetic.scenes.make import make_scenes  # noqa: E402

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
MMTX = shutil.which("mmtx", path=str(Path(sys.executable).parent)) or "mmtx"


def python(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True, **QUIET)


def show_help() -> None:
    """Ask for the list of commands."""
    subprocess.run([MMTX, "--help"], check=True, **QUIET)


def first_step(manifest: Path, folder: Path) -> float:
    """Seconds from the start of the command to the first row of metrics.csv."""
    shutil.rmtree(folder, ignore_errors=True)
    arguments = [
        "pretrain",
        f"data.path={manifest}",
        "experiment=scenes_pretrain",
        "image_size=32",
        "dim=32",
        "encoder.image.width=32",
        "encoder.text.width=32",
        "data.batch_size=8",
        "data.num_workers=0",
        "trainer.max_steps=2",
        "trainer.log_every=1",
        f"run_dir={folder}",
    ]
    begun = time.perf_counter()
    process = subprocess.Popen([MMTX, *arguments], **QUIET)
    path, rows = folder / "metrics.csv", 0
    while rows < 2 and process.poll() is None:
        time.sleep(0.002)
        rows = len(path.read_text().splitlines()) if path.exists() else 0
    seconds = time.perf_counter() - begun
    if process.wait():
        raise RuntimeError(f"mmtx {' '.join(arguments)} failed")
    return seconds


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        manifest = make_scenes(Path(temporary) / "scenes", num=40, size=32)
        ratio, ratios = paired_ratio(show_help, lambda: python("import torch"), rounds)
        print(
            f"mmtx --help / import torch = 1/{1 / ratio:.0f} (median of {rounds} rounds, "
            f"1/{1 / min(ratios):.0f} to 1/{1 / max(ratios):.0f})",
            flush=True,
        )
        ratio, ratios = paired_ratio(
            lambda: first_step(manifest, Path(temporary) / "run"),
            lambda: python("import torch, pytorch_lightning"),
            rounds,
        )
        print(
            f"first training step / import torch and pytorch_lightning = {ratio:.2f} "
            f"(median of {rounds} rounds, {min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
