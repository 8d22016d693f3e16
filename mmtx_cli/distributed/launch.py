"""Launch processes for evaluation and inference on one or several devices."""

import sys

import torch

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.distributed.process import Process
from mmtx_cli.distributed.slurm import environments, external_world
from mmtx_cli.distributed.strategy import inference_strategy
from mmtx_cli.errors import ConfigError


def launch(settings: TrainerSettings) -> Process:
    """Start the other processes if there are several; a single process needs no Lightning.

    Raises:
        ConfigError: if the trainer settings are invalid.
    """
    check_accelerator(settings.accelerator)
    if is_single_process(settings):
        gpu = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        return Process(0, 1, torch.device("cuda:0" if gpu else "cpu"), lambda: None)
    from mmtx_cli.distributed.launcher import LIGHTNING_ERRORS, end_together
    from mmtx_cli.distributed.lightning import Fabric

    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=inference_strategy(settings.strategy),
            num_nodes=settings.num_nodes,
            plugins=environments() or None,
        )
    except LIGHTNING_ERRORS as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    end_together(fabric.strategy, settings)
    fabric.launch()
    return Process(fabric.global_rank, fabric.world_size, fabric.device, fabric.barrier)


def is_single_process(settings: TrainerSettings) -> bool:
    """Return True if the settings and the launcher ask for one process."""
    single = str(settings.devices) == "1" and settings.num_nodes == 1
    return single and external_world() == 1


def check_accelerator(name: str) -> None:
    """Raise ConfigError if a GPU is requested but not available."""
    available = torch.backends.mps.is_available() if name == "mps" else torch.cuda.is_available()
    if name in ("gpu", "cuda", "mps") and not available:
        raise ConfigError(f"trainer.accelerator={name}: no GPU is available; use cpu or auto")


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Warn if the CPU has no instructions for half precision, which makes it slow."""
    mixed = {"bf16-mixed": "_is_mkldnn_bf16_supported", "16-mixed": "_is_mkldnn_fp16_supported"}
    if device.type == "cpu" and precision in mixed:
        supported = getattr(torch.ops.mkldnn, mixed[precision])
        if not supported():
            print(
                f"trainer.precision={precision}: not natively supported by this CPU; many times "
                "slower than 32-true",
                file=sys.stderr,
            )
