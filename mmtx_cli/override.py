"""Overrides on the command line: opened for Hydra, and explained where they are wrong."""

import re
from pathlib import Path

SECTIONS = ("encoder", "fusion", "head", "data", "optimizer", "trainer", "logger")
"""Nodes whose schema is a signature: ``check`` knows their keys, Hydra does not."""

UNKNOWN_KEY = re.compile(r"Could not override '([^']*)'")


def conf_dir() -> Path:
    """The packaged configuration, or the one of the source tree."""
    here = Path(__file__).parent
    packaged = here / "conf"
    return packaged if packaged.is_dir() else here.parent / "conf"


def opened(args: list[str]) -> list[str]:
    """Let keys of the sections be set though the configuration does not mention them."""
    return [f"++{arg}" if is_section_key(arg) else arg for arg in args]


def is_section_key(arg: str) -> bool:
    """``head.captioning.depth=3`` is; ``head=captioning`` and ``+head.x=1`` are not."""
    key, equals, _ = arg.partition("=")
    return bool(equals) and "." in key and key.split(".")[0] in SECTIONS


def explained(error: Exception, command: str, args: list[str]) -> list[str] | None:
    """What is wrong with the configuration, in the user's terms; None if it is something else."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    faults = [fault for arg in args if (fault := unknown_key(command, arg))]
    if faults:
        return faults
    choice = re.search(r"Could not find '([^']*)'", str(error))
    if choice:
        return [unknown_choice(choice.group(1), command)]
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        return [f"{missing.group(1)}: required; write {missing.group(1)}=VALUE"]
    return [" ".join(line.strip() for line in str(error).splitlines() if line.strip())]


def unknown_key(command: str, arg: str) -> str | None:
    """A plain ``key=value`` whose key the command's configuration does not have."""
    from mmtx_cli.check import nearest

    key, equals, _ = arg.partition("=")
    if not equals or key[:1] in "-+~" or key.startswith("hydra.") or is_section_key(arg):
        return None
    known = root_keys(command)
    groups = group_names()
    if key in known or key in groups or "/" in key:
        return None if "/" not in key or key in groups else unknown_group(key, groups)
    if key.split(".")[0] in known:
        return None
    return f"{key}: unknown key; {nearest(key, [*known, *groups])}"


def unknown_group(key: str, groups: list[str]) -> str:
    """A group that does not exist."""
    from mmtx_cli.check import nearest

    return f"{key}: there is no such group; {nearest(key, groups)}"


def root_keys(command: str) -> list[str]:
    """Keys at the root of a command's configuration."""
    import yaml

    keys: list[str] = []
    for name in (command, "base"):
        path = conf_dir() / f"{name}.yaml"
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
        keys += [str(key) for key in text if key not in ("defaults", "hydra")]
        uses_base = "base" in [d for d in text.get("defaults", ()) if isinstance(d, str)]
        if name == command and not uses_base:
            break
    return sorted(set(keys))


def group_names() -> list[str]:
    """Every group that has a choice."""
    root = conf_dir()
    return sorted({str(path.parent.relative_to(root)) for path in root.glob("*/**/*.yaml")})


def choices(group: str) -> list[str]:
    """Names of a group's choices."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def unknown_choice(path: str, command: str) -> str:
    """A choice that a group does not have."""
    from mmtx_cli.check import nearest

    group, _, name = path.rpartition("/")
    if not group:
        return f"there is no configuration {name!r}"
    there = choices(group)
    return f"{group}={name}: there is no such choice; {nearest(name, there)} ({', '.join(there)})"
