"""The YAML files of conf/ and of ``--config-dir``: groups, choices and keys at the root."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

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
"""Hydra's options that are followed by a value."""
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What may follow --info, and need not."""


def conf_dir() -> Path:
    """The packaged configuration, or the one of the source tree."""
    here = Path(__file__).parents[1]
    packaged = here / "conf"
    return packaged if packaged.is_dir() else here.parent / "conf"


def split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's options with their values, and the overrides, in whatever order they were mixed."""
    options: list[str] = []
    overrides: list[str] = []
    for i, arg in enumerate(args):
        before = args[i - 1] if i > 0 else ""
        is_option = arg.startswith("-") or before in VALUED
        is_option |= before in ("--info", "-i") and arg in INFO
        (options if is_option else overrides).append(arg)
    return options, overrides


def config_dirs(args: Sequence[str]) -> list[Path]:
    """Where groups are looked for: our own configuration and the user's ``--config-dir``."""
    options, _ = split(args)
    given = [value for option, value in pairwise(options) if option in CONFIG_DIR]
    given += [
        o.partition("=")[2] for o in options if o.partition("=")[0] in CONFIG_DIR and "=" in o
    ]
    return [conf_dir(), *map(Path, given)]


def configuration(command: str, args: Sequence[str]) -> str:
    """The file of conf/ that a command composes: an action that builds encoders has its own."""
    caching = any(re.fullmatch(r"\+*action=(['\"]?)cache\1", arg) for arg in args)
    return "data_cache" if command == "data" and caching else command


def spoken(command: str) -> str:
    """What a user writes to have the configuration of that name: ``data_cache`` is an action."""
    return command.replace("_", " action=")


def root_keys(command: str) -> list[str]:
    """Keys at the root of a command's configuration."""
    import yaml

    text = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))
    shared = [d for d in text.get("defaults", ()) if isinstance(d, str) and d != "_self_"]
    own = {str(key) for key in text if key not in ("defaults", "hydra")}
    return sorted(own.union(*map(root_keys, shared)))


def default_groups(command: str) -> list[str]:
    """Groups that a command's configuration makes a choice of."""
    import yaml

    text = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))
    return [key for item in text.get("defaults", ()) if isinstance(item, dict) for key in item]


def group_names(dirs: Sequence[Path] = ()) -> list[str]:
    """Every group that has a choice."""
    roots = dirs or [conf_dir()]
    return sorted(
        {str(p.parent.relative_to(root)) for root in roots for p in root.glob("*/**/*.yaml")}
    )


def choices(group: str, dirs: Sequence[Path] = ()) -> list[str]:
    """Names of a group's choices."""
    return sorted(
        {path.stem for root in dirs or [conf_dir()] for path in (root / group).glob("*.yaml")}
    )
