"""Captions of a folder of pictures against a plain loop over a ``DataLoader``.

Run from the project's root: ``python tests/benchmark/caption_folder.py RUN FOLDER``, with a trained
captioner of pictures. The loop is what one would write around a model: two loader workers open each
picture with Pillow, resize and crop it with torchvision; the model encodes a batch and generates
its captions, then the next one. The memory allocator of the loop has its defaults
(``io/allocator.py``). Both use the same batch size and search. Prints the ratio of the times for
all pictures, without the start (the time for one batch), and the share of equal captions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]
ROOT = Path(__file__).parents[2]


def pictures(folder: Path, count: int, into: Path) -> list[Path]:
    """Return ``count`` files, which are links to those of a folder in turns."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    links = [into / f"{i:05}.jpg" for i in range(count)]
    for i, link in enumerate(links):
        os.link(found[i % len(found)], link) if same_device(found[0], into) else link.write_bytes(
            found[i % len(found)].read_bytes()
        )
    return links


def same_device(path: Path, folder: Path) -> bool:
    """Return whether a file can be linked into a folder."""
    return path.stat().st_dev == folder.stat().st_dev


def command(run: str, folder: Path, size: int, out: Path) -> list[str]:
    """Caption the folder by ``mmtx caption``."""
    subprocess.run(
        [
            sys.executable, "-m", "mmtx_cli", "caption", f"ckpt='{run}'", f"inputs='{folder}'",
            f"run_dir='{out}'", f"data.eval_batch_size={size}",
        ],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return [json.loads(line)["caption"] for line in (out / "captions.jsonl").open()]


def loop(run: str, folder: Path, size: int) -> list[str]:
    """Caption the folder by a plain loop."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    import mmtx_cli
    from mmtx_cli.types import Batch, ModalityInput

    model = mmtx_cli.load(run)
    side = model.reader.preparation.image_size
    prepare = v2.Compose([v2.PILToTensor(), v2.Resize(side, antialias=True), v2.CenterCrop(side)])

    class Files(Dataset):
        """The pictures of the folder."""

        def __init__(self) -> None:
            self.paths = sorted(folder.iterdir())

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, i: int) -> Any:
            return prepare(Image.open(self.paths[i]).convert("RGB"))

    found = []
    (name,) = model.heads
    head, tokenizer = model.network.head[name], model.reader.tokenizer
    with torch.inference_mode():
        for x in DataLoader(Files(), batch_size=size, num_workers=2):
            field = ModalityInput(x[:, None], torch.ones(len(x), 1, dtype=torch.bool))
            ids = [str(i) for i in range(len(x))]
            batch = Batch({"image": field}, ids=ids, keys=torch.arange(len(x)))
            outputs = model.network.predict(batch, [name])[name]
            rows = [{key: value[i] for key, value in outputs.items()} for i in range(len(x))]
            found += [row["caption"] for row in head.predictions(rows, tokenizer)]
    return found


def main() -> None:
    """Time both, each for all pictures and for one batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        print(json.dumps(loop(options.run, options.loop, options.batch)))
        return
    with tempfile.TemporaryDirectory() as work:
        folders = {}
        for name, count in (("few", options.batch), ("all", options.count)):
            folders[name] = Path(work, name)
            folders[name].mkdir()
            pictures(options.folder, count, folders[name])
        times: dict[str, dict[str, float]] = {"mmtx": {}, "loop": {}}
        found: dict[str, list[str]] = {}
        for name, folder in folders.items():
            start = time.perf_counter()
            found["mmtx"] = command(options.run, folder, options.batch, Path(work, f"run {name}"))
            times["mmtx"][name] = time.perf_counter() - start
            start = time.perf_counter()
            args = [options.run, str(options.folder), f"--batch={options.batch}"]
            script = [sys.executable, __file__, *args, f"--loop={folder}"]
            # a setting of the environment, here the default, keeps mmtx from changing the allocator
            env = {**os.environ, "MALLOC_ARENA_TEST": "8"}
            done = subprocess.run(script, check=True, capture_output=True, text=True, env=env)
            times["loop"][name] = time.perf_counter() - start
            found["loop"] = json.loads(done.stdout.splitlines()[-1])
    net = {name: own["all"] - own["few"] for name, own in times.items()}
    pairs = list(zip(found["mmtx"], found["loop"], strict=True))
    rate = (options.count - options.batch) / net["mmtx"]
    print(
        f"loop / mmtx caption = {net['loop'] / net['mmtx']:.2f} for {options.count} pictures in "
        f"batches of {options.batch} ({rate:.1f} pictures/s); "
        f"{sum(a == b for a, b in pairs) / len(pairs):.0%} of the captions equal"
    )


if __name__ == "__main__":
    main()
