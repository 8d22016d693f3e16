"""Loggers besides ``metrics.csv``: Weights & Biases and TensorBoard."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mmtx_cli.config.schema import LoggerSettings, WandbSettings
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import check_subfolder
from mmtx_cli.io.redact import redacted

_WANDB_FOLDER = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-([A-Za-z0-9_-]{1,64})")
"""Folder of a W&B run: its time and its id."""


def make_loggers(
    settings: LoggerSettings, run_dir: Path, resumed: int = 0
) -> list[pl.loggers.Logger]:
    """Return the configured loggers.

    A run that is resumed from step ``resumed`` goes on with its own records: in W&B under the id
    that it had, in TensorBoard without what was logged after that step.

    Raises:
        ConfigError: if a log folder is a link, or W&B is used without an account.
    """
    loggers: list[pl.loggers.Logger] = []
    for name in ("wandb", "tensorboard"):  # their writers follow symbolic links
        check_subfolder(run_dir / name)
    if settings.tensorboard and (run_dir / "tensorboard" / "hparams.yaml").is_symlink():
        raise ConfigError(f"{run_dir / 'tensorboard' / 'hparams.yaml'}: is a symlink; remove it")
    if settings.wandb is not None:
        check_account(settings.wandb)
        loggers.append(
            StepWandbLogger(
                **redacted(
                    {
                        "project": settings.wandb.project,
                        "name": settings.wandb.name or run_dir.name,
                        "entity": settings.wandb.entity,
                        "tags": settings.wandb.tags,
                    }
                ),
                id=former_id(run_dir) if resumed else None,
                offline=settings.wandb.offline,
                save_dir=run_dir,
                # command line and console may contain secrets that are redacted in the config
                settings=wandb_settings(),
            )
        )
    if settings.tensorboard:
        loggers.append(
            pl.loggers.TensorBoardLogger(
                run_dir,
                name="",
                version="tensorboard",
                purge_step=resumed + 1 if resumed else 0,
            )
        )
    return loggers


class StepWandbLogger(pl.loggers.WandbLogger):
    """Logs under the step of the run, which W&B accepts only once."""

    @pl.utilities.rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics; those of steps that a resumed run repeats are ignored by W&B."""
        self.experiment.log({**metrics, "trainer/global_step": step}, step=step)


def former_id(run_dir: Path) -> str | None:
    """Return the W&B id of a run, which names the newest of its folders; None if there is none."""
    folders = (run_dir / "wandb").glob("*run-*")
    found = [match for folder in folders if (match := _WANDB_FOLDER.fullmatch(folder.name))]
    return max(found, key=lambda match: match[1])[2] if found else None


def check_account(settings: WandbSettings) -> None:
    """Raise ConfigError if W&B is online without an account, where it would fail during startup."""
    import wandb

    mode = os.environ.get("WANDB_MODE", "online")
    if not settings.offline and mode == "online" and not wandb.api.api_key:
        raise ConfigError(
            "logger.wandb: not logged in to W&B; run `wandb login`, or log offline on this machine "
            "with logger.wandb.offline=true"
        )


def wandb_settings() -> object:
    """Return settings that upload no console output, command line, code or git remote."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,  # its closing message would follow the path of the run folder, our last line
        x_disable_meta=True,
        disable_git=True,
        save_code=False,
        disable_code=True,
    )
