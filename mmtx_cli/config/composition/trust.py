"""Settings that only the command line may set, and settings that nothing may set.

Hydra acts on its own node before any command starts: it imports classes, opens log files and
creates folders. The node is therefore compared with what mmtx ships before Hydra sees it; user
classes need ``trusted_packages`` on the command line itself. If a file could set that, choosing an
experiment would be enough to run its code.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtx_cli.config.overrides import parse_override

CLI_ONLY = ("trusted_packages", "train_args", "overrides")
"""Keys that grant trust, or hold arguments of further commands, which could in turn grant it."""
NEEDS = {
    "trusted_packages": "if you trust the code, set trusted_packages=[…]",
    "train_args": "pass the arguments of other commands as train_args=[…]",
    "overrides": "pass the arguments of other commands as overrides.COMMAND=[…]",
}
CORE = "hydra._internal.core_plugins"
DEFAULT_PLUGINS = {
    "launcher": f"{CORE}.basic_launcher.BasicLauncher",
    "sweeper": f"{CORE}.basic_sweeper.BasicSweeper",
}
LOG_CLASSES = (
    "logging.StreamHandler",
    "logging.NullHandler",
    "logging.Formatter",
    "logging.Filter",
)
LOG_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
PLACES: Mapping[str, tuple[Any, ...]] = {
    "run.dir": (".",),
    "sweep.dir": ("${run_dir}", "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
    "sweep.subdir": (".", "${hydra.job.num}"),
    "output_subdir": (None,),
    "job.chdir": (False, None),
}
"""Folders that Hydra may write to and work in: the values set in conf/, or Hydra's defaults where
it sets none. Hydra's records hold the configuration with all secrets."""
JOB_NAME = "${hydra.job.name}"
"""Interpolation of the submitit launcher; Hydra's schema accepts only a string for its value."""
_ABSENT = object()
_WHOLE = re.compile(r"\s*\$\{.*\}\s*", re.S)
"""An interpolation that may resolve to a node, which may contain classes, rather than a string."""


def cli_trusted_packages(overrides: Sequence[str]) -> list[Any]:
    """Return the values of ``trusted_packages`` on a command line; for a sweep, of all its jobs."""
    values: list[Any] = []
    for arg in overrides:
        if arg.startswith("~") or key_of(arg) != "trusted_packages":
            continue
        override = parse_override(arg)
        if override.is_sweep_override():
            jobs = [parse_override(f"x={text}") for text in override.sweep_string_iterator()]
            values += [job.value() for job in jobs]
        else:
            values.append(override.value())
    return values


def key_of(arg: str) -> str:
    """Return the config path that an override sets."""
    return arg.lstrip("+~").partition("=")[0]


def packages(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the packages that any of these values trusts."""
    lists = [value for value in values if isinstance(value, list)]
    return tuple(name for names in lists for name in names if isinstance(name, str) and name)


def is_trusted(target: Any, trusted: Sequence[str]) -> bool:
    """Return True if a dotted path is in a trusted package."""
    return isinstance(target, str) and any(
        target == name or target.startswith(f"{name}.") for name in trusted
    )


def cli_only_faults(cfg: Mapping[str, Any], overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (key, remedy) for command-line-only keys that are set somewhere else."""
    fault = "can only be set on the command line; remove it, and"
    trust = cfg.get("trusted_packages")
    if trust not in (None, [], *cli_trusted_packages(overrides)) or "${" in str(trust):
        yield "trusted_packages", f"{fault} {NEEDS['trusted_packages']} there"
    cli_keys = {key_of(arg) for arg in overrides}
    for key in ("train_args", "overrides"):
        for path, value in _leaves(cfg.get(key), key):
            if value and path not in cli_keys and key not in cli_keys:
                yield path, f"{fault} {NEEDS[key]} there"


def hydra_faults(node: Any, trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (key, remedy) for everything in Hydra's node that runs code or writes elsewhere."""
    if not isinstance(node, Mapping):
        yield "hydra", "must be a mapping; remove it"
        return
    for key, fault in (*_place_faults(node), *_code_faults(node, trusted)):
        yield f"hydra.{key}", fault
    for name in ("job_logging", "hydra_logging"):
        for key, fault in _log_faults(name, node.get(name), trusted):
            yield f"hydra.{key}", fault


def _place_faults(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, allowed in PLACES.items():
        if _at(node, path) not in allowed:
            yield path, "mmtx writes only to run_dir; remove it, and set run_dir=FOLDER"
    if _at(node, "searchpath"):
        yield "searchpath", "not supported; use --config-dir DIR"
    copied = _at(node, "job.env_copy")
    passed = {name: os.environ.get(name) for name in copied} if isinstance(copied, list) else {}
    if _at(node, "job.env_set") != passed:
        yield "job.env_set", "not supported; set the variable in the shell: NAME=VALUE mmtx …"


def _code_faults(node: Mapping[str, Any], trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield errors for untrusted classes, and for interpolations where Hydra instantiates."""
    for name in ("callbacks", "launcher", "sweeper"):
        part = node.get(name)
        if not isinstance(part, Mapping) and not (name == "callbacks" and part is None):
            yield name, "must be a mapping; remove it"
            continue
        for path, value in _leaves(part, name):
            if value == JOB_NAME:
                continue
            if isinstance(value, str) and (_WHOLE.fullmatch(value) or value.count("${") > 1):
                yield path, f"{value!r} could expand to a class; write the value literally"
    for path, value in _leaves(node, ""):
        if path.rpartition(".")[2] == "_target_" and value != DEFAULT_PLUGINS.get(
            path.partition(".")[0]
        ):
            if "${" in str(value):
                yield path, f"{value!r}: a class cannot be interpolated; write it literally"
            elif not is_trusted(value, trusted):
                yield path, _untrusted_fault(value)


def _log_faults(name: str, node: Any, trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield errors for untrusted classes, factories, objects and files in a logging config."""
    if not isinstance(node, Mapping):
        yield name, "must be a mapping; remove it"
        return
    for path, value in _leaves(node, name):
        key, text = path.rpartition(".")[2], str(value)
        if "${" in text:
            yield path, f"{value!r} is an interpolation; write the value literally"
        elif key in ("()", "class"):
            if text in ("logging.FileHandler", "FileHandler"):
                yield (
                    path,
                    "mmtx writes no log file; remove it, and redirect: mmtx … 2> FILE",
                )
            elif value not in LOG_CLASSES and not is_trusted(value, trusted):
                yield path, _untrusted_fault(value)
        elif text.startswith("ext://") and text not in LOG_STREAMS:
            target = text.removeprefix("ext://")
            yield from () if is_trusted(target, trusted) else ((path, _untrusted_fault(target)),)


def _untrusted_fault(target: Any) -> str:
    package = str(target).split(".")[0]
    return (
        f"{target!r} is not part of mmtx; remove it, or, if you trust it, add "
        f"trusted_packages=[{package}] on the command line"
    )


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value). A list is one value, unless it holds containers or references."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}".lstrip(".") if path else str(key))
    elif isinstance(node, list) and any(isinstance(item, Mapping | list) for item in node):
        for i, item in enumerate(node):
            yield from _leaves(item, f"{path}.{i}")
    elif isinstance(node, list) and any("${" in str(item) or "://" in str(item) for item in node):
        for i, item in enumerate(node):
            yield f"{path}.{i}", item
    else:
        yield path, node


def _at(node: Any, path: str) -> Any:
    """Return the value at a dotted key, or ``_ABSENT``."""
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return _ABSENT
        node = node[key]
    return node
