"""Captions of pictures by a folder of ONNX graphs against the model that it was exported from.

Run from the project's root: ``python tests/benchmark/onnx.py``. Takes about ten minutes; with
``--ckpt RUN``, a trained model is used; ``--only latency`` or ``--only ready`` measures a part.

Without it, an untrained model of the default sizes (pictures of 224 pixels, texts of exactly 12
tokens, about as many as captions have) captions pictures of 500 x 375 pixels, one at a time, with
torch as it is (eager), with torch and packed weights as mmtx does, and without torch. Per picture,
each side reads the file, encodes it and searches for the text, in one process and with the same
number of threads: 1 and 2. Then new processes: the seconds from the start of ``mmtx caption``
until its first line is printed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
from paired import paired_ratio, verdict  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = Path(__file__).parents[2]
LENGTH = 12
SETTINGS = [f"generation.max_new_tokens={LENGTH}", f"generation.min_new_tokens={LENGTH - 1}"]
PICTURES = 8


def command(*args: str, **env: str) -> subprocess.Popen:
    """Start a command."""
    words = [sys.executable, "-m", "mmtx_cli", *args]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.Popen(
        words, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def done(process: subprocess.Popen) -> None:
    """Wait for a command; raise an error if it fails."""
    _, err = process.communicate()
    if process.returncode:
        raise RuntimeError(err)


def make_pictures(folder: Path) -> None:
    """Write smooth pictures with some noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(PICTURES):
        small = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(
            folder / f"{i}.jpg", quality=90
        )


def make_model(folder: Path) -> Path:
    """Return an untrained captioning model of the default sizes."""
    from mmtx_cli.synthetic.scenes.make import make_scenes

    manifest = make_scenes(folder / "scenes", num=40, size=64)
    run = folder / "run"
    args = ["encoder/image=vit", "fusion=concat", "head=captioning", "data.batch_size=2"]
    more = ["trainer.max_steps=1", "trainer.accelerator=cpu", "data.num_workers=0"]
    done(command("finetune", f"data.path={manifest}", *args, *more, f"run_dir={run}"))
    return run


def latency(run: Path, folder: Path, pictures: Path, work: Path, beams: int, rounds: int) -> None:
    """Print the ratio of the times of all pictures, one at a time."""
    paths = sorted(map(str, pictures.iterdir()))
    settings = [*SETTINGS, f"generation.num_beams={beams}"]
    (theirs, eager), (packed_texts, packed), (ours, onnx) = (
        side(make, ckpt, paths, work, settings)
        for make, ckpt in (
            (eager_captions, run),
            (torch_captions, run),
            (array_captions, folder),
        )
    )
    assert theirs == packed_texts == ours, "the captions differ"
    times: list[float] = []

    def timed() -> None:
        begun = time.perf_counter()
        onnx()
        times.append((time.perf_counter() - begun) / len(paths))

    name = "greedy" if beams == 1 else f"{beams} beams"
    threads = os.environ["OMP_NUM_THREADS"]
    for what, call, least in (("eager torch", eager, 1.5), ("mmtx with torch", packed, None)):
        _, ratios = paired_ratio(call, timed, rounds)
        found = f"{statistics.median(times) * 1e3:.1f} ms with ONNX: {what} / ONNX"
        verdict(f"{name}, {threads} thread(s), {found}", ratios, at_least=least)


def side(
    make: Callable[..., Callable[[str], list[int]]],
    ckpt: Path,
    paths: list[str],
    work: Path,
    settings: list[str],
) -> tuple[list[list[int]], Callable[[], None]]:
    """Return the tokens of all pictures, and a function that captions them."""
    caption = make(ckpt, paths, work, settings)
    return [caption(path) for path in paths], lambda: [caption(path) for path in paths] and None


def config(ckpt: Path, work: Path, settings: list[str]) -> Any:
    """Return the settings of ``mmtx caption``."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from mmtx_cli.command.caption import model_config
    from mmtx_cli.config.conf_tree import conf_dir
    from mmtx_cli.config.overrides import force_add
    from mmtx_cli.runs.inherit import inherit
    from mmtx_cli.runs.resolve import checked_config
    from mmtx_cli.runs.run_config import CaptionConfig

    args = [f"ckpt={ckpt}", f"run_dir={work}", "trainer.accelerator=cpu", *settings]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("caption", force_add(args))
    OmegaConf.set_struct(cfg, False)
    stored = model_config(cfg)
    inherit(cfg, stored)
    return checked_config(CaptionConfig, cfg, stored)


def eager_captions(ckpt: Path, paths: list[str], work: Path, settings: list[str]) -> Any:
    """Return a function that captions a picture with torch's own linear layers."""
    with mock.patch("mmtx_cli.inference.predict.pack"):
        return torch_captions(ckpt, paths, work, settings)


