"""Resolve the settings of a run: stored, inherited and default values, checked and frozen."""

import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import shipped
from mmtx_cli.config.cross_checks import takes_decoder
from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.groups import DEFAULT_DECODER
from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preprocessing
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import check
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.media.shard.remote import is_url
from mmtx_cli.runs.check import check_all
from mmtx_cli.runs.choices import read_choices
from mmtx_cli.runs.inherit import has_new_head, has_weights, inherit, is_change
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.resume import resume_config, resumes
from mmtx_cli.runs.run_config import (
    AnyConfig,
    AnyTrainConfig,
    TrainConfig,
    resolved_nodes,
    root_values,
)
from mmtx_cli.runs.vlm import expand_vlm, follow_preprocessing

DEFAULTS = {"dim": 256} | {key: getattr(Preprocessing(), key) for key in ROOT_KEYS}


def train_config(cfg: DictConfig) -> TrainConfig:
    """Return the settings of a training run, from scratch, from ``ckpt`` or resumed.

    Raises:
        ConfigError: naming all errors of the configuration.
    """
    return resolve_config(TrainConfig, cfg)


def resolve_config(
    kind: type[AnyTrainConfig],
    cfg: DictConfig,
    further: Callable[[DictConfig, Mapping[str, Any]], None] | None = None,
) -> AnyTrainConfig:
    """Return the settings of a command that trains, or that caches what training reads.

    ``further`` inherits more of the stored config than the parts of the model.

    Raises:
        ConfigError: naming all errors of the configuration.
    """
    stored: Mapping[str, Any] = {}
    fresh: Set[str] = frozenset()
    make_absolute(cfg)
    cfg.resume = resumes(cfg)
    expand_vlm(cfg)
    if cfg.resume:
        cfg, stored = resume_config(cfg)
    elif cfg.ckpt:
        stored = read_config(cfg.ckpt)
        fresh = {n for n, node in (cfg.encoder or {}).items() if has_weights(node)}
        if has_new_head(cfg):  # new heads use the labels of the new data
            stored = {**stored, "label_names": [], "answer_names": []}
        inherit(cfg, stored)
        if further is not None:
            further(cfg, stored)
    set_default_decoder(cfg)
    for key, value in DEFAULTS.items():
        # a resumed run may be older than the key
        cfg[key] = value if key not in cfg.keys() or cfg[key] is None else cfg[key]  # noqa: SIM118
    read_choices(cfg)
    check_all(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    return frozen_config(kind, cfg, stored, fresh=frozenset(fresh))


def set_default_decoder(cfg: DictConfig) -> None:
    """Set the decoder of a head that generates text to ``transformer``, unless one is chosen."""
    trusted = tuple(cfg.get("trusted_packages") or ())
    chosen, heads = cfg.get("decoder"), cfg.get("head") or {}
    if (chosen and not is_change(chosen)) or not any(
        takes_decoder(node, trusted) for node in heads.values()
    ):
        return
    cfg.decoder = OmegaConf.merge(shipped(f"decoder/{DEFAULT_DECODER}"), chosen or {})


def checked_config(kind: type[AnyConfig], cfg: DictConfig, stored: Mapping[str, Any]) -> AnyConfig:
    """Return the settings of a command that uses the trained model ``stored``.

    Raises:
        ConfigError: naming all errors of the configuration.
    """
    read_choices(cfg)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    return frozen_config(kind, cfg, stored)


def frozen_config(
    kind: type[AnyConfig], cfg: DictConfig, stored: Mapping[str, Any], **further: Any
) -> AnyConfig:
    """Return a checked configuration as a frozen value of ``kind``.

    Args:
        kind: The settings of the command.
        cfg: The configuration.
        stored: Config of the trained model, or of the run to resume.
        further: Fields of ``kind`` that are not keys of the configuration.
    """
    follow_preprocessing(cfg)
    typed, nodes = sections(cfg), resolved_nodes(cfg)
    values = root_values(kind, nodes["plain"]) | typed | nodes | further
    values |= {"run_dir": Path(cfg.run_dir), "preprocessing": preparation_of(cfg, typed["data"])}
    return kind(**values, stored=stored, _unresolved=cfg)


def make_absolute(cfg: DictConfig) -> None:
    """Make paths absolute, so that a run can be resumed from any folder."""
    for key in ("path", "root", "tokenizer", "cache", "shard_cache"):
        if cfg.data and isinstance(cfg.data.get(key), str) and not is_url(cfg.data[key]):
            cfg.data[key] = os.path.abspath(os.path.expanduser(cfg.data[key]))
    for node in (cfg.head or {}).values():
        teacher = node.get("teacher") if OmegaConf.is_dict(node) else None
        if isinstance(teacher, str) and os.path.exists(os.path.expanduser(teacher)):
            node.teacher = os.path.abspath(os.path.expanduser(teacher))
    for key in ("decoder", "vlm"):
        weights = cfg[key].get("weights") if cfg.get(key) else None
        if isinstance(weights, str) and os.path.exists(os.path.expanduser(weights)):
            cfg[key].weights = os.path.abspath(os.path.expanduser(weights))
    for corpus in (cfg.data.get("mixture") if cfg.data else None) or ():
        for key in ("path", "root"):
            value = corpus.get(key) if OmegaConf.is_dict(corpus) else None
            if isinstance(value, str) and not is_url(value):
                corpus[key] = os.path.abspath(os.path.expanduser(corpus[key]))


def sections(cfg: DictConfig) -> dict[str, Any]:
    """Return the plain sections as typed settings."""
    return {
        name: OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(schema), cfg.get(name) or {})
        )
        for name, schema in SECTIONS.items()
    }


def preparation_of(cfg: DictConfig, data: DataSettings) -> Preprocessing:
    """Return the preprocessing settings from the root of the configuration and from ``data``."""
    root = {key: cfg[key] for key in ROOT_KEYS}
    plain = {key: getattr(data, key) for key in DATA_KEYS}
    prompt = (cfg.get("decoder") or {}).get("prompt_template")
    size = (cfg.encoder.get("image") or {}).get("patch_size") if cfg.encoder else None
    if size is not None and data.resize_mode == "naflex":
        plain["patch_size"] = size
    return Preprocessing(**root, **plain, prompt=prompt, features=feature_widths(cfg.encoder))
