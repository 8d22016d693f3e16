"""Compose the configuration of a command with Hydra, and run the command."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from omegaconf import DictConfig


SHOWING = ("--cfg", "-c", "--info", "-i")
"""Hydra flags that show a configuration without running anything."""


def launch(command: str, args: list[str]) -> None:
    """Pass the arguments to Hydra, and the composed configuration to the command."""
    if "--help" in args or "-h" in args:
        from mmtx_cli.config.help.command_help import print_usage

        print_usage(command, args)
        return

    from mmtx_cli.config.conf_tree import ACTIONS, configuration, split
    from mmtx_cli.config.overrides import opened
    from mmtx_cli.distributed.hydra_job import check_multirun
    from mmtx_cli.distributed.openmp import set_waiting
    from mmtx_cli.errors import ConfigError
    from mmtx_cli.io.quoting import as_written

    options, overrides = split(args)
    overrides = [as_written(arg) for arg in overrides]
    args = [*options, *overrides]
    name = configuration(command, args)
    if name in ACTIONS:
        from mmtx_cli.config.help.actions import action_faults

        raise ConfigError(*action_faults(name, args))
    check_options(options, command)
    check_multirun(options)
    check_places(args, name)
    trust(overrides)
    program = sys.argv[0]
    set_waiting()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises errors; guarded() reports them
    # in this order, since --info would take a following override as its value
    sys.argv = [program, *opened(overrides), *options]
    refused: list[str] = []
    compose(job_of(command, name, args, refused), name, args)
    if refused:
        raise ConfigError(*refused)


def compose(job: "Callable[[DictConfig], None]", name: str, args: Sequence[str]) -> None:
    """Let Hydra compose the arguments in ``sys.argv`` and call ``job``, in a sweep for each job.

    Raises:
        ConfigError: in the user's terms, if Hydra cannot compose them.
    """
    import hydra
    from omegaconf.errors import InterpolationResolutionError

    from mmtx_cli.config.composition.compose import checked
    from mmtx_cli.config.composition.explain import explained, explained_interpolation
    from mmtx_cli.config.conf_tree import conf_dir, split
    from mmtx_cli.config.cross_checks import CACHING
    from mmtx_cli.errors import ConfigError, MmtxError, OutputError

    options, overrides = split(args)
    shows = {option.partition("=")[0] for option in options} & {*SHOWING}
    runs = not shows and name != CACHING  # a cache is written to out=
    try:
        with checked(name, overrides, runs):
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job)()
    except Failed as failed:
        if isinstance(failed.error, InterpolationResolutionError):
            raise ConfigError(explained_interpolation(failed.error)) from failed.error
        raise failed.error from failed.error.__cause__
    except (BrokenPipeError, MmtxError, OutputError):
        raise
    except Exception as error:  # raised by Hydra before the command starts
        raise ConfigError(*explained(error, name, list(args))) from error


def job_of(
    command: str, name: str, args: list[str], refused: list[str]
) -> "Callable[[DictConfig], None]":
    """Return the function that runs the command on a composed configuration.

    A rejected job of a sweep does not stop the others.

    Args:
        command: The command.
        name: Name of its config and module.
        args: All arguments of the command line.
        refused: Receives the errors of rejected jobs, to be reported at the end.
    """
    from omegaconf import OmegaConf

    from mmtx_cli.distributed.hydra_job import (
        is_multirun,
        job_argv,
        job_overrides,
        job_run_dir,
        needs_own_process,
        run_job,
    )
    from mmtx_cli.errors import MmtxError, complain
    from mmtx_cli.io.file_errors import told

    program = sys.argv[0]

    def job(cfg: "DictConfig") -> None:
        OmegaConf.set_struct(cfg, False)
        try:
            job_run_dir(cfg, args)
            # Lightning starts additional processes with this command line
            sys.argv = [program, command, *job_argv(args, cfg)]
            if is_multirun() and needs_own_process(cfg):
                place = str(cfg.get("run_dir", " ".join(job_overrides())))
                refused.extend(run_job(program, [command, *job_argv(args, cfg)], place))
            else:
                import_module(f"mmtx_cli.command.{name}").run(cfg)
        except Exception as raised:
            error = told(raised, command, cfg.get("run_dir"))
            if not (is_multirun() and isinstance(error, MmtxError)):
                raise Failed(error) from raised
            words = " ".join(job_overrides())
            refused.extend(f"{words}: {fault}" for fault in error.faults)
            complain(f"{command} {words}", error.faults)

    return job


def check_places(args: Sequence[str], name: str) -> None:
    """Raise ConfigError for config folders that do not exist and added keys that nothing reads."""
    from mmtx_cli.config.composition.explain import added_faults, list_faults
    from mmtx_cli.config.conf_tree import config_dirs, split
    from mmtx_cli.errors import ConfigError

    absent = [folder for folder in config_dirs(args) if not folder.is_dir()]
    if absent:
        raise ConfigError(*(f"--config-dir {folder}: folder not found" for folder in absent))
    overrides = split(args)[1]
    added = [*added_faults(overrides, name, config_dirs(args)), *list_faults(overrides)]
    if added:
        raise ConfigError(*added)


def trust(overrides: Sequence[str]) -> None:
    """Make the packages importable that the command line trusts, and block untrusted Hydra plugins.

    By default Hydra imports every module of any package ``hydra_plugins`` that it finds.

    Raises:
        ConfigError: if an override selects a Hydra plugin that is not trusted.
    """
    from hydra.errors import HydraException

    from mmtx_cli.config.composition.trust import key_of, packages, typed_trust
    from mmtx_cli.errors import ConfigError

    try:
        trusted = packages(typed_trust(overrides))
    except HydraException:  # reported where the configuration is composed
        trusted = ()
    if trusted and os.getcwd() not in sys.path:
        # a console script does not search the working directory. Add it only if needed: a folder
        # there may have the name of an optional package that other packages try to import
        sys.path.append(os.getcwd())
    if any(name.split(".")[0] == "hydra_plugins" for name in trusted):
        return
    modules: dict[str, Any] = sys.modules
    modules.setdefault("hydra_plugins", None)  # importing it fails, as if it were not installed
    for arg in overrides:
        group, choice = key_of(arg), arg.partition("=")[2]
        if group in ("hydra/launcher", "hydra/sweeper") and choice != "basic":
            raise ConfigError(
                f"{arg}: Hydra plugins are loaded only if trusted; add "
                "trusted_packages=[hydra_plugins]"
            )


def check_options(options: list[str], command: str) -> None:
    """Raise ConfigError with one line for each flag that Hydra lacks or mmtx does not support."""
    from hydra._internal.utils import get_args_parser

    from mmtx_cli.config.overrides import REFUSED
    from mmtx_cli.errors import ConfigError

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; set keys as key=value (see mmtx {command} --help)")

    parser = get_args_parser()
    parser.allow_abbrev = False  # other checks look for full names only
    parser.error = refuse  # type: ignore[method-assign]
    given = vars(parser.parse_args(options))
    if faults := [fault for name, fault in REFUSED.items() if given[name] not in (None, False)]:
        raise ConfigError(*faults)


class Failed(BaseException):
    """Carries a job's error past Hydra, which would print it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
