"""The loggers besides metrics.csv."""

from pathlib import Path

from pytorch_lightning.loggers import Logger

from mmtx_cli.settings import LoggerSettings


def make_loggers(settings: LoggerSettings, run_dir: Path) -> list[Logger]:
    """Weights & Biases and TensorBoard, where they are asked for."""
    loggers: list[Logger] = []
    if settings.wandb is not None:
        from pytorch_lightning.loggers import WandbLogger

        loggers.append(
            WandbLogger(
                project=settings.wandb.project,
                name=settings.wandb.name or run_dir.name,
                entity=settings.wandb.entity,
                offline=settings.wandb.offline,
                tags=settings.wandb.tags,
                save_dir=run_dir,
                # command line and console may hold what the redacted config does not
                settings=wandb_settings(),
            )
        )
    if settings.tensorboard:
        from pytorch_lightning.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(run_dir, name="", version="tensorboard"))
    return loggers


def wandb_settings() -> object:
    """No console, no command line, no code, no git remote goes out."""
    import wandb

    return wandb.Settings(
        console="off", x_disable_meta=True, disable_git=True, save_code=False, disable_code=True
    )
