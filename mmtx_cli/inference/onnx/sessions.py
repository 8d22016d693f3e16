"""Run the graphs of a model with ONNX Runtime.

Shape letters: b inputs, k rows per input, r = b * k, v vocabulary.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.cores import available_cores
from mmtx_cli.io.onnx_folder import (
    COPY_AGAIN,
    DECODER,
    ENCODER,
    GRAPHS,
    GraphFacts,
    check_graph_file,
)

MISSING = "an ONNX model needs ONNX Runtime, which is not installed; pip install mmtx[onnx]"
FEW_ROWS = 16
"""Texts at a time up to which a step of the decoder is fastest with a single thread."""
Arrays = Mapping[str, np.ndarray]


def onnxruntime() -> Any:
    """Return the library.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"ckpt: {MISSING}") from error
    return onnxruntime


def num_threads() -> int:
    """Return the number of threads, as torch chooses it: OMP_NUM_THREADS, else all cores."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    return available_cores()


class Graph:
    """One graph, run on the CPU."""

    def __init__(
        self, path: Path, inputs: Sequence[str], outputs: Sequence[str], threads: int
    ) -> None:
        """Load a graph that has been checked.

        Args:
            path: The file.
            inputs: Names of its inputs.
            outputs: Names of its outputs.
            threads: Number of threads.

        Raises:
            CheckpointError: if it cannot be loaded, or has others.
        """
        library = onnxruntime()
        options = library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # waiting threads would take time from those that work: of the other graph, of decoders
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self.path = path
        try:
            self.session = library.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's errors have no common base class
            raise CheckpointError(
                f"{path}: cannot be loaded: {_line(error)}; {COPY_AGAIN}"
            ) from error
        found = [
            [x.name for x in xs] for xs in (self.session.get_inputs(), self.session.get_outputs())
        ]
        if sorted(found[0]) != sorted(inputs) or found[1] != [*outputs]:
            raise CheckpointError(
                f"{path}: its inputs or outputs are not those of its config; {COPY_AGAIN}"
            )

    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """Return the outputs.

        Raises:
            CheckpointError: if it cannot be run.
        """
        try:
            return self.session.run(None, dict(inputs))
        except Exception as error:
            raise CheckpointError(
                f"{self.path}: cannot be run: {_line(error)}; {COPY_AGAIN}"
            ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


class Graphs:
    """The encoder and the decoder of a model folder."""

    def __init__(self, folder: Path, config: Mapping[str, Any], rows: int = FEW_ROWS) -> None:
        """Load both.

        Args:
            folder: The folder.
            config: Its config.
            rows: Largest number of texts at a time.

        Raises:
            CheckpointError: if the graphs are not what the config says.
            ConfigError: if ONNX Runtime is not installed.
        """
        self.facts = facts = GraphFacts.of(config, folder)
        onnxruntime()  # before large files are read
        threads = num_threads()
        for name in GRAPHS:
            check_graph_file(folder / name, config)
        self.encoder = Graph(folder / ENCODER, facts.encoder_inputs, facts.context, threads)
        self.decoder = Graph(
            folder / DECODER,
            facts.decoder_inputs,
            facts.decoder_outputs,
            threads if rows > FEW_ROWS else 1,
        )

    def start(self, inputs: Arrays) -> "DecoderSteps":
        """Encode a batch, and return the decoder before its first step.

        Args:
            inputs: Data and mask of each modality, by the names of the encoder's inputs.
        """
        return DecoderSteps(
            self, dict(zip(self.facts.context, self.encoder.run(inputs), strict=True))
        )


class DecoderSteps:
    """The decoder with what it has read and generated."""

    def __init__(self, graphs: Graphs, context: dict[str, np.ndarray]) -> None:
        """``context`` has the outputs of the encoder."""
        self.graphs, self.context = graphs, context
        self.past: dict[str, np.ndarray] = {}

    def step(
        self, tokens: Int[np.ndarray, "b k"], rows: Int[np.ndarray, " r"]
    ) -> Float[np.ndarray, "b k v"]:
        """Return the logits of the token after ``tokens``; row i continues row ``rows[i]``."""
        facts = self.graphs.facts
        if not self.past:
            shape = (tokens.size, facts.num_heads, 0, facts.head_width)
            self.past = dict.fromkeys(facts.names("past"), np.zeros(shape, dtype=np.float32))
        given = {"tokens": tokens, "rows": rows, **self.context, **self.past}
        logits, *present = self.graphs.decoder.run(given)
        self.past = dict(zip(facts.names("past"), present, strict=True))
        return logits

    def keep(self, inputs: Int[np.ndarray, " m"]) -> None:
        """Keep the contexts of some inputs; the next step's ``rows`` are of the former ones."""
        self.context = {name: x[inputs] for name, x in self.context.items()}
