"""Compose configurations with Hydra, and check what is trusted before Hydra acts on them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra import compose
from hydra._internal import hydra as hydra_main
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.composition.default_run_dir import DefaultFolders
from mmtx_cli.config.composition.interpolation import interpolation_faults
from mmtx_cli.config.composition.root_keys import root_key_faults
from mmtx_cli.config.composition.trust import (
    cli_only_faults,
    cli_trusted_packages,
    hydra_faults,
    key_of,
    packages,
)
from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.untrusted.yaml_reader import YamlTextError, check_yaml, read_yaml_text, yaml_error


class CheckedRepository(ConfigRepository):
    """Config files whose size is checked before they are parsed; records the user's own."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.files: dict[Path, Mapping[str, Any]] = {}
        """Content of the user's own files by path, in the order in which they are read."""
        self.groups: set[str] = set()
        """Top-level groups that these files belong to."""

    def __deepcopy__(self, memo: object) -> "CheckedRepository":
        """Return self: Hydra copies a repository to add search paths, which is not allowed here."""
        return self

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a config file.

        Raises:
            ConfigError: if it is not valid YAML or exceeds the size limits.
        """
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "file" or Path(source.path) == conf_dir():
            return super().load_config(config_path)
        path = Path(source.path, source._normalize_file_name(config_path))
        try:
            check_yaml(read_yaml_text(path))
            result = super().load_config(config_path)
        except (YamlTextError, yaml.YAMLError) as error:
            fault = yaml_error(error) if isinstance(error, yaml.YAMLError) else error
            raise ConfigError(f"{path}{f':{fault.line}' if fault.line else ''}: {fault}") from error
        except RecursionError as error:
            raise ConfigError(f"{path}: nested too deeply") from error
        if result is not None and OmegaConf.is_dict(result.config):
            self.files[path] = OmegaConf.to_container(result.config)  # type: ignore[assignment]
            self.groups.add(config_path.split("/")[0])
        return result


class CheckedLoader(ConfigLoaderImpl):
    """Composes the configuration of a command, for ``--cfg``, and of every job of a sweep."""

    def __init__(
        self,
        config_search_path: ConfigSearchPath,
        command: str,
        typed: Sequence[str],
        folders: DefaultFolders | None,
    ) -> None:
        """Initialize the loader.

        Args:
            config_search_path: Where Hydra looks for config files.
            command: Name of the config that is composed.
            typed: Overrides on the command line itself; a sweep may add others.
            folders: Creates a default run folder; None to leave ``run_dir`` as it is.
        """
        super().__init__(config_search_path)
        self.repository = self.own = CheckedRepository(config_search_path)
        self.command, self.typed = command, typed
        has_run_dir = any(key_of(arg) == "run_dir" for arg in typed)
        self.folders = None if has_run_dir else folders

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        """Compose a configuration.

        Raises:
            ConfigError: with every setting that runs untrusted code or writes elsewhere.
        """
        if any(key_of(arg) == "hydra.searchpath" for arg in overrides):
            # reading a path pkg://NAME already imports the package
            raise ConfigError("hydra.searchpath: not supported; use --config-dir DIR")
        self.own.files.clear()
        cfg = super().load_configuration(config_name, overrides, *args, **kwargs)
        plain: Any = OmegaConf.to_container(cfg)
        if faults := list(self.faults(plain)):
            raise ConfigError(*dict.fromkeys(faults))
        if self.folders is not None and config_name == self.command:
            self.folders.choose(cfg, plain)
        return cfg

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Compose a job of a sweep, without Hydra's multirun.yaml.

        That file holds the command line as typed, including secrets.
        """
        folder = Path(str(OmegaConf.select(master_config, "hydra.sweep.dir")))
        (folder / "multirun.yaml").unlink(missing_ok=True)
        try:
            return super().load_sweep_config(master_config, sweep_overrides)
        except ConfigError:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            raise

    def faults(self, cfg: Any) -> Iterator[str]:
        """Yield an error for each setting that is not allowed, with the file that sets it."""
        trusted = packages(cli_trusted_packages(self.typed))
        found = [*cli_only_faults(cfg, self.typed), *hydra_faults(cfg.get("hydra"), trusted)]
        for path, content in self.own.files.items():
            # an error even if the command line overrides it, which hides it in cfg
            hidden = [
                fault for key, fault in cli_only_faults(content, ()) if key == "trusted_packages"
            ]
            yield from (f"{path}: trusted_packages: {fault}" for fault in hidden)
        if self.own.files:
            found += root_key_faults(cfg, self.command, self.own.groups)
            found += interpolation_faults({key: cfg[key] for key in cfg if key != "hydra"})
        for key, fault in found:
            yield f"{self.place_of(key)}{key}: {fault}"

    def place_of(self, key: str) -> str:
        """Return the last of the user's files that sets a key, in any package, as a prefix."""
        names = key.split(".")
        for path, content in reversed(self.own.files.items()):
            for start in range(len(names)):
                if has_path(content, names[start:]):
                    return f"{path}: "
        return ""


def has_path(node: Any, names: Sequence[str]) -> bool:
    """Return True if a value exists below these keys."""
    for name in names:
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, Mapping) and name in node:
            node = node[name]
        else:
            return False
    return True


@contextmanager
def checked_loader(command: str, typed: Sequence[str], runs: bool = True) -> Iterator[None]:
    """Let Hydra compose with ``CheckedLoader``, by patching: Hydra has no hook for a loader.

    With ``runs=False`` the configuration is only shown, and no run folder is created.
    """
    original = hydra_main.ConfigLoaderImpl
    folders = DefaultFolders()
    loader: Any = partial(
        CheckedLoader, command=command, typed=typed, folders=folders if runs else None
    )
    hydra_main.ConfigLoaderImpl = loader  # type: ignore[misc]
    try:
        yield
    finally:
        hydra_main.ConfigLoaderImpl = original  # type: ignore[misc]
        folders.remove_empty()


def compose_command(
    command: str, overrides: Sequence[str], trusted: Sequence[str] | None = None
) -> DictConfig:
    """Return the configuration of a command that another one runs, as from the command line.

    Args:
        command: The command.
        overrides: Its arguments.
        trusted: Packages that it trusts (default: those in ``overrides``).
    """
    cfg = compose(command, force_add([*overrides]))
    OmegaConf.set_struct(cfg, False)
    if trusted is not None:
        cfg.trusted_packages = list(trusted)
    return cfg
