"""Settings of a run with small changes: another folder, another batch size."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmtx_cli.runs.run_config import AnyConfig


def variant(run: AnyConfig, run_dir: Path | None = None, **data: Any) -> AnyConfig:
    """Return the settings with another run folder and other values of the section ``data``."""
    cfg, plain = deepcopy(run._unresolved), deepcopy(dict(run.plain))
    folder = run.run_dir if run_dir is None else run_dir
    cfg.run_dir = plain["run_dir"] = str(folder)
    plain["data"] = {**(plain.get("data") or {}), **data}
    cfg.data = plain["data"]
    return replace(
        run, run_dir=folder, data=replace(run.data, **data), plain=plain, _unresolved=cfg
    )
