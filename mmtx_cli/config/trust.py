"""What of a composed configuration only the command line may set, or nobody.

Hydra acts on its own node before any command begins: it imports the classes that stand there,
opens the files of the log, makes folders. So the node is held against what mmtx ships before Hydra
sees it; classes of the user's own need ``trusted_packages`` on the command line itself. A file
that could trust itself would be trusted by whoever only chose an experiment.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtx_cli.config.overrides import parsed

ONLY_TYPED = ("trusted_packages", "args", "overrides")
"""Keys that hold trust, or arguments of further commands, which could hold it in their turn."""
NEEDS = {
    "trusted_packages": "if you trust the code, write trusted_packages=[…]",
    "args": "they are arguments of further commands: write args=[…]",
    "overrides": "they are arguments of further commands: write overrides.COMMAND=[…]",
}
CORE = "hydra._internal.core_plugins"
STOCK = {
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
"""Where Hydra may write and work: what conf/ sets, and Hydra's own default where it sets nothing.
Its records hold the configuration with all secrets."""
_ABSENT = object()
_WHOLE = re.compile(r"\s*\$\{.*\}\s*", re.S)
"""An interpolation that may stand for a node, with classes in it, not only for a text."""


def typed_trust(overrides: Sequence[str]) -> list[Any]:
    """Values of ``trusted_packages`` on a command line; in a sweep, those of all its jobs."""
    values: list[Any] = []
    for arg in overrides:
        if arg.startswith("~") or key_of(arg) != "trusted_packages":
            continue
        override = parsed(arg)
        if override.is_sweep_override():
            jobs = [parsed(f"x={text}") for text in override.sweep_string_iterator()]
            values += [job.value() for job in jobs]
        else:
            values.append(override.value())
    return values


def key_of(arg: str) -> str:
    """The config path that an override names."""
    return arg.lstrip("+~").partition("=")[0]


def packages(values: Sequence[Any]) -> tuple[str, ...]:
    """The packages that are trusted in any of these values."""
    lists = [value for value in values if isinstance(value, list)]
    return tuple(name for names in lists for name in names if isinstance(name, str) and name)


def is_trusted(target: Any, trusted: Sequence[str]) -> bool:
    """Is a dotted path in a trusted package?"""
    return isinstance(target, str) and any(
        target == name or target.startswith(f"{name}.") for name in trusted
    )


def typed_faults(cfg: Mapping[str, Any], overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, what to do) of what only the command line may set, and something else has set."""
    fault = "only the command line may set it; leave it out, and"
    trust = cfg.get("trusted_packages")
    if trust not in (None, [], *typed_trust(overrides)) or "${" in str(trust):
        yield "trusted_packages", f"{fault} {NEEDS['trusted_packages']} there"
    named = {key_of(arg) for arg in overrides}
    for key in ("args", "overrides"):
        for path, value in _leaves(cfg.get(key), key):
            if value and path not in named and key not in named:
                yield path, f"{fault} {NEEDS[key]} there"


def hydra_faults(node: Any, trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, what to do) of everything in Hydra's own node that runs code or writes elsewhere."""
    if not isinstance(node, Mapping):
        yield "hydra", "it is no mapping; leave it out"
        return
    for key, fault in (*_place_faults(node), *_code_faults(node, trusted)):
        yield f"hydra.{key}", fault
    for name in ("job_logging", "hydra_logging"):
        for key, fault in _log_faults(name, node.get(name), trusted):
            yield f"hydra.{key}", fault


def _place_faults(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, allowed in PLACES.items():
        if _at(node, path) not in allowed:
            yield path, "mmtx writes into run_dir alone; leave it out, and write run_dir=FOLDER"
    if _at(node, "searchpath"):
        yield "searchpath", "leave it out, and write --config-dir DIR"
    copied = _at(node, "job.env_copy")
    passed = {name: os.environ.get(name) for name in copied} if isinstance(copied, list) else {}
    if _at(node, "job.env_set") != passed:
        yield "job.env_set", "leave it out, and set the variable in the shell: NAME=VALUE mmtx …"


def _code_faults(node: Mapping[str, Any], trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Classes anywhere in the node; and, where Hydra instantiates, what could stand for one."""
    for name in ("callbacks", "launcher", "sweeper"):
        part = node.get(name)
        if not isinstance(part, Mapping) and not (name == "callbacks" and part is None):
            yield name, "it is no mapping; leave it out"
            continue
        for path, value in _leaves(part, name):
            if isinstance(value, str) and (_WHOLE.fullmatch(value) or value.count("${") > 1):
                yield path, f"{value!r} may stand for a class; write the value itself"
    for path, value in _leaves(node, ""):
        if path.rpartition(".")[2] == "_target_" and value != STOCK.get(path.partition(".")[0]):
            if "${" in str(value):
                yield path, f"{value!r}: a class is written out, not interpolated"
            elif not is_trusted(value, trusted):
                yield path, _outside(value)


def _log_faults(name: str, node: Any, trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Classes, factories and objects of a logging configuration, and files that it opens."""
    if not isinstance(node, Mapping):
        yield name, "it is no mapping; leave it out"
        return
    for path, value in _leaves(node, name):
        key, text = path.rpartition(".")[2], str(value)
        if "${" in text:
            yield path, f"{value!r}: write the value itself"
        elif key in ("()", "class"):
            if text in ("logging.FileHandler", "FileHandler"):
                yield path, "mmtx writes no log file; leave it out, and redirect: mmtx … 2> FILE"
            elif value not in LOG_CLASSES and not is_trusted(value, trusted):
                yield path, _outside(value)
        elif text.startswith("ext://") and text not in LOG_STREAMS:
            named = text.removeprefix("ext://")
            yield from () if is_trusted(named, trusted) else ((path, _outside(named)),)


def _outside(target: Any) -> str:
    package = str(target).split(".")[0]
    return (
        f"{target!r} is outside mmtx; leave it out, or, if you trust it, write "
        f"trusted_packages=[{package}] on the command line"
    )


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a list counts as one value unless mappings stand in it."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}".lstrip(".") if path else str(key))
    elif isinstance(node, list) and any(isinstance(item, Mapping | list) for item in node):
        for at, item in enumerate(node):
            yield from _leaves(item, f"{path}.{at}")
    elif isinstance(node, list) and any("${" in str(item) or "://" in str(item) for item in node):
        for at, item in enumerate(node):
            yield f"{path}.{at}", item
    else:
        yield path, node


def _at(node: Any, path: str) -> Any:
    """The value at a dotted key."""
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return _ABSENT
        node = node[key]
    return node
