"""Resolve the full configuration of a run: stored, inherited and default values."""

import os
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preprocessing
from mmtx_cli.config.schema import SECTIONS, DataSettings
from mmtx_cli.config.validate import check
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs.feature_cache import cache_faults
from mmtx_cli.runs.inherit import has_new_head, has_weights, inherit
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.resume import resumed

DEFAULTS = {"dim": 256} | {key: getattr(Preprocessing(), key) for key in ROOT_KEYS}


def prepared(
    cfg: DictConfig, further: Callable[[DictConfig, Mapping[str, Any]], None] | None = None
) -> tuple[DictConfig, Mapping[str, Any] | None, Set[str]]:
    """Return the complete configuration, the stored config that it starts from, and fresh encoders.

    The stored config is that of ``ckpt`` or of the run to resume, None without either. Fresh
    encoders have other pretrained weights than the stored model. ``further`` inherits more of the
    stored config than the parts of the model.

    Raises:
        ConfigError: naming all errors of the configuration.
    """
    stored, fresh = None, set()
    make_absolute(cfg)
    if cfg.resume:
        cfg, stored = resumed(cfg)
    elif cfg.ckpt:
        stored = read_config(cfg.ckpt)
        fresh = {n for n, node in (cfg.encoder or {}).items() if has_weights(node)}
        if has_new_head(cfg):  # new heads use the labels of the new data
            stored["label_names"] = stored["answer_names"] = []
        inherit(cfg, stored)
        if further is not None:
            further(cfg, stored)
    for key, value in DEFAULTS.items():
        # a resumed run may be older than the key
        cfg[key] = value if key not in cfg.keys() or cfg[key] is None else cfg[key]  # noqa: SIM118
    check_all(cfg)
    return cfg, stored, fresh


def make_absolute(cfg: DictConfig) -> None:
    """Make paths absolute, so that a run can be resumed from any folder."""
    for key in ("path", "root", "tokenizer", "cache"):
        if cfg.data and isinstance(cfg.data.get(key), str):
            cfg.data[key] = os.path.abspath(os.path.expanduser(cfg.data[key]))
    for own in (cfg.data.get("mixture") if cfg.data else None) or ():
        for key in ("path", "root"):
            if OmegaConf.is_dict(own) and isinstance(own.get(key), str):
                own[key] = os.path.abspath(os.path.expanduser(own[key]))


def check_all(cfg: DictConfig) -> None:
    """Raise ConfigError with all errors of the configuration, manifests, cache and accelerator.

    PyTorch is only imported if the accelerator is a GPU.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    faults: list[str] = []
    try:
        check(plain)
    except ConfigError as error:
        faults += error.faults
    try:
        for path in manifests(plain.get("data")):
            check_exists(Path(path))
        faults += cache_faults(plain)
    except DataError as error:
        faults += error.faults
    faults += accelerator_faults(plain)
    if faults:
        raise ConfigError(*faults)


def accelerator_faults(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of the accelerator; imports PyTorch only if a GPU is requested."""
    name = (plain.get("trainer") or {}).get("accelerator")
    if name in ("gpu", "cuda", "mps"):
        from mmtx_cli.distributed.launch import check_accelerator

        try:
            check_accelerator(name)
        except ConfigError as error:
            yield from error.faults


def manifests(data: Any) -> Iterator[str]:
    """Yield the path of the manifest, or those of a mixture."""
    if isinstance(data, Mapping):
        for own in (data, *(data.get("mixture") or ())):
            if isinstance(own, Mapping) and isinstance(own.get("path"), str):
                yield own["path"]


def sections(cfg: DictConfig) -> dict[str, Any]:
    """Return the plain sections as typed settings."""
    return {
        name: OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), cfg[name]))
        for name, schema in SECTIONS.items()
    }


def preparation_of(cfg: DictConfig, data: DataSettings) -> Preprocessing:
    """Return the preprocessing settings from the root of the configuration and from ``data``."""
    root = {key: cfg[key] for key in ROOT_KEYS}
    plain = {key: getattr(data, key) for key in DATA_KEYS}
    return Preprocessing(**root, **plain, features=feature_widths(cfg.encoder))


def change(node: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set keys of a component and of its nested components, in place."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(node.get(key), dict):
            change(node[key], value)
        else:
            node[key] = value


def portable_nodes(cfg: DictConfig, encoders: Any) -> dict[str, Any]:
    """Return the plain configuration that rebuilds each encoder without its pretrained weights."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for name, encoder in encoders.items():
        change(plain["encoder"][name], encoder.portable())
    return plain["encoder"]  # type: ignore[no-any-return]


def plain_config(
    cfg: DictConfig, data: DataSettings, preparation: Mapping[str, Any], corpus: Any
) -> dict[str, Any]:
    """Return the config that rebuilds the model anywhere, as plain data.

    Args:
        cfg: The configuration.
        data: Data settings.
        preparation: Preprocessing settings.
        corpus: The data, with its tokenizers and answers.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    where = {key: getattr(data, key) for key in ("root", "split", "path", "allow_outside_root")}
    where["path"] = data.path and str(Path(data.path).absolute())
    where["mixture"] = plain["data"].get("mixture")
    model = {key: plain[key] for key in ("dim", "encoder", "fusion", "head")}
    model["encoder"] = {name: node for name, node in model["encoder"].items() if node}
    return {
        "model": model,
        "preparation": dict(preparation),
        "label_names": plain["label_names"],
        "multi_label": plain["multi_label"],
        "answer_names": corpus.answer_names,
        **{
            name: tokenizer.to_json() if tokenizer else None
            for name, tokenizer in (
                ("tokenizer", corpus.tokenizer),
                ("text_tokenizer", corpus.text_tokenizer),
            )
        },
        "data": where,
        "seed": plain["seed"],
    }
