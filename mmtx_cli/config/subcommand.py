"""Compose the configuration of a command that another command runs."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.overrides import opened


def compose_command(
    command: str, overrides: Sequence[str], trusted: Sequence[str] | None = None
) -> DictConfig:
    """Return the configuration of ``command``, as from the command line, open for new keys.

    Args:
        command: The command.
        overrides: Its arguments.
        trusted: Packages that it trusts (default: those in ``overrides``).
    """
    from hydra import compose

    cfg = compose(command, opened([*overrides]))
    OmegaConf.set_struct(cfg, False)
    if trusted is not None:
        cfg.trusted_packages = list(trusted)
    return cfg
