"""Settings of a trained model that is used from Python: those of a command, without Hydra."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
from math import isfinite
from typing import Any

from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import shipped
from mmtx_cli.config.constraints import limit_faults
from mmtx_cli.config.cross_checks import text_input_faults
from mmtx_cli.config.predict_checks import prediction_faults
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.config.text_checks.contents import LONGEST
from mmtx_cli.config.text_checks.generation import generation_faults
from mmtx_cli.config.validate import root_faults, settings_faults
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs.inherit import inherit, inherited_generation
from mmtx_cli.runs.resolve import checked_config
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.runs.vlm import expand_vlm
from mmtx_cli.suggest import suggest

COMMAND = "load"
"""Name of the command in the configuration: no check of another command applies."""


def trained_config(ckpt: str, chosen: Mapping[str, Any]) -> RunConfig:
    """Return the settings of a trained model, with the keys of ``mmtx caption`` that are chosen.

    Args:
        ckpt: A run folder, .ckpt or model folder.
        chosen: Plain data by key, e.g. ``{"num_frames": 16, "data": {"decode_timeout": 10}}``.

    Raises:
        ConfigError: naming all errors of the configuration.
        CheckpointError: if there is no trained model, or it is damaged.
    """
    base = deepcopy(shipped("inference_base"))
    keys = {*base} - {"defaults", "hydra"}
    if faults := [f"{key}: unknown key; {suggest(str(key), keys)}" for key in {*chosen} - keys]:
        raise ConfigError(*sorted(faults))
    plain = {key: base[key] for key in keys} | {"command": COMMAND, "ckpt": ckpt, "run_dir": "."}
    for key, value in chosen.items():
        is_section = isinstance(plain[key], dict) and isinstance(value, Mapping)
        plain[key] = {**plain[key], **value} if is_section else value
    cfg = OmegaConf.create(plain)
    stored = read_config(ckpt)
    expand_vlm(cfg)
    inherit(cfg, stored)
    return checked_config(RunConfig, cfg, stored)


TEXT, NUMBER = "a text without ${ or a list of such texts", "a number, true or false"


def chosen_generation(run: RunConfig, chosen: Mapping[str, Any]) -> GenerationSettings:
    """Return the settings of the section ``generation``, changed by the chosen ones.

    Raises:
        ConfigError: naming all errors of the settings.
    """
    if not chosen:
        return run.generation
    known = {field.name for field in fields(GenerationSettings)}
    wrong = [
        key
        for key, value in chosen.items()
        if key in known and not (is_text(value) if key in LONGEST else is_number(value))
    ]
    others = {key: value for key, value in chosen.items() if key not in wrong}
    faults = [
        *(
            f"generation.{key}: {chosen[key]!r} is not "
            + (
                "a text without ${, or a list of them"
                if key in LONGEST
                else "a number, true or false"
            )
            for key in wrong
        ),
        *settings_faults("generation", others, GenerationSettings),
    ]
    if faults:
        raise ConfigError(*faults)
    section: Any = OmegaConf.to_container(inherited_generation(run.plain["generation"], chosen))
    plain = {**run.plain, "generation": section}
    if faults := [*limit_faults(plain), *generation_faults(plain)]:
        raise ConfigError(*faults)
    merged = OmegaConf.merge(OmegaConf.structured(GenerationSettings), section)
    settings = OmegaConf.to_object(merged)
    assert isinstance(settings, GenerationSettings)
    return settings


def is_number(value: Any) -> bool:
    """Return True for None, a bool or a finite number."""
    return value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value))


def is_text(value: Any) -> bool:
    """Return True for None, a text or a list of texts.

    A text with ``${`` would be an interpolation, which may read environment variables.
    """
    texts = value if isinstance(value, (list, tuple)) else [value]
    plain = all(isinstance(text, str) and "${" not in text for text in texts)
    return value is None or plain


def check_caption(run: RunConfig, chosen: Mapping[str, Any]) -> None:
    """Check what is chosen for one call of captioning, such as ``text``.

    Raises:
        ConfigError: naming all errors.
    """
    _check(run, {**chosen, "command": "caption"})


def check_predict(run: RunConfig, chosen: Mapping[str, Any]) -> None:
    """Check what is chosen for one call of prediction, such as ``text`` and ``top``.

    Raises:
        ConfigError: naming all errors.
    """
    _check(run, {**chosen, "command": "predict"})


def _check(run: RunConfig, chosen: Mapping[str, Any]) -> None:
    plain = {**run.plain, **chosen}
    faults = [*root_faults(plain), *limit_faults(plain), *prediction_faults(plain)]
    if faults or (faults := [*text_input_faults(plain)]):
        raise ConfigError(*faults)
