"""What a command takes over from a trained model, where the user chose nothing else."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

PREPARATION = ("image_size", "max_length")


def inherit(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Fill in dim, encoders, fusion, heads and preparation from a trained model's config.

    A component that is chosen anew (it has a ``_target_``) replaces the stored one; single keys
    (``head.captioning.num_beams=5``) change it.
    """
    model, preparation = stored["model"], stored["preparation"]
    cfg.dim = model["dim"] if cfg.get("dim") is None else cfg.dim
    for key in PREPARATION:
        cfg[key] = preparation[key] if cfg.get(key) is None else cfg[key]
    if cfg.get("fusion") is None or "_target_" not in cfg.fusion:
        cfg.fusion = OmegaConf.merge(model["fusion"], cfg.get("fusion") or {})
    cfg.encoder = merged(model["encoder"], cfg.get("encoder") or {})
    chosen = cfg.get("head") or {}
    new = any("_target_" in node for node in chosen.values())
    cfg.head = OmegaConf.create(chosen) if new else merged(model["head"], chosen)
    cfg.data = cfg.get("data") or {}
    for key in ("fit", "text"):
        cfg.data.setdefault(key, preparation[key])


def merged(stored: Mapping[str, Any], chosen: Mapping[str, Any]) -> DictConfig:
    """Stored components, each changed or replaced by what was chosen."""
    result = dict(stored)
    for name, node in chosen.items():
        if node is None or "_target_" in node or name not in stored:
            result[name] = node
        else:
            result[name] = OmegaConf.merge(stored[name], node)
    return OmegaConf.create(result)
