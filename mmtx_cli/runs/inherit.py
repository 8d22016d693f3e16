"""Settings that a command inherits from a trained model unless the user sets them."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmtx_cli.config.cross_checks import class_attribute, is_trained, trait
from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.groups import accepted_options
from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preprocessing
from mmtx_cli.errors import CheckpointError, ConfigError, MmtxError
from mmtx_cli.io.redact import redacted_text
from mmtx_cli.media.shard.remote import is_url


def inherit(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Fill in dim, encoders, fusion, heads and preprocessing from a trained model's config.

    A newly chosen component (with a ``_target_``) replaces the stored one; single keys
    (``generation.num_beams=5``) modify it.

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
            f"ckpt={cfg.ckpt}: its config is not in the format that mmtx writes "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error


def _inherit(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    if "${" in json.dumps([stored[key] for key in ("model", "preparation", "data")]):
        raise CheckpointError(
            f"ckpt={cfg.ckpt}: its config contains interpolations, which mmtx never writes"
        )
    model, preparation = stored["model"], {**asdict(Preprocessing()), **stored["preparation"]}
    check_sizes_unchanged(cfg, model, preparation)
    cfg.dim = model["dim"] if cfg.get("dim") is None else cfg.dim
    for key in ROOT_KEYS:
        cfg[key] = preparation[key] if cfg.get(key) is None else cfg[key]
    check_not_mixed(cfg)
    # new heads have a new decoder
    parts = ("fusion",) if has_new_head(cfg) else ("fusion", "connector", "decoder")
    for key in parts:
        if cfg.get(key) is None:
            cfg[key] = model.get(key)
        elif is_change(cfg[key]) and model.get(key):
            cfg[key] = OmegaConf.merge(model[key], cfg[key])
    if not has_new_head(cfg):
        cfg.generation = inherited_generation(
            model.get("generation") or {}, cfg.get("generation") or {}
        )
    cfg.encoder = merged(model["encoder"], cfg.get("encoder") or {})
    chosen = cfg.get("head") or {}
    if has_new_head(cfg):
        cfg.head = OmegaConf.create(chosen)
    else:
        further = {
            name: continued(cfg.ckpt, name, model["head"].get(name), node)
            for name, node in chosen.items()
            if continues(node)
        }
        cfg.head = merged(model["head"], {**chosen, **further})
    cfg.data = cfg.get("data") or {}
    for key in DATA_KEYS:
        cfg.data.setdefault(key, preparation[key])


BEAM_KEYS = ("num_beams", "early_stopping", "num_beam_groups", "diversity_penalty")
OTHER_KEYS = ("do_sample", "temperature", "top_k", "top_p", "min_p", "penalty_alpha")


def inherited_generation(stored: Mapping[str, Any], chosen: Mapping[str, Any]) -> DictConfig:
    """Return the stored settings, changed by the chosen ones.

    If another search is chosen, the stored settings of the former one do not apply.
    """
    dropped: tuple[str, ...] = ()
    if chosen.get("do_sample") or chosen.get("penalty_alpha") is not None:
        dropped = (*BEAM_KEYS, *OTHER_KEYS)
    elif chosen.get("num_beams") is not None:
        dropped = OTHER_KEYS
        if chosen["num_beams"] == 1:
            dropped = (*BEAM_KEYS, *OTHER_KEYS)
    kept = {key: value for key, value in stored.items() if key not in dropped}
    return OmegaConf.create({**kept, **chosen})


def check_sizes_unchanged(
    cfg: DictConfig, model: Mapping[str, Any], preparation: Mapping[str, Any]
) -> None:
    """Raise ConfigError if ``cfg`` changes sizes that the inherited modules are fixed to."""
    chosen = cfg.get("encoder") or {}
    kept = [n for n, node in model["encoder"].items() if n not in chosen or is_change(chosen[n])]
    faults = []
    if cfg.get("dim") not in (None, model["dim"]):
        faults.append(f"dim={cfg.dim}: the model in ckpt has {model['dim']}; remove this key")
    for key, fixed in (
        ("sample_rate", [n for n in kept if n == "audio" and reads_audio(model["encoder"][n])]),
        ("image_size", [name for name in kept if fixes_size(model["encoder"][name])]),
    ):
        requested, trained = cfg.get(key), preparation[key]
        if fixed and requested not in (None, trained):
            faults.append(
                f"{key}={requested}: encoder.{fixed[0]} was trained with {trained} and "
                "supports no other "
                f"value; remove this key, or choose another encoder: encoder/{fixed[0]}=NAME"
            )
    if faults:
        raise ConfigError(*faults)


def fixes_size(node: Any) -> bool:
    """Return True if an encoder reads images of a single size only."""
    try:
        return bool(class_constant(str(node["_target_"]), "fixed_size"))
    except (TargetError, KeyError, TypeError):  # not an mmtx class: any size is allowed
        return False


def reads_audio(node: Any) -> bool:
    """Return True if an audio encoder reads audio rather than precomputed features."""
    return not class_attribute(node, "reads_features")


def has_new_head(cfg: DictConfig) -> bool:
    """Return True if new trainable heads replace those of the trained model."""
    nodes = (cfg.get("head") or {}).values()
    return any(is_chosen(node) and not continues(node) for node in nodes)


def is_chosen(node: Any) -> bool:
    """Return True if a node chooses a trainable head."""
    return node is not None and not is_change(node) and is_trained(node)


def continues(node: Any) -> bool:
    """Return True if a head trains one of the trained model further instead of replacing it."""
    return is_chosen(node) and trait(node, "trains") is not None


def check_not_mixed(cfg: DictConfig) -> None:
    """Raise ConfigError if heads of the trained model are both trained further and replaced."""
    heads = (cfg.get("head") or {}).items()
    further = [name for name, node in heads if continues(node)]
    if further and has_new_head(cfg):
        new = [name for name, node in heads if is_chosen(node) and name not in further]
        raise ConfigError(
            f"head.{further[0]}: trains a head of ckpt={cfg.ckpt} further, while a new one "
            f"({', '.join(new)}) replaces the heads of ckpt; choose head=self_critical alone"
        )


def continued(ckpt: str, name: str, stored: Any, chosen: DictConfig) -> DictConfig:
    """Return the stored head with the class and the arguments of the one that trains it further.

    Raises:
        ConfigError: if it is not of the class that can be trained further.
    """
    wanted = trait(chosen, "trains")
    if not isinstance(stored, Mapping) or stored.get("_target_") != wanted:
        found = f"is a {stored['_target_']}" if isinstance(stored, Mapping) else "does not exist"
        raise ConfigError(
            f"head.{name}: trains a {wanted} of a trained model further, but head.{name} of "
            f"ckpt={ckpt} {found}; train that one first, without {chosen['_target_']}"
        )
    own = {
        key: chosen[key]
        for key in map(str, chosen)
        if key not in stored or not OmegaConf.is_interpolation(chosen, key)
    }
    return OmegaConf.merge(stored, own)  # type: ignore[return-value]


def check_heads_eval_only(cfg: DictConfig) -> None:
    """Raise ConfigError if a head is added that must be trained; evaluation-only heads may be."""
    nodes = (cfg.get("head") or {}).items()
    if any(is_chosen(node) for _, node in nodes):
        raise ConfigError(
            *(
                f"head={name}: must be trained and is loaded from ckpt=; remove it, or use one of "
                f"{', '.join(accepted_options('head', 'eval'))}"
                for name, node in nodes
                if is_chosen(node)
            )
        )


def has_weights(node: Any) -> bool:
    """Return True if a chosen encoder, or one nested in it, names pretrained weights."""
    if not isinstance(node, (DictConfig, Mapping)):
        return False
    return bool(node.get("weights")) or any(map(has_weights, node.values()))


def is_change(node: object) -> bool:
    """Return True if a node sets single keys of a component rather than choosing one."""
    return isinstance(node, (DictConfig, Mapping)) and "_target_" not in node


def merged(stored: Mapping[str, Any], chosen: Mapping[str, Any]) -> DictConfig:
    """Return the stored components, each modified or replaced by the chosen ones."""
    result = dict(stored)
    for name, node in chosen.items():
        if is_change(node) and name in stored:
            result[name] = OmegaConf.merge(stored[name], node)
        else:
            result[name] = node
    return OmegaConf.create(result)


def inherit_data(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Use the data that the model was trained on, unless other data are named.

    Raises:
        ConfigError: if they are fetched from a URL that the user has not given.
    """
    if cfg.data.get("path") is None and not cfg.data.get("mixture"):
        given = {"data.root"} if cfg.data.get("root") is not None else set()
        check_urls_given(stored["data"], given, f"ckpt={cfg.ckpt}")
        names = {field.name for field in fields(DataSettings)}
        for key, value in stored["data"].items():
            if key in names and cfg.data.get(key) is None:
                cfg.data[key] = value


def check_urls_given(data: Mapping[str, Any], given: Collection[str], source: str) -> None:
    """Check that no URL in a stored section ``data`` is fetched that the user has not given.

    The section may come from someone else, and a request reveals who made it, and may reach
    servers that only this machine can.

    Args:
        data: The section.
        given: Dotted keys that the user has set.
        source: Where the section is from, for the message.

    Raises:
        ConfigError: naming the URL, and the key to set.
    """
    roots = [("data.root", data.get("root"))]
    roots += [("data.mixture", corpus.get("root")) for corpus in data.get("mixture") or ()]
    for key, root in roots:
        if isinstance(root, str) and is_url(root) and key not in given:
            shown = redacted_text(root)
            value = "…" if key == "data.mixture" else shown
            raise ConfigError(
                f"{source}: its data are fetched from {shown}, which may be someone else's choice; "
                f"if you trust it, set {key}={value}"
            )


def without_labels(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the stored config without its labels, which only matter to the model's own heads."""
    return {**stored, "label_names": [], "multi_label": False}
