"""``mmtx export``: write a self-contained model folder."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmtx_cli.config.cross_checks import decoder_section, text_target, trait
from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.inference.peft_adapter import ADAPTER, write_adapter
from mmtx_cli.io.atomic import atomic_write, is_temporary
from mmtx_cli.io.checkpoint import (
    CONFIG,
    TOKENIZERS,
    WEIGHTS,
    read_config,
    read_weights,
)
from mmtx_cli.io.file_errors import reason
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.io.onnx_folder import GRAPHS
from mmtx_cli.io.quoting import argument

ONNX = "onnx"
FORMATS = ("safetensors", ONNX)
ONNX_NOTE = """
The model is stored as ONNX graphs, which run without PyTorch (`pip install mmtx[onnx]`).
"""


def run(cfg: DictConfig) -> None:
    """Copy the weights and config of ``ckpt`` into ``out``, with a model card."""
    check_known_keys(cfg, "export")
    faults = [
        f"{key}: required; set ckpt=RUN out=FOLDER" for key in ("ckpt", "out") if not cfg[key]
    ]
    if cfg.format not in FORMATS:
        faults.append(f"format={cfg.format}: must be {' or '.join(FORMATS)}")
    if cfg.format == ONNX and cfg.merged:
        faults.append("merged: does not apply to format=onnx; remove one of them")
    packages = ("onnx", "onnxscript", "onnxruntime") if cfg.format == ONNX else ()
    if missing := [name for name in packages if find_spec(name) is None]:
        faults.append(f"format=onnx: {', '.join(missing)} not installed; pip install mmtx[onnx]")
    if faults:
        raise ConfigError(*faults)
    config, out = read_config(cfg.ckpt), Path(str(cfg.out)).expanduser().absolute()
    check_replaceable_folder(out, GRAPHS if cfg.format == ONNX else (WEIGHTS, ADAPTER))
    try:
        card = model_card(out.name, config)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"ckpt={cfg.ckpt}: invalid config, not written by mmtx: a component lacks {error}"
        ) from error
    weights = read_weights(cfg.ckpt)
    if cfg.format == ONNX:
        export_onnx(cfg, out, config, weights, card)
        return
    if cfg.merged:
        from mmtx_cli.inference.merge_decoder import merged_model, write_published

        if decoder_section(config["model"].get("decoder")) == "vlm":
            check_empty(out)
            try:
                write_published(out, config, weights, f"ckpt={cfg.ckpt}")
            except OSError as error:
                raise ConfigError(f"out={out}: cannot be written: {reason(error)}") from error
            print(out)
            return
        if not config["model"].get("decoder"):
            raise ConfigError("merged: this model has no decoder; remove it")
        config, weights = merged_model(config, weights, f"ckpt={cfg.ckpt}")
    try:
        folder = save_folder(out, config, weights)
        with atomic_write(folder / "README.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
        if (decoder := config["model"].get("decoder") or {}).get("lora"):
            write_adapter(folder / ADAPTER, decoder, weights)
    except OSError as error:
        raise ConfigError(f"out={out}: cannot be written: {reason(error)}") from error
    print(folder)


def export_onnx(
    cfg: DictConfig, out: Path, config: dict[str, Any], weights: dict[str, Any], card: str
) -> None:
    """Write a folder of ONNX graphs with a model card.

    Args:
        cfg: The configuration.
        out: The folder.
        config: The config of the model.
        weights: Its tensors.
        card: The model card.

    Raises:
        ConfigError: if the model cannot be exported.
        RunError: if the graphs do not compute the same as the model.
    """
    from mmtx_cli.inference.onnx.write import write_onnx
    from mmtx_cli.model.build import build_model
    from mmtx_cli.model.match_weights import build_fitting

    source = f"ckpt={cfg.ckpt}"
    model = build_fitting(lambda: build_model(config), weights, source).eval()
    try:
        difference, largest = write_onnx(out, model, config, source)
        with atomic_write(out / "README.md") as temporary:
            temporary.write_text(card + ONNX_NOTE, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"out={out}: cannot be written: {reason(error)}") from error
    print(
        f"compared with the model: logits differ by at most {difference:.2g} (the largest is "
        f"{largest:.3g})",
        file=sys.stderr,
    )
    print(out)


def check_empty(out: Path) -> None:
    """Raise ConfigError unless ``out`` is new or empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out={out}: exists already; use a new or empty folder")


def check_replaceable_folder(out: Path, own: Sequence[str]) -> None:
    """Raise ConfigError unless ``out`` is new, empty or an earlier model folder.

    ``own`` are the files of such a folder that others do not have, the first one is always there.
    """
    files = out.iterdir() if out.is_dir() else ()
    existing = {path.name for path in files if not is_temporary(path.name)}
    others = sorted(existing - {*own, CONFIG, *TOKENIZERS.values(), "README.md"})
    if others or (existing and own[0] not in existing):
        names = ", ".join((others or sorted(existing))[:3])
        raise ConfigError(f"out={out}: contains other files ({names}); use a new or empty folder")


def model_card(name: str, config: dict[str, Any]) -> str:
    """Return a Markdown model card: the components and an example command."""
    model = config["model"]
    parts = [f"{kind} encoder: `{node['_target_']}`" for kind, node in model["encoder"].items()]
    parts.append(f"fusion: `{model['fusion']['_target_']}`")
    parts += [f"head {head}: `{node['_target_']}`" for head, node in model["head"].items()]
    listed = "\n".join(f"- {part}" for part in parts)
    heads = model["head"].values()
    predicts = any(trait(n, "predicts") and not trait(n, "contrastive") for n in heads)
    command = "predict" if predicts else "eval"
    command = "caption" if any(map(text_target, heads)) else command
    inputs = " inputs=PICTURES" if command == "caption" else " data.path=MANIFEST.jsonl"
    if any(text_target(node) == "answers" for node in heads):
        inputs += " text='A QUESTION'"
    return (
        f"# {name}\n\nA multimodal model trained with mmtx.\n\n{listed}\n"
        f"- image size: {config['preparation']['image_size']} pixels\n\n"
        f"```\nmmtx {command} {argument('ckpt', name)}{inputs}\n```\n"
    )
