"""What a command takes over from a trained model, where the user chose nothing else."""

import json
from collections.abc import Mapping, Set
from dataclasses import asdict
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmtx_cli.config.cross_checks import constant, is_trained
from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preparation
from mmtx_cli.config.validate import component_faults
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError, ConfigError, MmtxError
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.tensor_checks import other_types


def inherit(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Fill in dim, encoders, fusion, heads and preparation from a trained model's config.

    A component that is chosen anew (it has a ``_target_``) replaces the stored one; single keys
    (``head.captioning.num_beams=5``) change it.

    Raises:
        CheckpointError: if the stored config is not of the form that mmtx writes.
        ConfigError: if ``cfg`` sets what the trained model fixes.
    """
    try:
        _inherit(cfg, stored)
    except (TypeError, KeyError, AttributeError, ValueError, OmegaConfBaseException) as error:
        if isinstance(error, MmtxError):
            raise
        raise CheckpointError(
            f"ckpt={cfg.ckpt}: its config is not of the form that mmtx writes "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error


def _inherit(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    if "${" in json.dumps([stored[key] for key in ("model", "preparation", "data")]):
        raise CheckpointError(
            f"ckpt={cfg.ckpt}: its config holds interpolations, which mmtx never writes"
        )
    model, preparation = stored["model"], {**asdict(Preparation()), **stored["preparation"]}
    refuse_other_sizes(cfg, model, preparation)
    cfg.dim = model["dim"] if cfg.get("dim") is None else cfg.dim
    for key in ROOT_KEYS:
        cfg[key] = preparation[key] if cfg.get(key) is None else cfg[key]
    if cfg.get("fusion") is None:
        cfg.fusion = model["fusion"]
    elif is_change(cfg.fusion):
        cfg.fusion = OmegaConf.merge(model["fusion"], cfg.fusion)
    cfg.encoder = merged(model["encoder"], cfg.get("encoder") or {})
    chosen = cfg.get("head") or {}
    cfg.head = OmegaConf.create(chosen) if has_new_head(cfg) else merged(model["head"], chosen)
    cfg.data = cfg.get("data") or {}
    for key in DATA_KEYS:
        cfg.data.setdefault(key, preparation[key])


def refuse_other_sizes(
    cfg: DictConfig, model: Mapping[str, Any], preparation: Mapping[str, Any]
) -> None:
    """Sizes that parts which are taken over cannot change.

    Raises ConfigError.
    """
    chosen = cfg.get("encoder") or {}
    kept = [n for n, node in model["encoder"].items() if n not in chosen or is_change(chosen[n])]
    faults = []
    if cfg.get("dim") not in (None, model["dim"]):
        faults.append(f"dim={cfg.dim}: the model in ckpt has {model['dim']}; leave it out")
    for key, held in (
        ("sample_rate", [n for n in kept if n == "audio" and hears(model["encoder"][n])]),
        ("image_size", [name for name in kept if fixes_size(model["encoder"][name])]),
    ):
        asked, had = cfg.get(key), preparation[key]
        if held and asked not in (None, had):
            faults.append(
                f"{key}={asked}: encoder.{held[0]} was trained with {had} and can have no other; "
                f"leave it out, or choose another encoder: encoder/{held[0]}=NAME"
            )
    if faults:
        raise ConfigError(*faults)


def fixes_size(node: Any) -> bool:
    """Does an encoder read pictures of one size alone?"""
    try:
        return bool(class_constant(str(node["_target_"]), "fixed_size"))
    except (TargetError, KeyError, TypeError):  # not of mmtx: it may
        return False


def hears(node: Any) -> bool:
    """Does an encoder of sound read sound, not features of it?"""
    return not constant(node, "reads_features")


def has_new_head(cfg: DictConfig) -> bool:
    """Are heads chosen to be trained, in place of those of the trained model?"""
    nodes = (cfg.get("head") or {}).values()
    return any(node is not None and not is_change(node) and is_trained(node) for node in nodes)


def has_weights(node: Any) -> bool:
    """Does a choice of an encoder, or of one within it, name pretrained weights?"""
    if not isinstance(node, (DictConfig, Mapping)):
        return False
    return bool(node.get("weights")) or any(map(has_weights, node.values()))


def is_change(node: object) -> bool:
    """Does it set single keys of a component, rather than choose one?"""
    return isinstance(node, (DictConfig, Mapping)) and "_target_" not in node


def merged(stored: Mapping[str, Any], chosen: Mapping[str, Any]) -> DictConfig:
    """Stored components, each changed or replaced by what was chosen."""
    result = dict(stored)
    for name, node in chosen.items():
        if is_change(node) and name in stored:
            result[name] = OmegaConf.merge(stored[name], node)
        else:
            result[name] = node
    return OmegaConf.create(result)


def check_stored(stored: Mapping[str, Any], ckpt: str, trusted: tuple[str, ...]) -> None:
    """Refuse a trained model whose config describes another one than its weights are of.

    What is taken over from the config may be larger than any memory. Heads of packages that are
    not trusted are left out: they are refused by their own faults, unless others replace them.

    Raises:
        CheckpointError: naming tensors that are missing, or of another size.
    """
    from mmtx_cli.build import build_model
    from mmtx_cli.fitting import check_fitting

    model, trust = stored["model"], {"trusted_packages": list(trusted)}
    heads = {
        name: node
        for name, node in model["head"].items()
        if node and not list(component_faults({"head": {name: node}, **trust}))
    }
    kept = {**model, "head": heads}
    if list(component_faults({**kept, **trust})):
        return  # encoders or a fusion that are replaced, or refused by these faults
    weights = {
        name: tensor
        for name, tensor in read_weights(ckpt).items()
        if not name.startswith("head.") or name.split(".")[1] in heads
    }
    check_fitting(lambda: build_model({"model": kept}, trusted), weights, f"ckpt={ckpt}")


def load_initial(model: Any, ckpt: str, fresh: Set[str]) -> None:
    """Initialize with trained weights wherever name and shape agree, and report the others.

    An image encoder within another encoder (``encoder.video.image`` of ``encoder/video=frames``)
    that the checkpoint lacks is initialized with the checkpoint's image encoder, and the other
    encoder's projection with that of the images: what reads images understands frames at once.

    Raises:
        CheckpointError: if no tensor fits.
    """
    own = tuple(f"encoder.{name}." for name in fresh)
    weights, state = read_weights(ckpt), model.state_dict()
    frames = {k.split(".")[1] for k in state if as_image_encoder(k)}
    sources = {k: as_image_encoder(k) or as_project(k, frames) for k in state if k not in weights}
    nested = {k: weights[source] for k, source in sources.items() if source in weights}
    fitting = {
        k: v
        for k, v in {**weights, **nested}.items()
        if k in state and state[k].shape == v.shape and not k.startswith(own)
    }
    if not fitting:
        raise CheckpointError(f"ckpt={ckpt}: none of its tensors fits this model")
    if faults := other_types(state, fitting):
        raise CheckpointError(f"ckpt={ckpt}: {'; '.join(faults[:5])}: not what mmtx saved")
    model.load_state_dict(fitting, strict=False)
    if is_first_process():
        others = (k for k in state.keys() - fitting.keys() if not k.startswith(own))
        new = sorted({".".join(k.split(".")[:2]) for k in others})
        said = f"; new: {', '.join(new)}" if new else ""
        copied = sorted(
            {k.split(".image.")[0] for k in nested.keys() & fitting.keys() if ".image." in k}
        )
        said += "".join(f"; {name}.image: from encoder.image" for name in copied)
        print(f"ckpt: {len(fitting)} of {len(state)} tensors from {ckpt}{said}")


def as_image_encoder(name: str) -> str | None:
    """The name that a tensor of a nested image encoder has in ``encoder.image``; None of others."""
    outer, within, rest = name.partition(".image.")
    return f"encoder.image.{rest}" if within and outer.startswith("encoder.") else None


def as_project(name: str, modalities: Set[str]) -> str | None:
    """The name in ``project.image`` of a tensor that projects one of ``modalities``."""
    part, _, rest = name.partition(".")
    modality, _, rest = rest.partition(".")
    return f"project.image.{rest}" if part == "project" and modality in modalities else None
