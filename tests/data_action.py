"""``mmtx data action=…`` in this process, with settings as Python values."""

from importlib import import_module
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import ROOT_GROUPS, conf_dir


def run_action(action: str, **settings: Any) -> None:
    """Compose the action's configuration for the importer or data set, and run it."""
    name = f"data_{action}"
    chosen = [f"{group}={settings[group]}" for group in ROOT_GROUPS if group in settings]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose(name, chosen)
    OmegaConf.set_struct(cfg, False)
    import_module(f"mmtx_cli.command.{name}").run(OmegaConf.merge(cfg, settings))
