"""Write a trained model as a folder of ONNX graphs, and check that it gives the same logits."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND, Preprocessing
from mmtx_cli.data.text.columns import TEXT_TARGETS
from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.make import make_method
from mmtx_cli.inference.onnx.graphs import DecoderGraph, EncoderGraph
from mmtx_cli.inference.onnx.translations import TRANSLATIONS
from mmtx_cli.inference.onnx.verify import check_same
from mmtx_cli.io.onnx_folder import DECODER, ENCODER, GraphFacts, write_onnx_folder
from mmtx_cli.io.untrusted.onnx_file import MAX_GRAPH_BYTES
from mmtx_cli.model.multimodal import MultimodalModel

OPSET = 18
SIZES = 2, 3, 2
"""Inputs, rows of each, and generated tokens of the example that is traced."""


def write_onnx(
    folder: Path, model: MultimodalModel, config: Mapping[str, Any], source: str
) -> tuple[float, float]:
    """Write the graphs of a model; return the largest difference and the largest of the logits.

    Args:
        folder: The folder.
        model: The model.
        config: Its config, with the tokenizers.
        source: Where it comes from, for messages (``ckpt=…``).

    Raises:
        ConfigError: if it has parts that cannot be exported.
        RunError: if the graphs do not compute the same.
    """
    head = exportable_head(model, source)
    facts = facts_of(model, head)
    limits = Limits(facts.bos_id, facts.eos_id, facts.max_length)
    make_method(model.head[head].generation, limits)  # type: ignore[arg-type]  # is supported
    inputs = example_inputs(model, config)
    encoder = EncoderGraph(model.eval(), head)
    decoder = DecoderGraph(model.head[head].decoder, facts.summary)  # type: ignore[arg-type]
    with torch.no_grad(), tempfile.TemporaryDirectory() as temporary:
        context = encoder(*inputs)
        place = Path(temporary)
        try:
            export(encoder, inputs, place / ENCODER, facts.encoder_inputs, facts.context)
            export(
                decoder,
                example_step(facts, context),
                place / DECODER,
                facts.decoder_inputs,
                facts.decoder_outputs,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ConfigError(
                f"{source}: {no_export(model)}: {first_line(error)}; export it without format"
            ) from error
        graphs = {name: (place / name).read_bytes() for name in (ENCODER, DECODER)}
        write_onnx_folder(place / "model", config, facts, graphs)
        try:
            difference, largest = check_same(place / "model", encoder, inputs, source)
        except CheckpointError as error:
            raise ConfigError(
                f"{source}: {no_export(model)}: ONNX Runtime: {error.__cause__}; export it without "
                "format"
            ) from error
    write_onnx_folder(folder, config, facts, graphs)
    return difference, largest


def no_export(model: MultimodalModel) -> str:
    """Return which parts this version of torch cannot export together."""
    modules = (*model.encoder.values(), model.fusion)
    parts = ", ".join(type(module).__name__ for module in modules)
    return f"torch {torch.__version__} cannot export this model ({parts})"


def first_line(error: BaseException) -> str:
    """Return the first line of the error that caused this one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def exportable_head(model: MultimodalModel, source: str) -> str:
    """Return the name of the head that generates text.

    Raises:
        ConfigError: if the model has none, or has parts that cannot be exported.
    """
    names = [name for name, head in model.head.items() if {*TEXT_TARGETS} & {*head.targets}]
    if not names:
        raise ConfigError(
            f"{source}: format=onnx exports models that generate text, and this one has the heads "
            f"{', '.join(model.head)}; export it without format"
        )
    decoder = getattr(model.head[names[0]], "decoder", None)
    if not isinstance(decoder, TransformerDecoder):
        raise ConfigError(
            f"{source}: format=onnx supports decoder=transformer, and this model has a "
            f"{type(decoder).__name__}; export it without format (or with merged=true), and use "
            "that model folder"
        )
    features = [name for name, encoder in model.encoder.items() if encoder.reads_features]
    if features:
        raise ConfigError(
            f"{source}: this model reads precomputed features ({', '.join(features)}), so it "
            "captions no files; export it without format"
        )
    if any(encoder.reads_patches for encoder in model.encoder.values()):
        raise ConfigError(
            f"{source}: format=onnx needs images of one size, and this model reads them in their "
            "own aspect ratio (data.resize_mode=naflex); export it without format"
        )
    return names[0]


