"""``mmtx data action=cache``: cache the outputs of frozen encoders for every row."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from mmtx_cli.config.help.yaml_comments import example
from mmtx_cli.data.cache.card import BODY
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.file_errors import reason
from mmtx_cli.runs.cached_features.feature_cache import parts_of
from mmtx_cli.runs.inherit import inherit_data
from mmtx_cli.runs.resolve import resolve_config
from mmtx_cli.runs.run_config import CacheConfig
from mmtx_cli.runs.run_dir import lock
from mmtx_cli.suggest import suggest


def run(cfg: DictConfig) -> None:
    """Write the entries that are missing; the folder's path is the last line on standard output.

    Raises:
        ConfigError: if a setting is missing or invalid, or ``out`` was made with other settings.
        DataError: if too many files cannot be read.
    """
    if not cfg.out:
        raise ConfigError(f"missing: out=…{example('data_cache')}")
    if cfg.resume:
        raise ConfigError("resume: action=cache resumes automatically; remove it")
    cfg.out = str(cfg.out)
    settings = resolve_config(CacheConfig, cfg, inherit_data)
    folder = Path(settings.out).expanduser()
    chosen = chosen_parts(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock(folder, "out")
    except OSError as error:
        raise ConfigError(f"out={settings.out}: cannot be written: {reason(error)}") from error
    from mmtx_cli.inference.fill_cache import cache  # imports torch: only with valid settings

    try:
        cache(settings, folder, chosen)
    except KeyboardInterrupt:
        print(
            f"out={folder}: interrupted; rerun the same command to resume",
            file=sys.stderr,
        )
        raise
    print(folder)


def chosen_parts(settings: CacheConfig) -> list[str]:
    """Return the modules to cache: ``modules``, else frozen encoders and teachers, else all.

    Bodies of encoders are only cached if ``modules`` names them.
    """
    available = parts_of(settings.plain)
    faults = [
        f"modules: unknown module {part!r}; {suggest(str(part), available, True)}"
        for part in settings.modules
        if part not in available
    ]
    if faults:
        raise ConfigError(*faults)
    frozen = {*map(str, settings.freeze)}
    without_bodies = [part for part in available if not part.endswith(BODY)]
    frozen_parts = [
        part for part in without_bodies if part.startswith("head.") or {part, "encoder"} & frozen
    ]
    return list(settings.modules) or frozen_parts or without_bodies
