"""Published vision-language models (section ``vlm``) as the model of a command."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import shipped
from mmtx_cli.config.cross_checks import class_attribute, text_target
from mmtx_cli.config.preprocessing import PLACE, Preprocessing
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.runs.inherit import is_change
from mmtx_cli.runs.run_dir import check_not_trained

RAW = {name: {"_target_": "mmtx_cli.encoder.raw.RawEncoder"} for name in ("image", "video")}
"""Encoders of a model that reads pictures and films itself."""
SIZE = 448
"""Side in pixels of the pictures of a processor that accepts any size."""
TILES = ("image_grid_pinpoints", "crop_to_patches", "max_image_tiles")
"""Settings of processors that cut a picture into several tiles (LLaVA-NeXT, InternVL, Mllama)."""
LONGEST = 4096
"""From here on, ``longest_edge`` is a number of pixels, not a length (Qwen2-VL)."""


def expand_vlm(cfg: DictConfig) -> None:
    """Replace the section ``vlm`` by the decoder, encoders, fusion and head that it stands for.

    With a trained model, it changes keys of the decoder.

    Raises:
        ConfigError: If parts are selected that do not fit it.
    """
    chosen = cfg.get("vlm")
    if not chosen:
        return
    cfg.vlm = None
    if is_change(chosen) or cfg.get("resume"):
        if not cfg.get("ckpt") and not cfg.get("resume"):
            raise ConfigError("vlm: no model selected; set vlm=huggingface")
        cfg.decoder = OmegaConf.merge(cfg.get("decoder") or {}, chosen)
        if isinstance(chosen.get("prompt"), str):
            cfg.decoder.prompt_template = PLACE if PLACE in chosen.prompt else None
        return
    if faults := list(part_faults(cfg)):
        raise ConfigError(*faults)
    disabled = [name for name, node in (cfg.get("encoder") or {}).items() if node is None]
    cfg.encoder = {name: node for name, node in RAW.items() if name not in disabled}
    head = {**shipped("head/captioning"), "streams": sorted(cfg.encoder)}
    own = (cfg.get("head") or {}).get("captioning") or {}
    cfg.head = {"captioning": OmegaConf.merge(head, own)}
    cfg.fusion, cfg.dim = shipped("fusion/decision"), 1
    if text_target(cfg.head.captioning) == "answers" and chosen.get("prompt") is None:
        chosen.prompt = PLACE
    cfg.decoder = chosen
    if not chosen.get("weights"):
        raise ConfigError("vlm.weights: required; set the name of a model, or a folder")
    cfg.data = cfg.get("data") or {}
    size, mode = picture_size(str(chosen.weights))
    cfg.image_size = size if cfg.get("image_size") is None else cfg.image_size
    if cfg.data.get("resize_mode") is None:
        cfg.data.resize_mode = mode


def stored_model(cfg: DictConfig) -> Mapping[str, Any]:
    """Return the config of the trained model ``ckpt``, or of the published one that ``vlm`` names.

    Of the latter, a model folder is written, which becomes ``ckpt``.

    Raises:
        ConfigError: If both are selected.
    """
    if cfg.get("vlm") and not is_change(cfg.vlm):
        if cfg.ckpt:
            raise ConfigError("vlm: cannot be combined with ckpt; remove one of them")
        check_not_trained({"run_dir": cfg.run_dir})
        cfg.ckpt, cfg.vlm = write_model_folder(cfg), None
    expand_vlm(cfg)
    return read_config(cfg.ckpt)


def part_faults(cfg: DictConfig) -> Iterator[str]:
    """Yield errors for parts of a model that a published one already has."""
    for name, node in (cfg.get("encoder") or {}).items():
        if node:
            yield f"encoder.{name}: vlm reads pictures and films itself; remove encoder/{name}"
    for key in ("fusion", "connector", "decoder"):
        if cfg.get(key):
            yield f"{key}: a published model has its own; remove {key}"
    for name, node in (cfg.get("head") or {}).items():
        if name != "captioning" and node:
            yield f"head.{name}: vlm generates text; remove head={name}"


def picture_size(weights: str) -> tuple[int, str]:
    """Return the side in pixels and the ``data.resize_mode`` that lose least for a processor.

    Raises:
        ConfigError: If it cannot be loaded.
    """
    from mmtx_cli.hub.huggingface import check_reads_pictures, preprocessor

    try:
        check_reads_pictures(weights)
        processor = preprocessor(weights, "ImageProcessor")
    except ValueError as error:
        raise ConfigError(f"vlm: {error}") from error
    crop, size = (dict(getattr(processor, name, None) or {}) for name in ("crop_size", "size"))
    # these keep the aspect ratio: the padding is removed again
    if any(getattr(processor, name, None) for name in TILES):
        return 2 * int(size.get("height") or size.get("shortest_edge") or SIZE), "pad"
    if getattr(processor, "do_center_crop", False) and crop.get("height"):
        return int(crop["height"]), "crop"
    if size.get("height"):
        return int(size["height"]), "squash"
    edge = int(size.get("longest_edge") or SIZE)
    return (edge if edge < LONGEST else SIZE), "pad"


def write_model_folder(cfg: DictConfig) -> str:
    """Write a model folder that refers to the published model of ``vlm``, in the run folder.

    Returns its path. It holds no weights but those of the placeholders.

    Raises:
        ConfigError: If the model's processor or tokenizer cannot be loaded.
    """
    import torch

    from mmtx_cli.data.text.tokenizer_choice import decoder_prompt, decoder_tokenizer

    expanded = deepcopy(cfg)
    expand_vlm(expanded)
    plain: dict[str, Any] = OmegaConf.to_container(expanded, resolve=False)  # type: ignore[assignment]
    tokenizer = decoder_tokenizer(plain["decoder"])
    assert tokenizer is not None, "published models bring their tokenizer"
    preprocessing = Preprocessing(
        image_size=plain["image_size"],
        resize_mode=plain["data"]["resize_mode"],
        max_length=plain.get("max_length") or Preprocessing().max_length,
        num_frames=plain.get("num_frames") or Preprocessing().num_frames,
        prompt=decoder_prompt(plain["decoder"]),
    )
    facts = {
        "dim": 1,
        "image_size": preprocessing.image_size,
        "max_length": preprocessing.max_length,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
    }
    model = {key: plain[key] for key in ("encoder", "fusion", "decoder", "head")}
    model["decoder"]["prompt_template"] = preprocessing.prompt
    nodes: Any = OmegaConf.to_container(OmegaConf.create({**facts, **model}), resolve=True)
    config: Mapping[str, Any] = {
        "model": {"dim": 1, "connector": None, **{key: nodes[key] for key in model}},
        "preparation": asdict(preprocessing),
        "label_names": [],
        "multi_label": False,
        "answer_names": [],
        "tokenizer": tokenizer.to_json(),
        "data": {},
        "seed": int(cfg.seed),
    }
    weights = {}
    for name in nodes["encoder"]:
        weights[f"project.{name}.weight"] = torch.ones(1, 1)
        weights[f"project.{name}.bias"] = torch.zeros(1)
    return str(save_folder(Path(str(cfg.run_dir)) / "published", config, weights))


def follow_preprocessing(cfg: DictConfig) -> None:
    """Let a published model know the size of its pictures, and whether they are padded."""
    if class_attribute(cfg.get("decoder"), "reads_raw"):
        cfg.decoder.image_size = cfg.image_size
        cfg.decoder.trim = (cfg.get("data") or {}).get("resize_mode") == "pad"
