"""``mmtx data action=shard``: pack the files of a manifest into tar shards."""

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.data.importer.options import checked_settings
from mmtx_cli.data.shards.write import pack


def run(cfg: DictConfig) -> None:
    """Write shards; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid, with an example command.
        DataError: with all errors of the data.
    """
    settings = checked_settings(OmegaConf.to_container(cfg, resolve=True), "data_shard")
    print(pack(settings))