def torch_captions(ckpt: Path, paths: list[str], work: Path, settings: list[str]) -> Any:
    """Return a function that captions a picture with torch."""
    import torch

    from mmtx_cli.data.loader import make_loader
    from mmtx_cli.data.pieces import Piece
    from mmtx_cli.inference.inputs import InputReader
    from mmtx_cli.inference.predict import load_model

    run = config(ckpt, work, settings)
    model = load_model(run, torch.device("cpu"))
    head: Any = model.head["captioning"]
    samples = InputReader.of(run).files([Piece(path) for path in paths], paths, None)
    collate = make_loader(samples, [], 0).collate_fn  # type: ignore[arg-type]
    rows = {path: i for i, path in enumerate(paths)}

    @torch.inference_mode()
    def caption(path: str) -> list[int]:
        batch = collate([samples[0, rows[path]]])
        streams = model.fusion(model.encode(batch))
        return head.predict(streams, batch)["tokens"][0, 0].tolist()

    return caption


def array_captions(ckpt: Path, paths: list[str], work: Path, settings: list[str]) -> Any:
    """Return a function that captions a picture without torch."""
    from mmtx_cli.counter_rng.bits import id_keys
    from mmtx_cli.data.pieces import Piece
    from mmtx_cli.generation.limits import Limits
    from mmtx_cli.generation.numpy.make import make_method
    from mmtx_cli.generation.numpy.search import search
    from mmtx_cli.inference.caption_plan import Plan
    from mmtx_cli.inference.inputs import InputReader
    from mmtx_cli.inference.onnx.captions import FileReader
    from mmtx_cli.inference.onnx.sessions import Graphs

    run = config(ckpt, work, settings)
    graphs = Graphs(ckpt, run.stored)
    facts = graphs.facts
    method = make_method(run.generation, Limits(facts.bos_id, facts.eos_id, facts.max_length))
    plan = Plan(work, [Piece(path) for path in paths], len(paths), "")
    files = FileReader(run, InputReader.of(run), plan)
    rows = {path: i for i, path in enumerate(paths)}

    def caption(path: str) -> list[int]:
        inputs, _ = files.batch([rows[path]])
        return search(graphs.start(inputs), method, id_keys(["0"])).tokens[0, 0].tolist()

    return caption


def first_line(ckpt: Path, picture: Path, work: Path, number: int) -> tuple[float, float]:
    """Return the seconds until ``mmtx caption`` prints the caption of a picture, and the seconds of
    CPU time of the whole command, on which other processes have less influence.
    """
    begun = time.perf_counter()
    run_dir = f"run_dir={work}/{ckpt.name}-{number}"
    process = command("caption", f"ckpt={ckpt}", f"inputs={picture}", run_dir, *SETTINGS)
    assert process.stdout is not None
    assert "caption" in process.stdout.readline()
    seconds = time.perf_counter() - begun
    before = cpu_seconds()
    done(process)
    return seconds, cpu_seconds() - before


def cpu_seconds() -> float:
    """Return the CPU time of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ready(run: Path, folder: Path, picture: Path, work: Path, rounds: int) -> None:
    """Print how soon new processes caption a picture; the two sides alternate."""
    times: dict[str, list[tuple[float, float]]] = {"torch": [], "ONNX": []}
    for i in range(rounds):
        for name, ckpt in (("torch", run), ("ONNX", folder)):
            times[name].append(first_line(ckpt, picture, work, i))
    for name, pairs in times.items():
        found, used = zip(*pairs, strict=True)
        print(
            f"first caption of a new process, {name}: {statistics.median(found):.2f} s (median of "
            f"{rounds}, {min(found):.2f} to {max(found):.2f}); CPU time of the command "
            f"{statistics.median(used):.2f} s",
            flush=True,
        )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=["latency", "ready"])
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        run, folder, pictures, work = map(Path, given.side)
        for beams in (1, 3):
            latency(run, folder, pictures, work, beams, given.rounds)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        pictures, folder = work / "pictures", work / "onnx"
        make_pictures(pictures)
        run = (given.ckpt or make_model(work)).absolute()
        done(command("export", "format=onnx", f"ckpt={run}", f"out={folder}"))
        for threads in ("1", "2") if given.only != "ready" else ():
            paths = map(str, (run, folder, pictures, work))
            words = [sys.executable, __file__, "--rounds", str(given.rounds), "--side", *paths]
            subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": threads})
        if given.only != "latency":
            ready(run, folder, pictures / "0.jpg", work, given.rounds)


if __name__ == "__main__":
    main()
