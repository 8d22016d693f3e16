"""Compose the configuration of a command with Hydra, and run the command."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from omegaconf import DictConfig


INFO_FLAGS = ("--cfg", "-c", "--info", "-i")
"""Hydra flags that show a configuration without running anything."""


def launch(command: str, args: list[str]) -> None:
    """Pass the arguments to Hydra, and the composed configuration to the command."""
    if "--help" in args or "-h" in args:
        from mmtx_cli.config.help.command_help import print_usage

        print_usage(command, args)
        return

    from mmtx_cli.config.conf_tree import ACTIONS, config_name, split_args
    from mmtx_cli.config.overrides import force_add
    from mmtx_cli.distributed.hydra_job import check_multirun
    from mmtx_cli.distributed.openmp import set_waiting
    from mmtx_cli.errors import ConfigError
    from mmtx_cli.io.quoting import quoted_if_needed

    options, overrides = split_args(args)
    overrides = [quoted_if_needed(arg) for arg in overrides]
    args = [*options, *overrides]
    name = config_name(command, args)
    if name in ACTIONS:
        from mmtx_cli.config.help.actions import action_faults

        raise ConfigError(*action_faults(name, args))
    check_options(options, command)
    check_multirun(options)
    check_dirs_and_keys(args, name)
    trust(overrides)
    program = sys.argv[0]
    set_waiting()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises errors; guarded() reports them
    # in this order, since --info would take a following override as its value
    sys.argv = [program, *force_add(overrides), *options]
    job_faults: list[str] = []
    compose(make_job(command, name, args, job_faults), name, args)
    if job_faults:
        raise ConfigError(*job_faults)


def compose(job: "Callable[[DictConfig], None]", name: str, args: Sequence[str]) -> None:
    """Let Hydra compose the arguments in ``sys.argv`` and call ``job``, in a sweep for each job.

    Raises:
        ConfigError: in the user's terms, if Hydra cannot compose them.
    """
    import hydra
    from omegaconf.errors import InterpolationResolutionError

    from mmtx_cli.config.composition.compose import checked_loader
    from mmtx_cli.config.composition.explain import explain_error, explain_interpolation_error
    from mmtx_cli.config.conf_tree import conf_dir, split_args
    from mmtx_cli.config.cross_checks import CACHING
    from mmtx_cli.errors import ConfigError, MmtxError, OutputError

    options, overrides = split_args(args)
    info_flags = {option.partition("=")[0] for option in options} & {*INFO_FLAGS}
    creates_run_dir = not info_flags and name != CACHING  # a cache is written to out=
    try:
        with checked_loader(name, overrides, creates_run_dir):
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job)()
    except Failed as failed:
        if isinstance(failed.error, InterpolationResolutionError):
            raise ConfigError(explain_interpolation_error(failed.error)) from failed.error
        raise failed.error from failed.error.__cause__
    except (BrokenPipeError, MmtxError, OutputError):
        raise
    except Exception as error:  # raised by Hydra before the command starts
        raise ConfigError(*explain_error(error, name, list(args))) from error


def make_job(
    command: str, name: str, args: list[str], job_faults: list[str]
) -> "Callable[[DictConfig], None]":
    """Return the function that runs the command on a composed configuration.

    A rejected job of a sweep does not stop the others.

    Args:
        command: The command.
        name: Name of its config and module.
        args: All arguments of the command line.
        job_faults: Receives the errors of rejected jobs, to be reported at the end.
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
    from mmtx_cli.distributed.signals import KeepInterrupt
    from mmtx_cli.errors import MmtxError, print_faults
    from mmtx_cli.io.file_errors import with_resume_command

    program = sys.argv[0]

    def start(cfg: "DictConfig") -> None:
        job_run_dir(cfg, args)
        # Lightning starts additional processes with this command line
        sys.argv = [program, command, *job_argv(args, cfg)]
        if is_multirun() and needs_own_process(cfg):
            job_name = str(cfg.get("run_dir", " ".join(job_overrides())))
            job_faults.extend(run_job(program, [command, *job_argv(args, cfg)], job_name))
        else:
            import_module(f"mmtx_cli.command.{name}").run(cfg)

    def job(cfg: "DictConfig") -> None:
        OmegaConf.set_struct(cfg, False)
        try:
            with KeepInterrupt():  # also here: an interrupted job of a sweep is not a rejected one
                start(cfg)
        except Exception as raised:
            error = with_resume_command(raised, command, cfg.get("run_dir"))
            if not (is_multirun() and isinstance(error, MmtxError)):
                raise Failed(error) from raised
            label = " ".join(job_overrides())
            job_faults.extend(f"{label}: {fault}" for fault in error.faults)
            print_faults(f"{command} {label}", error.faults)

    return job


def check_dirs_and_keys(args: Sequence[str], name: str) -> None:
    """Raise ConfigError for config folders that do not exist and added keys that nothing reads."""
    from mmtx_cli.config.composition.explain import added_faults, list_faults
    from mmtx_cli.config.conf_tree import config_dirs, split_args
    from mmtx_cli.errors import ConfigError

    missing = [folder for folder in config_dirs(args) if not folder.is_dir()]
    if missing:
        raise ConfigError(*(f"--config-dir {folder}: folder not found" for folder in missing))
    overrides = split_args(args)[1]
    faults = [*added_faults(overrides, name, config_dirs(args)), *list_faults(overrides)]
    if faults:
        raise ConfigError(*faults)


def trust(overrides: Sequence[str]) -> None:
    """Make the packages importable that the command line trusts, and block untrusted Hydra plugins.

    By default Hydra imports every module of any package ``hydra_plugins`` that it finds.

    Raises:
        ConfigError: if an override selects a Hydra plugin that is not trusted.
    """
    from hydra.errors import HydraException

    from mmtx_cli.config.composition.trust import cli_trusted_packages, key_of, packages
    from mmtx_cli.errors import ConfigError

    try:
        trusted = packages(cli_trusted_packages(overrides))
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

    from mmtx_cli.config.overrides import UNSUPPORTED_FLAGS
    from mmtx_cli.errors import ConfigError

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; set keys as key=value (see mmtx {command} --help)")

    parser = get_args_parser()
    parser.allow_abbrev = False  # other checks look for full names only
    parser.error = refuse  # type: ignore[method-assign]
    flags = vars(parser.parse_args(options))
    if faults := [
        fault for name, fault in UNSUPPORTED_FLAGS.items() if flags[name] not in (None, False)
    ]:
        raise ConfigError(*faults)


class Failed(BaseException):
    """Carries a job's error past Hydra, which would print it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
