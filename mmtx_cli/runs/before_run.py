"""``plan``, and ``auto`` for batch sizes: what is done before a run, and is not stored with it.

In the configuration that is checked and stored, a number stands instead of ``auto``.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from mmtx_cli.config.composition.default_run_dir import is_single_process
from mmtx_cli.distributed.hydra_job import job_overrides
from mmtx_cli.errors import ConfigError

AUTO = "auto"
BATCH, EVAL_BATCH = "batch_size", "eval_batch_size"


def take_plan(cfg: DictConfig) -> bool:
    """Remove ``plan`` from a configuration and return it.

    A value of another type is left there, and reported with all other faults.

    Raises:
        ConfigError: if a resumed run is to be planned.
    """
    value = cfg.get("plan", False)
    if value is not None and not isinstance(value, bool):
        return False
    cfg.pop("plan", None)
    if value and cfg.get("resume"):
        raise ConfigError(
            "plan: a resumed run shows the time left while it trains; remove plan or resume"
        )
    return bool(value)


def take_auto(cfg: DictConfig, trains: bool) -> bool:
    """Return whether a batch size is to be found, and set the default in its place.

    In training that is ``data.batch_size``; else it is ``data.eval_batch_size``, which either key
    asks for.

    Raises:
        ConfigError: if it cannot be found for such a run.
    """
    data: Any = cfg.get("data") or {}
    found = [key for key in (BATCH, EVAL_BATCH) if data.get(key) == AUTO]
    if not found:
        return False
    if cfg.get("resume"):
        if typed := [key for key in found if f"data.{key}=auto" in bare_overrides()]:
            raise ConfigError(
                f"data.{typed[0]}=auto: a resumed run keeps its batch size, which its config.yaml "
                "states; remove this key"
            )
    elif faults := faults_of(found, data, trains):
        raise ConfigError(*faults)
    for key in found:
        data.pop(key)
    return not cfg.get("resume")


def faults_of(found: list[str], data: Mapping[str, Any], trains: bool) -> list[str]:
    """Return why the batch size cannot be found.

    Args:
        found: Keys that are to be found.
        data: The section ``data``.
        trains: Whether the command trains.
    """
    faults = []
    if trains and EVAL_BATCH in found:
        faults.append(
            "data.eval_batch_size=auto: only for mmtx eval and mmtx caption; in training, null "
            "uses data.batch_size, which fits"
        )
    if trains and data.get("mixture"):
        faults.append(
            "data.batch_size=auto: not for data.mixture, in which the batch size also decides how "
            "the corpora are drawn; set a number, and see with plan=true whether it fits"
        )
    if trains and data.get("token_budget") is not None:
        faults.append(
            "data.batch_size=auto: not with data.token_budget, which takes the place of a batch "
            "size; remove one of them"
        )
    if not is_single_process() and "LOCAL_RANK" not in os.environ:
        faults.append(
            f"data.{found[0]}=auto: not where a launcher starts the processes; run the command "
            "once in a single process with plan=true, and set the number that it prints"
        )
    return faults


def bare_overrides() -> list[str]:
    """Return the overrides of the job as they were typed."""
    return [override.lstrip("+") for override in job_overrides()]


def set_size(cfg: DictConfig, trains: bool, size: int) -> None:
    """Write the number into the configuration and into the command line of further processes."""
    key = BATCH if trains else EVAL_BATCH
    cfg.data = {**(cfg.get("data") or {}), key: size}
    automatic = {f"data.{name}={AUTO}" for name in (BATCH, EVAL_BATCH)}
    words = [word for word in sys.argv if word.lstrip("+") not in automatic]
    sys.argv[:] = [*words, f"data.{key}={size}"]
