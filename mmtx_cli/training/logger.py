"""The loggers besides metrics.csv."""

import os
from pathlib import Path

from mmtx_cli.config.schema import LoggerSettings, WandbSettings
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import check_own_folder
from mmtx_cli.io.redact import redacted


def make_loggers(settings: LoggerSettings, run_dir: Path) -> list[pl.loggers.Logger]:
    """Weights & Biases and TensorBoard, where they are asked for."""
    loggers: list[pl.loggers.Logger] = []
    for name in ("wandb", "tensorboard"):  # their writers follow links
        check_own_folder(run_dir / name)
    if settings.tensorboard and (run_dir / "tensorboard" / "hparams.yaml").is_symlink():
        raise ConfigError(f"{run_dir / 'tensorboard' / 'hparams.yaml'}: is a link; remove it")
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
                # command line and console may hold what the redacted config does not
                settings=wandb_settings(),
            )
        )
    if settings.tensorboard:
        loggers.append(pl.loggers.TensorBoardLogger(run_dir, name="", version="tensorboard"))
    return loggers


def check_account(settings: WandbSettings) -> None:
    """Without an account W&B fails in the middle of the start."""
    import wandb

    mode = os.environ.get("WANDB_MODE", "online")
    if not settings.offline and mode == "online" and not wandb.api.api_key:
        raise ConfigError(
            "logger.wandb: there is no W&B account on this machine; run `wandb login`, or keep the "
            "run here with logger.wandb.offline=true"
        )


def wandb_settings() -> object:
    """No console, no command line, no code, no git remote goes out."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,  # it would write its last words behind the path of the run folder
        x_disable_meta=True,
        disable_git=True,
        save_code=False,
        disable_code=True,
    )
