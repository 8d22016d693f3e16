"""``mmtx data action=check``: list all errors of a manifest."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.constraints import BOUNDS, written
from mmtx_cli.data.importer.options import Settings, checked_settings
from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import ConfigError, DataError, without_repeats
from mmtx_cli.io.console import make_console
from mmtx_cli.media.worker.limits import DecodeLimits


def run(cfg: DictConfig) -> None:
    """Print a summary of the data set; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid.
        DataError: with all errors; one that many rows share is listed for the first few of them.
    """
    settings = checked_settings(OmegaConf.to_container(cfg, resolve=True), "data_check")
    path = Path(settings["manifest"])
    split = settings["split"]
    if split is not None and not isinstance(split, dict):
        raise ConfigError(
            f"split={split}: must be ratios for rows without a split, e.g. "
            "'split={train: 0.8, val: 0.1, test: 0.1}'"
        )
    limits = _limits(settings)
    try:
        summary = check_manifest(
            path,
            root=settings["root"],
            split=split,
            seed=settings["seed"],
            allow_outside_root=settings["allow_outside_root"],
            decode=settings["decode"],
            workers=settings["workers"],
            limits=limits,
        )
    except DataError as error:
        raise DataError(*without_repeats(error.faults)) from error
    make_console(soft_wrap=True).print(summary)
    print(path)


def _limits(settings: Settings) -> DecodeLimits:
    """Return the time, memory and size limits for decoding one file."""
    pixels = settings["max_image_pixels"]
    if type(pixels) is not int or pixels < 1:
        raise ConfigError(f"max_image_pixels={pixels}: must be an integer of at least 1")
    for key in ("decode_timeout", "decode_memory"):
        value, (least, most) = settings[key], BOUNDS[f"data.{key}"]
        if type(value) not in (int, float) or not least <= value <= most:
            raise ConfigError(f"{key}={value}: must be {written(least, most)}, e.g. {key}=30")
    return DecodeLimits(settings["decode_timeout"], settings["decode_memory"], pixels)
