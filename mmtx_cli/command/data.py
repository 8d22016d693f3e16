"""``mmtx data``: create built-in data sets, validate manifests, import public data sets."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.constraints import BOUNDS, written
from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.data.importer.options import Settings, chosen, example, require, value_faults
from mmtx_cli.data.importer.run import import_
from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import ConfigError, DataError, without_repeats
from mmtx_cli.io.console import make_console
from mmtx_cli.io.file_errors import reason
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.synthetic.encoder_lab import make_encoder_lab
from mmtx_cli.synthetic.events import make_events
from mmtx_cli.synthetic.fusion_lab import make_lab
from mmtx_cli.synthetic.scenes import make_scenes


def run(cfg: DictConfig) -> None:
    """Run the chosen ``action``; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid, with an example command.
        DataError: with all errors of the data.
    """
    settings: Settings = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    check_known_keys(settings, "data", {"path": "manifest"})
    if faults := list(value_faults(settings)):
        raise ConfigError(*faults)
    workers = settings["workers"]
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ConfigError(f"workers={workers}: must be an integer of at least 1, e.g. workers=4")
    actions = {"create": _create, "check": _check, "import": import_, "cache": _cache}
    print(chosen("action", settings, actions)(settings))


def _create(settings: Settings) -> Path:
    task = settings["task"]
    makers: dict[str, Callable[..., Path]] = {
        "scenes": make_scenes,
        "events": make_events,
        "fusion_lab": partial(make_lab, **({} if task is None else {"task": task})),
        "encoder_lab": partial(make_encoder_lab, task=task),
    }
    make = chosen("dataset", settings, makers)
    require(settings, ("out",), "create")
    for key in ("num", "size", "seed"):
        if type(settings[key]) is not int:
            raise ConfigError(f"{key}={settings[key]}: must be an integer, e.g. {key}=100")
    sizes = {key: settings[key] for key in ("num", "size", "seed", "workers")}
    try:
        return make(Path(settings["out"]), **sizes)
    except OSError as error:
        raise ConfigError(f"out={settings['out']}: cannot be written: {reason(error)}") from error


def _cache(settings: Settings) -> Path:
    """Raise ConfigError: a sweep over actions cannot include ``cache``, which has its own keys."""
    raise ConfigError(f"action=cache: cannot be combined with other actions{example('cache')}")


def _check(settings: Settings) -> Path:
    """Print a summary of the data set.

    Raises:
        DataError: with all errors; one that many rows share is listed for the first few of them.
    """
    require(settings, ("manifest",), "check")
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
    return path


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
