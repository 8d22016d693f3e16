"""Loggers besides ``metrics.csv``: Weights & Biases and TensorBoard."""

import os
from pathlib import Path

from mmtx_cli.config.schema import LoggerSettings, WandbSettings
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import check_subfolder
from mmtx_cli.io.redact import redacted


def make_loggers(settings: LoggerSettings, run_dir: Path) -> list[pl.loggers.Logger]:
    """Return the configured loggers.

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
            pl.loggers.WandbLogger(
                **redacted(
                    {
                        "project": settings.wandb.project,
                        "name": settings.wandb.name or run_dir.name,
                        "entity": settings.wandb.entity,
                        "tags": settings.wandb.tags,
                    }
                ),
                offline=settings.wandb.offline,
                save_dir=run_dir,
                # command line and console may contain secrets that are redacted in the config
                settings=wandb_settings(),
            )
        )
    if settings.tensorboard:
        loggers.append(pl.loggers.TensorBoardLogger(run_dir, name="", version="tensorboard"))
    return loggers


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
