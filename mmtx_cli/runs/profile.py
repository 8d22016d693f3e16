"""Cost of a model: parameters, floating-point operations per sample, memory."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SAMPLES = 8


def parameter_counts(model: Any) -> dict[str, int]:
    """Return the number of all parameters and of the trainable ones."""
    sizes = {p: p.numel() for p in model.parameters()}
    trained = sum(size for p, size in sizes.items() if p.requires_grad)
    return {"parameters": sum(sizes.values()), "trained_parameters": trained}


def flops_per_sample(model: Any, corpus: Any, rows: Sequence[Any], device: torch.device) -> float:
    """Return the mean FLOPs of predicting a sample; attention counts as matrix products.

    Disables ``requires_grad`` for all parameters of the model.

    Args:
        model: The model.
        corpus: The data.
        rows: Samples, of which the first ``SAMPLES`` are used.
        device: Device of the model.
    """
    from mmtx_cli.data.collate import Collate

    samples = corpus.samples(rows[:SAMPLES], list(model.encoder), ())
    collate = Collate(samples.modalities, (), samples.preparation, samples.known)
    batch = collate([samples[(0, row)] for row in range(len(samples))]).to(device)
    model.requires_grad_(False)  # the counter would register gradient hooks
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model.predict(batch)
    return counter.get_total_flops() / len(samples)


def peak_memory() -> float | None:
    """Return the peak memory in MB: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    try:
        import resource
    except ImportError:  # not available on Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    return round((used if sys.platform == "darwin" else used * 1024) / 1e6, 1)
