"""Groups of runs that differ only in their seed, with short names that distinguish them."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmtx_cli.config.constraints import within
from mmtx_cli.config.help.components import format_value
from mmtx_cli.config.preprocessing import ROOT_KEYS
from mmtx_cli.config.schema import FILLED

IGNORED = (
    "seed",
    "run_dir",
    "resume",
    "allow_changed_data",
    "trusted_packages",
    "logger",
    "command",
    "trainer.progress",
    "trainer.log_every",
)
"""Settings that do not affect what is compared."""
SHARED = ("dim", *ROOT_KEYS, *FILLED)
"""Root keys whose values are passed to components."""
TARGET_SUFFIX = "._target_"
MAX_NAME = 80
MAX_VALUE = 30
MORE = ", …"
ALL = "all runs"
"""Name of the group if there is only one."""


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed.

    ``settings`` holds the settings in which the groups differ, in command-line syntax.
    """

    name: str
    settings: Mapping[str, str]

    def in_full(self) -> str:
        """Return all settings in which it differs from other groups, on one line."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())


def group_runs(runs: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return the group of each run, given its settings by dotted key."""
    chosen = differences(runs)
    names = short_names(list(dict.fromkeys(map(_as_tuple, chosen))))
    return [Group(names[_as_tuple(settings)], settings) for settings in chosen]


def _as_tuple(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(settings.items())


def differences(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the settings of each run in which not all runs agree, component choices first.

    The keys of a component that differs are only compared among the runs that use the same one.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    ignored = {key for key in keys if not is_choice(key, runs)}
    kept = [
        {key: format_setting(value) for key, value in run.items() if key not in ignored}
        # the path of the initial checkpoint may depend on the seed; whether there was one is a
        # choice
        | {"ckpt": "given" if run.get("ckpt") else "null"}
        for run in runs
    ]
    varied = varying(kept)
    chosen = [key for key in varied if key.endswith(TARGET_SUFFIX)]
    prefixes = tuple(key.removesuffix("_target_") for key in chosen)
    found = []
    for run in kept:
        settings = {
            cli_key(key): choice_name(run.get(key), [other.get(key) for other in kept])
            for key in chosen
        }
        varied_inside = varying(
            [o for o in kept if all(o.get(key) == run.get(key) for key in chosen)]
        )
        for key in varied:
            if key not in chosen and (not key.startswith(prefixes) or key in varied_inside):
                settings[key] = run.get(key, "null")
        found.append(settings)
    return found


def is_choice(key: str, runs: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a setting is a choice of its own.

    It is not if it is filled in from the data or takes its value from a root key.
    """
    _, is_inner, last = key.rpartition(".")
    sources = (*FILLED, last) if is_inner else ()
    is_inherited = all(
        run.get(key) is None or run[key] in [run[name] for name in sources if name in run]
        for run in runs
    )
    is_ignored = any(within(key, name) for name in (*IGNORED, *FILLED))
    return not is_ignored and not (is_inherited and last in SHARED)


def varying(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys whose values differ between runs, in order."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if len({run.get(key, "null") for run in runs}) > 1]


def format_setting(value: Any) -> str:
    """Return a value in command-line syntax; equal numbers give the same text."""
    return " ".join(format_value(plain_numbers(value)).split())


def plain_numbers(value: Any) -> Any:
    """Return the value with whole floats as integers: 1.0 and 1 are the same setting."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [plain_numbers(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain_numbers(item) for key, item in value.items()}
    return value


def cli_key(key: str) -> str:
    """Return the key of a component as it is written on the command line."""
    return key.removesuffix(TARGET_SUFFIX).replace("encoder.", "encoder/")


def choice_name(target: str | None, all_targets: Sequence[str | None]) -> str:
    """Return the name of a choice: the module of its class, or the path if that is ambiguous."""
    if target is None or target == "null":
        return "null"
    modules = Counter(_module(other) for other in {*all_targets} if other)
    return target if modules[_module(target)] > 1 else _module(target)


def _module(target: str) -> str:
    return target.split(".")[-2] if "." in target else target


def short_names(groups: Sequence[tuple[tuple[str, str], ...]]) -> dict[Any, str]:
    """Return a unique name of at most ``MAX_NAME`` characters for each group.

    Names start with the settings needed to distinguish the groups, then include as many others as
    fit into all names; a name that omits some ends in ``…``.
    """
    settings = [dict(group) for group in groups]
    keys = list(dict.fromkeys(key for chosen in settings for key in chosen))
    if not keys:
        return dict.fromkeys(groups, ALL)
    if len(keys) == 1 and max(len(Group("", chosen).in_full()) for chosen in settings) <= MAX_NAME:
        return {group: Group("", dict(group)).in_full() for group in groups}
    titles = short_keys(keys)
    values = {
        key: short_values([chosen[key] for chosen in settings if key in chosen]) for key in keys
    }

    def names(shown: Sequence[str]) -> list[str]:
        more = MORE if len(shown) < len(keys) else ""
        inner = (
            ", ".join(
                f"{titles[k]} {values[k][chosen[k]]}" for k in keys if k in shown and k in chosen
            )
            for chosen in settings
        )
        return [f"{name}{more}" for name in inner]

    shown = distinguishing_keys(settings, keys)
    for key in keys:
        if key not in shown and max(map(len, names([*shown, key]))) <= MAX_NAME:
            shown.append(key)
    return dict(zip(groups, make_unique([truncate(name) for name in names(shown)]), strict=True))


def distinguishing_keys(settings: Sequence[Mapping[str, str]], keys: Sequence[str]) -> list[str]:
    """Return the first keys that together distinguish all groups."""
    found: list[str] = []

    def number(subset: Sequence[str]) -> int:
        return len({tuple(group.get(key) for key in subset) for group in settings})

    for key in keys:
        if number([*found, key]) > number(found):
            found.append(key)
    return found


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique suffix of each key: ``depth`` for ``encoder.image.depth``."""
    ends = {key: _ends(key) for key in keys}
    counts = Counter(end for found in ends.values() for end in found)
    return {key: next((e for e in found if counts[e] == 1), key) for key, found in ends.items()}


def _ends(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]


def short_values(values: Sequence[str]) -> dict[str, str]:
    """Return the values without their common folder, with the middle of long ones elided."""
    paths = [value for value in values if value.startswith("/")]
    folders = {os.path.dirname(path) for path in paths}
    common = os.path.commonpath(folders).rstrip("/") + "/" if paths else ""
    short = {}
    for value in values:
        ending = value.removeprefix(common) if value in paths else value
        half = (MAX_VALUE - 1) // 2
        long = len(ending) > MAX_VALUE
        short[value] = f"{ending[:half]}…{ending[-half:]}" if long else ending
    return short


def truncate(name: str) -> str:
    """Return the name, truncated if it is too long."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - len(MORE)] + MORE


def make_unique(names: Sequence[str]) -> list[str]:
    """Return unique names: duplicates get a number."""
    unique_names: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in unique_names:
            number += 1
            ending = f" ({number})"
            unique = name[: MAX_NAME - len(ending)] + ending
        unique_names.append(unique)
    return unique_names
