"""The command line: ``mmtx <command> [group=choice] [key=value] …``.

Heavy modules are imported only when a command needs them, so that ``mmtx --help`` is fast.
"""

import codecs
import os
import shlex
import sys

COMMANDS = {
    "demo": "built-in data, pre-training, fine-tuning, evaluation, captions: minutes on 2 cores",
    "pretrain": "pre-train encoders and fusion with one or more weighted objectives",
    "finetune": "train a task head, from scratch or from ckpt=",
    "eval": "score a trained model: metrics with intervals, predictions, an HTML report",
    "caption": "caption images, videos and audio: inputs= files, folders, globs",
    "predict": "predict classes, numbers, answers, texts or embeddings for new inputs: inputs=",
    "serve": "caption files that are sent to a local web page or HTTP endpoint",
    "compare": "compare configurations: differences in metrics and cost: runs=, or sweep=fusions",
    "score": "compute caption metrics: references=, predictions=",
    "data": "action=create|check|import|cache: create, check, convert data; cache features",
    "export": "write a model folder from a run or checkpoint",
}

HELP = """mmtx: train, compare and use multimodal transformers

usage: mmtx <command> [group=choice] [key=value] ...

{commands}

Options of every command (from Hydra):
  mmtx <command> --help        show its groups and settings
  mmtx <command> --cfg job     print the configuration without running
  -m, --multirun               run every combination: fusion=concat,decision seed=1,2,3
  --config-dir DIR             add your own configuration groups

Tab completion:  eval "$(mmtx completion bash)" (or zsh); mmtx completion fish | source

First steps:  mmtx demo
Environment:  MMTX_DEBUG=1 shows the traceback of an error
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    from mmtx_cli.io.standard_streams import print_traceback

    if argv is not None:
        return dispatch_and_flush(argv)
    ensure_utf8()
    sys.excepthook = print_traceback
    try:
        return dispatch_and_flush(sys.argv[1:])
    finally:
        if "signal" in sys.modules:  # not imported by the help
            from mmtx_cli.distributed.signals import kill_on_interrupt

            kill_on_interrupt()


def dispatch_and_flush(args: list[str]) -> int:
    """Run a command, and report errors of standard output and interruptions outside its work."""
    from mmtx_cli.errors import OutputError
    from mmtx_cli.io.standard_streams import CLOSED, standard_output

    with standard_output():
        try:
            status = dispatch(args)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of the output has gone
            return CLOSED
        except OutputError as error:
            print(f"mmtx: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("mmtx: interrupted", file=sys.stderr)
            return 130
        return status


def ensure_utf8() -> None:
    """Restart in UTF-8 mode if the file system encoding is ASCII: file names may be in any script.

    Python itself uses UTF-8 in the C and POSIX locales, unless PYTHONUTF8=0 is set.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        os.environ["PYTHONUTF8"] = "1"  # for child processes
        command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, command)  # nosec B606 # the same command line


def dispatch(args: list[str]) -> int:
    """Run the command named by the first argument, or print the help or version."""
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
        from mmtx_cli.config.completion.command import run

        return run(args, [*COMMANDS])
    if args[0] not in COMMANDS:
        from difflib import get_close_matches

        from mmtx_cli.config.synonyms import equivalent_command

        suggestion = equivalent_command(args[0], args[1:]) or next(
            iter(get_close_matches(args[0], COMMANDS, n=1)), None
        )
        hint = (
            f"did you mean `mmtx {suggestion}`?"
            if suggestion
            else f"choose from: {', '.join(COMMANDS)}"
        )
        print(f"mmtx: unknown command {args[0]!r}; {hint}", file=sys.stderr)
        return 2
    return run_and_end_processes(args[0], args[1:])


def run_and_end_processes(command: str, args: list[str]) -> int:
    """Run a command, and end all processes that it started."""
    from mmtx_cli.distributed import ranks

    ranks.end_with_parent()
    patience = 0.0
    try:
        status = run_and_report_errors(command, args)
        patience = ranks.patience(status)
    finally:
        ranks.end(patience)
    return status


def run_and_report_errors(command: str, args: list[str]) -> int:
    """Run a command under Hydra; report errors as a message and an exit status."""
    from mmtx_cli.command.dispatch import launch
    from mmtx_cli.distributed import ranks
    from mmtx_cli.distributed.signals import KeepInterrupt
    from mmtx_cli.errors import Interrupted, MmtxError, OutputError, RunError, print_faults
    from mmtx_cli.io.early_interrupt import raise_on_interrupt
    from mmtx_cli.io.quoting import argument

    try:
        raise_on_interrupt()
        with KeepInterrupt():
            launch(command, args)
    except MmtxError as error:
        if os.environ.get("MMTX_DEBUG") == "1":
            raise
        return print_faults(command, error.faults)
    except OutputError:  # reported by main, which also flushes the output
        raise
    except RunError as error:
        if os.environ.get("MMTX_DEBUG") == "1":
            raise
        print(f"mmtx {command}: {error}", file=sys.stderr)
        return 1
    except Interrupted as interruption:
        trusted = [arg for arg in args if arg.partition("=")[0] == "trusted_packages"]
        words = ["mmtx", command, "resume=true", argument("run_dir", interruption.run_dir)]
        resume = " ".join([*words, *map(shlex.quote, trusted)])
        resume_hint = f"; resume with: {resume}" if interruption.run_dir else ""
        if not ranks.STARTED_BY_RANK_0:  # rank 0 stops as well, and reports it
            print(f"mmtx {command}: {interruption}{resume_hint}", file=sys.stderr)
        return 128 + interruption.number
    except KeyboardInterrupt:
        print(f"mmtx {command}: interrupted", file=sys.stderr)
        return 130
    except RuntimeError as error:  # possibly a lost connection to another rank
        if (lost := ranks.lost(error)) is None or os.environ.get("MMTX_DEBUG") == "1":
            raise
        print(f"mmtx {command}: {lost}", file=sys.stderr)
        return ranks.status()
    return 0
