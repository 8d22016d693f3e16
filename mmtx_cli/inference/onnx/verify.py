"""Compare the graphs of a folder with the model that they were made from.

Shape letters: b inputs, k rows per input, v vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mmtx_cli.errors import RunError
from mmtx_cli.inference.onnx.graphs import EncoderGraph
from mmtx_cli.inference.onnx.sessions import Graphs
from mmtx_cli.io.onnx_folder import read_onnx_config

TOLERANCE = 1e-4
"""Largest difference of the logits, relative to the largest logit: rounding errors in single
precision are about a hundredth of it."""
ROWS, STEPS = 2, 4


def check_same(
    folder: Path, encoder: EncoderGraph, inputs: tuple[Tensor, ...], source: str
) -> tuple[float, float]:
    """Return the largest difference between the logits of the folder and of the model, and the
    largest logit.

    Random texts are read token by token; in each step, the rows of an input change places.

    Args:
        folder: The folder.
        encoder: The model.
        inputs: A batch of inputs of the encoder.
        source: Where the model comes from, for messages.

    Raises:
        RunError: if they differ by more than the tolerance.
    """
    graphs = Graphs(folder, read_onnx_config(folder))
    random = torch.Generator().manual_seed(1)
    given = [shortened(x, random) if x.dtype == torch.bool else x for x in inputs]
    steps = graphs.start(
        {name: x.numpy() for name, x in zip(graphs.facts.encoder_inputs, given, strict=True)}
    )
    decoder: Any = encoder.head.decoder
    facts, count = graphs.facts, len(given[0])
    length = min(STEPS, facts.max_length - 1)
    difference = largest = 0.0
    with torch.no_grad():
        state = decoder.start(encoder.context(tuple(given)), ROWS, length)
        rows = torch.arange(count * ROWS)
        for position in range(length):
            tokens = torch.randint(facts.vocab_size, (count, ROWS), generator=random)
            wanted = decoder.logits(decoder.step(tokens, state, position)).numpy()
            found = steps.step(tokens.numpy(), rows.numpy())
            difference = max(difference, float(np.abs(wanted - found).max()))
            largest = max(largest, float(np.abs(wanted).max()))
            rows = rows.view(count, ROWS).flip(1).flatten()
            state.reorder(rows, position + 1)
    if not difference <= TOLERANCE * largest:
        raise RunError(
            f"{source}: the ONNX graphs differ from the model: their logits by {difference:.3g}, "
            f"where the largest is {largest:.3g}; nothing was written. This is a fault of the "
            "exporter of this version of torch: please report it with the model's config.json"
        )
    return difference, largest


def shortened(mask: Bool[Tensor, "b l"], random: torch.Generator) -> Bool[Tensor, "b l"]:
    """Return the mask with all inputs but the first cut to any length, also to none."""
    b, length = mask.shape
    lengths = torch.randint(length + 1, (b, 1), generator=random)
    lengths[0] = length
    return mask & (torch.arange(length) < lengths)
