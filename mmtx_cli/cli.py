"""The command line: ``mmtx <command> [group=choice] [key=value] …``.

Nothing heavy is imported before a command needs it: ``mmtx --help`` answers at once.
"""

import os
import sys
from typing import NoReturn

COMMANDS = {
    "demo": "make the built-in data, pre-train, fine-tune, evaluate, caption: minutes on 2 cores",
    "pretrain": "pre-train encoders and fusion with one or more weighted objectives",
    "finetune": "train a task head, from scratch or from ckpt=",
    "eval": "score a trained model: metrics with intervals, predictions, an HTML report",
    "caption": "caption images, videos and sounds: inputs= files, folders, globs",
    "predict": "apply a trained model to new inputs: classes, numbers, answers, texts; embeddings",
    "compare": "which configuration is better, by how much, at what cost: runs=, or plan=fusions",
    "score": "caption metrics alone: references=, predictions=",
    "data": "action=make|check|import|cache: built-in data; check, convert; keep encoders' outputs",
    "export": "write a model folder from a run or checkpoint",
}

HELP = """mmtx: train, compare and use multimodal transformers

usage: mmtx <command> [group=choice] [key=value] ...

{commands}

Options of every command (they are Hydra's own):
  mmtx <command> --help        its groups and settings
  mmtx <command> --cfg job     the configuration it would run with
  -m, --multirun               run every combination: fusion=concat,decision seed=1,2,3
  --config-dir DIR             add your own configuration groups

Completion by TAB:  eval "$(mmtx completion bash)" (or zsh); mmtx completion fish | source

First steps:  mmtx demo
Environment:  MMTX_DEBUG=1 shows where in the code a mistake was found
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit status."""
    args = sys.argv[1:] if argv is None else argv
    try:
        status = dispatch(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def dispatch(args: list[str]) -> int:
    """Say what there is, or run the command that is named first."""
    if not args or args[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {name:{width}}  {about}" for name, about in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)), end="")
        return 0
    if "--version" in args:
        from mmtx_cli import __version__

        print(f"mmtx {__version__}")
        return 0
    if args[0] == "completion" or "-sc" in args or "--shell-completion" in args:
        from mmtx_cli.completion.command import run

        return run(args, [*COMMANDS])
    if args[0] not in COMMANDS:
        from difflib import get_close_matches

        from mmtx_cli.meant import meant_command

        meant = meant_command(args[0], args[1:]) or next(
            iter(get_close_matches(args[0], COMMANDS, n=1)), None
        )
        hint = f"did you mean `mmtx {meant}`?" if meant else f"there are: {', '.join(COMMANDS)}"
        print(f"mmtx: {args[0]!r} is no command; {hint}", file=sys.stderr)
        return 2
    return guarded(args[0], args[1:])


def guarded(command: str, args: list[str]) -> int:
    """Run a command, and leave no process behind."""
    from mmtx_cli import ranks

    ranks.end_with_parent()
    patience = 0.0
    try:
        status = reported(command, args)
        patience = ranks.patience(status)
    finally:
        ranks.end(patience)
    return status


def reported(command: str, args: list[str]) -> int:
    """Run a command under Hydra; turn what goes wrong into a message and an exit status."""
    from mmtx_cli import ranks
    from mmtx_cli.argument import argument
    from mmtx_cli.error import Interrupted, MmtxError, RunError

    try:
        launch(command, args)
    except MmtxError as error:
        if os.environ.get("MMTX_DEBUG") == "1":
            raise
        return complain(command, error.faults)
    except RunError as error:
        if os.environ.get("MMTX_DEBUG") == "1":
            raise
        print(f"mmtx {command}: {error}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        resume = f"mmtx {command} resume=true {argument('run_dir', stop.run_dir)}"
        how = f"; go on with it by: {resume}" if stop.run_dir else ""
        if not ranks.FOLLOWS:  # rank 0 stops, too, and says so
            print(f"mmtx {command}: {stop}{how}", file=sys.stderr)
        return 128 + stop.number
    except KeyboardInterrupt:
        print(f"mmtx {command}: interrupted", file=sys.stderr)
        return 130
    except RuntimeError as error:  # perhaps but the end of the connection to another rank
        if (lost := ranks.lost(error)) is None or os.environ.get("MMTX_DEBUG") == "1":
            raise
        print(f"mmtx {command}: {lost}", file=sys.stderr)
        return ranks.status()
    return 0


def complain(command: str, faults: "tuple[str, ...] | list[str]") -> int:
    """Print the faults of a user's input."""
    from mmtx_cli.fault import count

    if len(faults) == 1:
        print(f"mmtx {command}: {faults[0]}", file=sys.stderr)
    else:
        lines = "\n".join(f"  {fault}" for fault in faults)
        print(f"mmtx {command}: {count(faults)} faults\n{lines}", file=sys.stderr)
    return 2


def launch(command: str, args: list[str]) -> None:
    """Give the arguments to Hydra, and the composed configuration to the command."""
    if "--help" in args or "-h" in args:
        from mmtx_cli.usage import print_usage

        print_usage(command, args)
        return

    import hydra
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    from mmtx_cli.argument import as_written
    from mmtx_cli.error import ConfigError, MmtxError
    from mmtx_cli.openmp import set_waiting
    from mmtx_cli.override import (
        added_faults,
        conf_dir,
        config_dirs,
        configuration,
        explained,
        explained_interpolation,
        opened,
        split,
    )
    from mmtx_cli.relaunch import (
        check_multirun,
        is_multirun,
        job_argv,
        job_overrides,
        job_run_dir,
        needs_own_process,
        run_job,
    )
    from mmtx_cli.storage import told

    options, overrides = split(args)
    overrides = [as_written(arg) for arg in overrides]
    args = [*options, *overrides]
    name = configuration(command, args)
    check_options(options, command)
    check_multirun(options)
    absent = [folder for folder in config_dirs(args) if not folder.is_dir()]
    if absent:
        raise ConfigError(*(f"--config-dir {folder}: there is no such folder" for folder in absent))
    if added := list(added_faults(overrides, name, config_dirs(args))):
        raise ConfigError(*added)
    program = sys.argv[0]
    set_waiting()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on; they are told in guarded()
    # in this order, since --info would take an override that follows for its value
    sys.argv = [program, *opened(overrides), *options]

    refused: list[str] = []

    def task(cfg: DictConfig) -> None:
        from importlib import import_module

        OmegaConf.set_struct(cfg, False)
        if cfg.get("trusted_packages") and os.getcwd() not in sys.path:
            # a console script does not look where the user stands; without need nor should it: a
            # folder there may have the name of a package that others import if they find it
            sys.path.append(os.getcwd())
        try:
            job_run_dir(cfg, args)
            # Lightning starts further processes with this command line
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
            job = " ".join(job_overrides())  # the other jobs go on; the end tells of this one
            refused.extend(f"{job}: {fault}" for fault in error.faults)
            complain(f"{command} {job}", error.faults)

    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(task)()
    except Failed as failed:
        if isinstance(failed.error, InterpolationResolutionError):
            raise ConfigError(explained_interpolation(failed.error)) from failed.error
        raise failed.error from failed.error.__cause__
    except BrokenPipeError:
        raise
    except Exception as error:  # of Hydra's own: the command has not begun
        raise ConfigError(*explained(error, name, args)) from error
    if refused:
        raise ConfigError(*refused)


def check_options(options: list[str], command: str) -> None:
    """Refuse options that Hydra does not have, or mmtx has no use for, in one line each."""
    from hydra._internal.utils import get_args_parser

    from mmtx_cli.error import ConfigError
    from mmtx_cli.override import REFUSED

    def refuse(message: str) -> NoReturn:
        raise ConfigError(
            f"{message}; settings are written key=value, and mmtx {command} --help lists them"
        )

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    given = vars(parser.parse_args(options))
    if faults := [fault for name, fault in REFUSED.items() if given[name] is not None]:
        raise ConfigError(*faults)


class Failed(BaseException):
    """Carries a job's error past Hydra, which would print about it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
