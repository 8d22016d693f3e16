"""The whole configuration of a run: what is stored, inherited and left out filled in."""

import os
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preparation
from mmtx_cli.config.schema import SECTIONS, DataSettings
from mmtx_cli.config.validate import check
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs.feature_cache import cache_faults
from mmtx_cli.runs.inherit import has_new_head, has_weights, inherit
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.resume import resumed

DEFAULTS = {"dim": 256} | {key: getattr(Preparation(), key) for key in ROOT_KEYS}


def prepared(
    cfg: DictConfig, further: Callable[[DictConfig, Mapping[str, Any]], None] | None = None
) -> tuple[DictConfig, Mapping[str, Any] | None, Set[str]]:
    """The whole configuration, once it is sound; with what a trained model that it begins with
    was made of, and the encoders that bring other weights.

    ``further`` takes over more of that than the parts of the model.
    """
    stored, fresh = None, set()
    make_absolute(cfg)
    if cfg.resume:
        cfg, stored = resumed(cfg)
    elif cfg.ckpt:
        stored = read_config(cfg.ckpt)
        fresh = {n for n, node in (cfg.encoder or {}).items() if has_weights(node)}
        if has_new_head(cfg):  # it learns the labels of its own data
            stored["label_names"] = stored["answer_names"] = []
        inherit(cfg, stored)
        if further is not None:
            further(cfg, stored)
    for key, value in DEFAULTS.items():
        # a run of before there was the key may be resumed
        cfg[key] = value if key not in cfg.keys() or cfg[key] is None else cfg[key]  # noqa: SIM118
    check_all(cfg)
    return cfg, stored, fresh


def make_absolute(cfg: DictConfig) -> None:
    """Paths that a resumed run finds from any folder."""
    for key in ("path", "root", "tokenizer", "cache"):
        if cfg.data and isinstance(cfg.data.get(key), str):
            cfg.data[key] = os.path.abspath(os.path.expanduser(cfg.data[key]))
    for own in (cfg.data.get("mixture") if cfg.data else None) or ():
        for key in ("path", "root"):
            if OmegaConf.is_dict(own) and isinstance(own.get(key), str):
                own[key] = os.path.abspath(os.path.expanduser(own[key]))


def check_all(cfg: DictConfig) -> None:
    """Tell of the configuration and of a missing manifest together, before torch is imported."""
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
    """Told beside the other faults; PyTorch is imported only where a GPU is asked for."""
    name = (plain.get("trainer") or {}).get("accelerator")
    if name in ("gpu", "cuda", "mps"):
        from mmtx_cli.distributed.launch import check_accelerator

        try:
            check_accelerator(name)
        except ConfigError as error:
            yield from error.faults


def manifests(data: Any) -> Iterator[str]:
    """The paths of the manifest, or of a mixture's."""
    if isinstance(data, Mapping):
        for own in (data, *(data.get("mixture") or ())):
            if isinstance(own, Mapping) and isinstance(own.get("path"), str):
                yield own["path"]


def sections(cfg: DictConfig) -> dict[str, Any]:
    """The plain sections as typed settings."""
    return {
        name: OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), cfg[name]))
        for name, schema in SECTIONS.items()
    }


def preparation_of(cfg: DictConfig, data: DataSettings) -> Preparation:
    """How samples become tensors, from the root of the configuration and from ``data``."""
    root = {key: cfg[key] for key in ROOT_KEYS}
    plain = {key: getattr(data, key) for key in DATA_KEYS}
    return Preparation(**root, **plain, features=feature_widths(cfg.encoder))


def change(node: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set keys of a component, and of components in it."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(node.get(key), dict):
            change(node[key], value)
        else:
            node[key] = value


def portable_nodes(cfg: DictConfig, encoders: Any) -> dict[str, Any]:
    """The plain configuration of each encoder with what rebuilds it without its source."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for name, encoder in encoders.items():
        change(plain["encoder"][name], encoder.portable())
    return plain["encoder"]  # type: ignore[no-any-return]


def plain_config(
    cfg: DictConfig, data: DataSettings, preparation: Mapping[str, Any], corpus: Any
) -> dict[str, Any]:
    """What rebuilds the model anywhere: plain data only."""
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
