"""``mmtx data action=create``: create a built-in data set."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import MISSING
from mmtx_cli.data.importer.options import checked_settings
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.file_errors import reason
from mmtx_cli.synthetic.encoder_lab import make_encoder_lab
from mmtx_cli.synthetic.events import make_events
from mmtx_cli.synthetic.fusion_lab import make_lab
from mmtx_cli.synthetic.scenes import make_scenes

MAKERS: dict[str, Callable[..., Path]] = {
    "scenes": make_scenes,
    "events": make_events,
    "fusion_lab": make_lab,
    "encoder_lab": make_encoder_lab,
}
"""The function of each option of the group ``dataset``; its keys are arguments."""
SIZES = ("num", "size", "seed")


def run(cfg: DictConfig) -> None:
    """Write a data set; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid, with an example command.
    """
    settings = checked_settings(OmegaConf.to_container(cfg, resolve=True), "data_create")
    for key in SIZES:
        if type(settings[key]) is not int:
            raise ConfigError(f"{key}={settings[key]}: must be an integer, e.g. {key}=100")
    arguments = {key: settings[key] for key in (*SIZES, "workers", "task") if key in settings}
    if arguments.get("task") in (MISSING, None):
        arguments.pop("task", None)
    try:
        print(MAKERS[settings["dataset"]](Path(settings["out"]), **arguments))
    except OSError as error:
        raise ConfigError(f"out={settings['out']}: cannot be written: {reason(error)}") from error
