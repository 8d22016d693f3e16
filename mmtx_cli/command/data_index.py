"""``mmtx data action=index``: make an index and a manifest of existing tar shards."""

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.data.importer.options import checked_settings
from mmtx_cli.data.shards.scan import index


def run(cfg: DictConfig) -> None:
    """Write index and manifest; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid, with an example command.
        DataError: with all errors of the data.
    """
    settings = checked_settings(OmegaConf.to_container(cfg, resolve=True), "data_index")
    print(index(settings))