def facts_of(model: MultimodalModel, name: str) -> GraphFacts:
    """Return what is known of the graphs."""
    head: Any = model.head[name]
    vocab_size, dim = head.decoder.embedding.weight.shape
    num_heads = head.decoder.blocks[0].attention.num_heads
    return GraphFacts(
        head=name,
        key=head.output_key,
        modalities=tuple(model.encoder),
        summary=head.stream_summary is not None,
        blocks=len(head.decoder.blocks),
        num_heads=num_heads,
        head_width=dim // num_heads,
        vocab_size=vocab_size,
        bos_id=head.bos_id,
        eos_id=head.eos_id,
        max_length=head.max_length,
    )


def example_inputs(
    model: MultimodalModel, config: Mapping[str, Any], batch: int = SIZES[0], seed: int = 0
) -> tuple[Tensor, ...]:
    """Return random inputs of the encoder: data and mask of each modality.

    Args:
        model: The model.
        config: Its config.
        batch: Number of inputs.
        seed: Of the random values.
    """
    p = Preprocessing(**config["preparation"])
    random = torch.Generator().manual_seed(seed)
    inputs: list[Tensor] = []
    for name in model.encoder:
        data = example_data(name, p, batch, model, random)
        inputs += [data, torch.ones(data.shape[:2], dtype=torch.bool)]
    return tuple(inputs)


def example_data(
    name: str, p: Preprocessing, batch: int, model: MultimodalModel, random: torch.Generator
) -> Tensor:
    """Return random data of a modality, longer than 1 on the axes whose length may change.

    Args:
        name: The modality.
        p: The preprocessing.
        batch: Number of inputs.
        model: The model.
        random: Of the values.
    """
    if name == "text":
        size = batch, min(8, p.max_length)
        return torch.randint(0, text_vocabulary(model), size, generator=random)
    if name == "audio":
        length = round(p.audio_seconds * HOPS_PER_SECOND)
        return torch.rand(batch, length, p.sample_rate // HOPS_PER_SECOND, generator=random) * 2 - 1
    length = 2 if name == "image" else max(2, p.num_frames)
    pictures = batch, length, 3, p.image_size, p.image_size
    return torch.randint(0, 256, pictures, generator=random, dtype=torch.uint8)


def text_vocabulary(model: MultimodalModel) -> int:
    """Return the number of tokens that the text encoder knows: the rows of its first embedding."""
    tables = (x for x in model.encoder["text"].modules() if isinstance(x, nn.Embedding))
    return next(tables).num_embeddings


def example_step(facts: GraphFacts, context: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return inputs of the decoder after some steps."""
    b, k, t = SIZES
    past = [torch.zeros(b * k, facts.num_heads, t, facts.head_width) for _ in facts.names("past")]
    tokens = torch.full((b, k), facts.bos_id)
    return tokens, torch.arange(b * k), *context, *past


def export(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: Sequence[str],
    outputs: Sequence[str],
) -> None:
    """Trace a graph and write it to a file.

    Args:
        graph: The module.
        inputs: Example inputs.
        path: The file.
        names: Names of the inputs.
        outputs: Names of the outputs.
    """
    shapes = [dynamic_axes(name, x) for name, x in zip(names, inputs, strict=True)]
    fixed = 0 if isinstance(graph, EncoderGraph) else 3  # named arguments of ``forward``
    with quiet():
        program = torch.onnx.export(
            graph,
            inputs,
            input_names=[*names],
            output_names=[*outputs],
            dynamic_shapes=(*shapes[:fixed], tuple(shapes[fixed:])),
            opset_version=OPSET,
            custom_translation_table=dict(TRANSLATIONS),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path, external_data=False)
    if path.stat().st_size > MAX_GRAPH_BYTES:
        raise ConfigError("format=onnx: the model has more than 2 GB; export it without format")


def dynamic_axes(name: str, x: Tensor) -> dict[int, Any]:
    """Return the axes of an input whose length may change: batch, rows and tokens."""
    if name.startswith(("context_key", "context_value", "past")):
        return {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    return dict.fromkeys(range(1 if name in ("rows", "summary") else 2), Dim.DYNAMIC)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter, which reports on its own passes and on operators it leaves out."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
