"""The key ``plan`` of a command line: no setting of the run, so it is not stored with it."""

from omegaconf import DictConfig

from mmtx_cli.errors import ConfigError


def take_plan(cfg: DictConfig) -> bool:
    """Remove ``plan`` from a configuration and return it.

    A value of another type is left there, and reported with all other faults.

    Raises:
        ConfigError: if a resumed run is to be planned.
    """
    value = cfg.get("plan", False)
    if value is not None and not isinstance(value, bool):
        return False
    cfg.pop("plan", None)
    if value and cfg.get("resume"):
        raise ConfigError(
            "plan: a resumed run shows the time left while it trains; remove plan or resume"
        )
    return bool(value)
