"""Load a trained model for use from Python."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmtx_cli.api.model import Model
from mmtx_cli.distributed.launch import launch, warn_of_emulation
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.inputs import InputReader
from mmtx_cli.inference.predict import load_model
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.runs.trained_model import trained_config


def load(
    ckpt: str | os.PathLike[str],
    *,
    device: str | torch.device = "auto",
    precision: str = "32-true",
    batch_size: int | None = None,
    num_workers: int = 0,
    seed: int = 1,
    trusted_packages: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Model:
    """Load a trained model.

    Args:
        ckpt: A run folder, a ``.ckpt`` or a model folder.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        batch_size: Inputs per batch (default: as in training).
        num_workers: Processes that decode files; with 0 (default), files are decoded in turn.
        seed: Seed of sampled texts.
        trusted_packages: Packages of your own that the model's components may come from.
        settings: Further keys of ``mmtx caption``, as nested data: ``{"num_frames": 16, "data":
            {"max_image_pixels": 10**9}, "generation": {"num_beams": 5}}``.

    Raises:
        CheckpointError: if there is no trained model, or it is damaged.
        ConfigError: naming all invalid settings.
    """
    chosen = dict(settings or {})
    check_sections(chosen)
    data = {**chosen.get("data", {}), "num_workers": num_workers}
    if batch_size is not None:
        data["eval_batch_size"] = batch_size
    run = trained_config(
        os.fspath(ckpt),
        {
            **chosen,
            "data": data,
            "trainer": {**chosen.get("trainer", {}), "precision": precision},
            "seed": seed,
            "trusted_packages": [*trusted_packages],
        },
    )
    return model_on(run, device_of(device))


ARGUMENTS = {
    "seed": "seed",
    "trusted_packages": "trusted_packages",
    "data.num_workers": "num_workers",
    "trainer.precision": "precision",
    "trainer.accelerator": "device",
    "trainer.devices": "device",
}
"""Keys of the commands that are arguments of ``load``."""


def check_sections(settings: Mapping[str, Any]) -> None:
    """Check that further settings are sections, and no arguments of ``load``.

    Raises:
        ConfigError: naming all that are not.
    """
    sections = {key: settings.get(key, {}) for key in ("data", "trainer")}
    faults = [
        f"settings: {key}={value!r} must be a mapping"
        for key, value in sections.items()
        if not isinstance(value, Mapping)
    ]
    for key, argument in ARGUMENTS.items():
        section, _, name = key.rpartition(".")
        place = sections[section] if section else settings
        if isinstance(place, Mapping) and name in place:
            faults.append(f"settings: {key} is the argument {argument} of load; use {argument}=")
    if faults:
        raise ConfigError(*faults)


def model_of(run: RunConfig) -> Model:
    """Return the model of a command, on the device of its settings.

    Raises:
        ConfigError: if the device is not available.
    """
    return model_on(run, launch(run.trainer).device)


def model_on(run: RunConfig, device: torch.device) -> Model:
    """Return the trained model of ``run`` on a device."""
    warn_of_emulation(run.trainer.precision, device)
    reader = InputReader.of(run)
    load_decoders()  # not during the first call, whose time limit it would count towards
    return Model(run, load_model(run, device), reader, device)


def device_of(device: str | torch.device) -> torch.device:
    """Return the device; ``auto`` is the first GPU if there is one.

    Raises:
        ConfigError: if it is unknown or not available.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device={device!r}: not available: {reason}") from error
    return found
