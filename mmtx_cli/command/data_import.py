"""``mmtx data action=import``: convert a public data set to a manifest."""

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.data.importer.options import checked_settings
from mmtx_cli.data.importer.run import import_


def run(cfg: DictConfig) -> None:
    """Write a manifest; its path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid, with an example command.
        DataError: with all errors of the data.
    """
    print(import_(checked_settings(OmegaConf.to_container(cfg, resolve=True), "data_import")))
