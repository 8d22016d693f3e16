"""Measure the memory and the time of evaluation and captioning on some of the samples."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtx_cli.planning.folder import size_of
from mmtx_cli.planning.footprint import components_of, peak
from mmtx_cli.planning.memory import high_water
from mmtx_cli.planning.request import Request
from mmtx_cli.planning.saved_tensors import nbytes
from mmtx_cli.planning.train_probe import SINGLE, world_of
from mmtx_cli.runs.run_config import CaptionConfig, EvalConfig, RunConfig
from mmtx_cli.runs.variant import variant

SECONDS = 15.0
"""Seconds that the largest part of the samples may take."""
SEED = 0

Work = Callable[[RunConfig, Sequence[Any]], dict[str, Any]]
"""Does a part of the work; returns figures of the model and its outputs."""


def measure_inference(request: Request, begun: float, write: Callable[[dict], None]) -> None:
    """Write the figures of a run in one line: the work on the largest samples, then on two parts.

    Args:
        request: The settings, whose run folder holds what is written meanwhile.
        begun: Time at which this process was started.
        write: Writes the figures.
    """
    run = request.run
    world, _ = (1, 1) if getattr(run, "is_onnx", False) else world_of(run.trainer)
    run = replace(run, trainer=replace(run.trainer, **SINGLE))
    items, work = work_of(run, request.options)
    built = time.time() - begun
    size = run.data.eval_batch_size or run.data.batch_size
    first = timed_work(work, run, items[:size], "largest")
    mixed = [*items]
    random.Random(SEED).shuffle(mixed)
    small = timed_work(work, run, mixed[:size], "small")
    count = int(size * max(2.0, SECONDS / max(small["seconds"], 1e-3)))
    parts = [small]
    if len(items) > size:
        parts.append(timed_work(work, run, mixed[:count], "large"))
    gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    write(
        {
            "world": world,
            "device": torch.cuda.get_device_name() if gpu else "cpu",
            "samples": len(items),
            "batch_size": size,
            "built_seconds": built,
            "first": first,
            "parts": parts,
            "peak": peak(),
        }
    )


def timed_work(work: Work, run: RunConfig, items: Sequence[Any], name: str) -> dict[str, Any]:
    """Return the figures of a part of the work: samples, seconds, bytes written and used.

    Args:
        work: Does it.
        run: The settings.
        items: Its samples.
        name: Name of a folder for its results.
    """
    folder = run.run_dir / name
    begun = time.perf_counter()
    found = work(variant(run, folder), items)
    return found | {
        "samples": len(items),
        "seconds": time.perf_counter() - begun,
        "written": size_of(folder),
        "high_water": high_water(),
    }


def work_of(run: RunConfig, options: Any) -> tuple[list[Any], Work]:
    """Return the samples of a command, the largest first, and what it does with some of them."""
    if isinstance(run, EvalConfig):
        return evaluation_work(run)
    assert isinstance(run, CaptionConfig)
    return captioning_work(options["paths"])


def evaluation_work(run: EvalConfig) -> tuple[list[Any], Work]:
    """Return the rows to evaluate on, the largest first, and the function that evaluates some."""
    from mmtx_cli.evaluation.run import evaluate_rows, read_rows

    corpus, rows = read_rows(run)
    samples = corpus.samples(rows, list(run.encoder), ())
    present = np.array([len(samples.has(row)) for row in range(len(rows))])
    order = np.lexsort((-samples.texts.lengths(0), -present))

    def work(own: RunConfig, items: Sequence[Any]) -> dict[str, Any]:
        assert isinstance(own, EvalConfig)
        model, answers = evaluate_rows(own, corpus, list(items), time.perf_counter())
        outputs = answers.outputs if answers else {}
        tensors = (x for rows in outputs.values() for _, row in rows for x in row.values())
        return model_figures(model) | {"outputs": sum(x.nbytes for x in tensors)}

    return [rows[i] for i in order], work


def captioning_work(paths: Sequence[str]) -> tuple[list[str], Work]:
    """Return the files to caption, the largest first, and the function that captions some."""
    from mmtx_cli.inference.caption import caption

    loaded: dict[str, Any] = {}

    def work(own: RunConfig, items: Sequence[Any]) -> dict[str, Any]:
        assert isinstance(own, CaptionConfig)
        own = replace(own, sidecar=None, explain=None)
        caption(own, list(items))
        if not loaded and not own.is_onnx:
            from mmtx_cli.inference.predict import load_model

            loaded.update(model_figures(load_model(own, torch.device("cpu"))))
        return loaded | {"outputs": 0}

    return sorted(paths, key=file_size, reverse=True), work


def file_size(path: str) -> int:
    """Return the bytes of a file; 0 if it cannot be read, which is reported when it is."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def model_figures(model: Any) -> dict[str, Any]:
    """Return the parameters and the bytes of a model."""
    return {
        "components": components_of(model),
        "weights": nbytes([*model.parameters(), *model.buffers()]),
    }
