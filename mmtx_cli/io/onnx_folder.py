"""Read and write model folders of ONNX graphs, which run without torch.

Such a folder contains ``encoder.onnx``, ``decoder.onnx``, ``config.json`` and ``tokenizer.json``.
The config is that of a model folder, with the entry ``format: onnx`` and in ``onnx`` what is known
of the graphs.
"""

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.checkpoint import CONFIG, checked_config, read_file, with_tokenizers
from mmtx_cli.io.model_folder import write_config
from mmtx_cli.io.untrusted.bounded_file import (
    MAX_CONFIG_BYTES,
    RefusedFileError,
    map_bytes,
    read_json,
)
from mmtx_cli.io.untrusted.onnx_file import MAX_GRAPH_BYTES, check_graph

ENCODER, DECODER = GRAPHS = "encoder.onnx", "decoder.onnx"
FORMAT, VERSION = "onnx", 1
"""Entries of the config; the version changes when the graphs' inputs or outputs do."""
MAX_TEXT_LENGTH = 2**16
"""Limit of the length of a text, for which memory is reserved."""
COPY_AGAIN = "copy the folder again from its source, or export the model again"


@dataclass(frozen=True)
class GraphFacts:
    """What is known of the graphs, and of the head that they are of.

    Args:
        head: Name of the head in the config.
        key: Key of the text in a row: ``caption`` or ``prediction``.
        modalities: Inputs of the encoder, each with a mask.
        summary: Whether the context has a summary.
        blocks: Blocks of the decoder.
        num_heads: Heads of its attention.
        head_width: Width of a head.
        vocab_size: Number of tokens.
        bos_id: ID of the first token of a text.
        eos_id: ID of the last one.
        max_length: Number of tokens of the longest text.
    """

    head: str
    key: str
    modalities: tuple[str, ...]
    summary: bool
    blocks: int
    num_heads: int
    head_width: int
    vocab_size: int
    bos_id: int
    eos_id: int
    max_length: int

    @classmethod
    def of(cls, config: Mapping[str, Any], path: Path) -> "GraphFacts":
        """Return the facts in a config.

        Raises:
            CheckpointError: if one is missing or of another type.
        """
        stored = config.get("onnx")
        values = stored if isinstance(stored, Mapping) else {}
        numbers = [values.get(own.name) for own in fields(cls) if own.type is int]
        texts = [values.get("head"), values.get("key")]
        names = values.get("modalities")
        if (
            not all(type(number) is int and 0 <= number < 2**31 for number in numbers)
            or not isinstance(names, list)
            or not all(isinstance(text, str) for text in (*texts, *names))
            or not isinstance(values.get("summary"), bool)
            or max(values["bos_id"], values["eos_id"]) >= values["vocab_size"]
            or min(values["blocks"], values["num_heads"], values["head_width"]) < 1
            or not 2 <= values["max_length"] <= MAX_TEXT_LENGTH
        ):
            raise CheckpointError(
                f"{path}: its entry 'onnx' is not one that mmtx writes; {COPY_AGAIN}"
            )
        chosen = {own.name: values[own.name] for own in fields(cls)}
        return cls(**{**chosen, "modalities": tuple(names)})

    def names(self, kind: str) -> list[str]:
        """Return the names of keys and values of each block: ``context``, ``past``, ``present``."""
        return [f"{kind}_{x}_{i}" for i in range(self.blocks) for x in ("key", "value")]

    @property
    def context(self) -> list[str]:
        """Names of the outputs of the encoder: what the decoder reads of an input."""
        return ["context_mask", *["summary"] * self.summary, *self.names("context")]

    @property
    def encoder_inputs(self) -> list[str]:
        """Names of the inputs of the encoder."""
        return [part for name in self.modalities for part in (name, f"{name}_mask")]

    @property
    def decoder_inputs(self) -> list[str]:
        """Names of the inputs of the decoder."""
        return ["tokens", "rows", *self.context, *self.names("past")]

    @property
    def decoder_outputs(self) -> list[str]:
        """Names of the outputs of the decoder."""
        return ["logits", *self.names("present")]


def read_onnx_config(folder: Path) -> dict[str, Any]:
    """Return the config of a folder, including the tokenizers, after checking its structure.

    Raises:
        CheckpointError: if it is damaged, or of another format or version.
    """
    path = folder / CONFIG
    plain = read_file(read_json, path, MAX_CONFIG_BYTES)
    written = plain.get("format") if isinstance(plain, Mapping) else None
    if written != FORMAT:
        raise CheckpointError(f"{path}: format={written!r}: must be {FORMAT!r}; {COPY_AGAIN}")
    if (version := plain.get("format_version")) != VERSION:
        raise CheckpointError(
            f"{path}: format_version={version!r}: this version of mmtx reads {VERSION}; export the "
            "model again with it"
        )
    config = with_tokenizers(checked_config(plain, path, ()), folder)
    facts = GraphFacts.of(config, path)
    if facts.head not in config["model"]["head"] or not config["tokenizer"]:
        raise CheckpointError(f"{path}: lacks the head {facts.head!r} or a tokenizer; {COPY_AGAIN}")
    for name in GRAPHS:
        if not (folder / name).exists():
            raise CheckpointError(f"{folder / name}: file not found; {COPY_AGAIN}")
    return config


def check_graph_file(path: Path, config: Mapping[str, Any]) -> None:
    """Compare a graph with the size and checksum in the config, and check what it consists of.

    Raises:
        CheckpointError: if they differ, or the graph is not one that mmtx writes.
    """
    data = read_file(map_bytes, path, MAX_GRAPH_BYTES)
    stored = config["onnx"].get("graphs")
    if not isinstance(stored, Mapping) or stored.get(path.name) != checksum(data):
        raise CheckpointError(f"{path}: damaged: it did not match its checksum; {COPY_AGAIN}")
    try:
        check_graph(data)
    except RefusedFileError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}; {COPY_AGAIN}") from error


def checksum(data: bytes | memoryview) -> dict[str, int]:
    """Return the size and the CRC-32 of a file."""
    return {"bytes": len(data), "crc32": zlib.crc32(data)}


def write_onnx_folder(
    folder: Path, config: Mapping[str, Any], facts: GraphFacts, graphs: Mapping[str, bytes]
) -> None:
    """Write a folder, the config last; each file is written atomically.

    Args:
        folder: The folder.
        config: The config of the model, with its tokenizers.
        facts: What is known of the graphs.
        graphs: The graphs by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in graphs.items():
        with atomic_write(folder / name, len(data)) as temporary:
            temporary.write_bytes(data)
    sums = {name: checksum(data) for name, data in graphs.items()}
    onnx = {**asdict(facts), "graphs": sums}
    write_config(folder, {"format": FORMAT, "format_version": VERSION, **config, "onnx": onnx})
