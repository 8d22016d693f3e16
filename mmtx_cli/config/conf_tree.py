"""Read the config tree: the groups, options and root keys of conf/ and ``--config-dir``."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

CONFIG_DIR = ("--config-dir", "-cd")
VALUED = (
    *CONFIG_DIR,
    "--cfg",
    "-c",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--package",
    "-p",
    "--experimental-rerun",
)
"""Hydra flags that take a value."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""Optional values of ``--info``."""
ACTIONS = {"data": ("create", "check", "import", "shard", "index", "cache")}
"""Commands that have a configuration per action, such as ``data_create``."""
ROOT_GROUPS = ("dataset", "importer")
"""Groups whose options contain root keys (``@package _global_``), one of which names the option."""
MISSING = "???"
"""Default of keys and groups that must be set."""


def conf_dir() -> Path:
    """Return the packaged config folder, or that of the source tree."""
    package_dir = Path(__file__).parents[1]
    packaged = package_dir / "conf"
    return packaged if packaged.is_dir() else package_dir.parent / "conf"


def split_args(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments given in any order into Hydra flags (with their values) and overrides."""
    options: list[str] = []
    overrides: list[str] = []
    for i, arg in enumerate(args):
        before = args[i - 1] if i > 0 else ""
        is_option = arg.startswith("-") or before in VALUED
        is_option |= before in ("--info", "-i") and arg in INFO
        (options if is_option else overrides).append(arg)
    return options, overrides


def config_dirs(args: Sequence[str]) -> list[Path]:
    """Return the folders that hold config groups: our own and the user's ``--config-dir``."""
    options, _ = split_args(args)
    user_dirs = [value for option, value in pairwise(options) if option in CONFIG_DIR]
    user_dirs += [
        o.partition("=")[2] for o in options if o.partition("=")[0] in CONFIG_DIR and "=" in o
    ]
    return [conf_dir(), *map(Path, user_dirs)]


def config_name(command: str, args: Sequence[str]) -> str:
    """Return the name of the config that a command composes.

    This is the name of the command, followed by the action if it has actions and the command line
    selects one.
    """
    typed = [arg.partition("=")[2] for arg in args if re.match(r"\+*action=", arg)]
    action = typed[-1].strip("'\"") if typed else ""
    return f"{command}_{action}" if action in ACTIONS.get(command, ()) else command


def cli_name(command: str) -> str:
    """Return a config name as typed by the user: ``data_cache`` is ``data action=cache``."""
    return command.replace("_", " action=")


def files(command: str) -> list[str]:
    """Return the config of a command, then those that it shares with others, by name."""
    names = [command]
    for name in names:
        shared = [d for d in shipped(name).get("defaults", ()) if isinstance(d, str)]
        names += [d for d in shared if d != "_self_" and d not in names]
    return names


@cache
def shipped(name: str) -> dict[str, Any]:
    """Return the content of one of our config files, by its path without suffix."""
    import yaml

    return yaml.safe_load((conf_dir() / f"{name}.yaml").read_text(encoding="utf-8")) or {}


def root_keys(command: str) -> list[str]:
    """Return the root keys of a command's config, including those of the configs it shares."""
    keys = {str(key) for name in files(command) for key in shipped(name)}
    keys |= {*ROOT_GROUPS} & {*default_groups(command)}
    return sorted(keys - {"defaults", "hydra"})


def default_groups(command: str) -> list[str]:
    """Return the groups that a command selects from, in the order of its defaults list."""
    names = reversed(files(command))
    items = [item for name in names for item in shipped(name).get("defaults", ())]
    groups = [key for item in items if isinstance(item, dict) for key in item]
    return [group for group in groups if not group.startswith("override ")]


def group_names(dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of all groups that have at least one option."""
    roots = dirs or [conf_dir()]
    return sorted(
        {
            str(path.parent.relative_to(root))
            for root in roots
            for path in root.glob("*/**/*.yaml")
            if is_option(path)
        }
    )


def choices(group: str, dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of a group's options."""
    return sorted(
        {
            path.stem
            for root in dirs or [conf_dir()]
            for path in (root / group).glob("*.yaml")
            if is_option(path)
        }
    )


def is_option(path: Path) -> bool:
    """Return True for an option of a group, False for ``_name.yaml``, which options share."""
    return not path.name.startswith("_")
