"""Overrides on the command line: opened for Hydra, and explained where they are wrong."""

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.io.quoting import argument, unreadable
from mmtx_cli.meant import meant_file

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SECTIONS = ("encoder", "fusion", "head", "data", "optimizer", "trainer", "logger")
"""Nodes whose schema is a signature: ``check`` knows their keys, Hydra does not."""

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
REFUSED = {
    "config_path": "--config-path: mmtx has its configuration in a place of its own; to add "
    "yours, write --config-dir DIR",
    "config_name": "--config-name: every command has its own configuration; put yours into "
    "DIR/experiment/NAME.yaml, and write --config-dir DIR experiment=NAME",
    "experimental_rerun": "--experimental-rerun: a pickle may run any code, so mmtx reads none; "
    "to go on with a run, write resume=true run_dir=RUN",
    "hydra_help": "--hydra-help: write mmtx COMMAND --help for its groups and settings",
}
"""Options of Hydra that mmtx has no use for, and what to write instead."""


def conf_dir() -> Path:
    """The packaged configuration, or the one of the source tree."""
    here = Path(__file__).parent
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


def opened(args: list[str]) -> list[str]:
    """Let keys of the sections be set though the configuration does not mention them."""
    return [f"++{arg}" if is_section_key(arg) else arg for arg in args]


def as_typed(arg: str) -> str:
    """An argument as the user wrote it, before its section was opened."""
    return arg.removeprefix("++") if is_section_key(arg.removeprefix("++")) else arg


def is_section_key(arg: str) -> bool:
    """``head.captioning.depth=3`` is; ``head=captioning`` and ``+head.x=1`` are not."""
    key, equals, _ = arg.partition("=")
    return bool(equals) and "." in key and key.split(".")[0] in SECTIONS


def explained(error: Exception, command: str, args: list[str]) -> list[str]:
    """What is wrong with a command line that Hydra cannot compose, in the user's terms."""
    faults = [fault for arg in split(args)[1] for fault in override_faults(arg, command, args)]
    if faults:
        return [*faults, *plain_section_faults(args)]
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        return [f"{missing.group(1)}: required; write {missing.group(1)}=VALUE"]
    plugin = re.search(r"Could not find '(hydra/(?:launcher|sweeper)/\S+)'", str(error))
    if plugin:
        return [
            f"{plugin.group(1)}: plugins of Hydra are only loaded where you trust them; write "
            "trusted_packages=[hydra_plugins] on the command line"
        ]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return [" ".join(line for line in lines if "hydra.cc" not in line).replace("'++", "'")]


def explained_interpolation(error: Exception) -> str:
    """What an interpolation lacks, and at which key."""
    reason, *more = str(error).splitlines()
    where = [line.partition("full_key:")[2].strip() for line in more if "full_key:" in line]
    return ": ".join([*where, reason])


def parsed(arg: str) -> "Override":
    """An override as Hydra reads it; raises HydraException if it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(arg)


def override_faults(arg: str, command: str, args: Sequence[str]) -> Iterator[str]:
    """What is wrong with one argument by itself."""
    from hydra.errors import HydraException

    key, equals, value = arg.partition("=")
    if not key or (not equals and not key.startswith("~")):
        meant = meant_file(arg, command)
        write = f"{meant}, or " if meant else ""
        yield (
            f"{arg}: write {write}key=value or group=choice (mmtx {spoken(command)} --help lists "
            "them)"
        )
        return
    try:
        override = parsed(arg)
    except HydraException:
        yield f"{arg}: {unreadable(arg)}"
        return
    swept = override.is_sweep_override()
    if swept and not {"-m", "--multirun"} & set(args):
        yield (
            f"{arg}: several values; add -m to run each, or write "
            f"{shlex.quote(f'{key}=[{value}]')} for a list, or {argument(key, value)} for a text"
        )
    elif key[0] not in "+~" and not key.startswith("hydra.") and not is_section_key(arg):
        values = list(override.sweep_string_iterator()) if swept else [override.value()]
        yield from key_faults(key.split("@")[0], values, command, args)


def key_faults(key: str, values: list[Any], command: str, args: Sequence[str]) -> Iterator[str]:
    """An unknown key, group or choice, or a choice that this command does not make."""
    from mmtx_cli.deeper_key import chosen_nodes, key_hint
    from mmtx_cli.offer import offered
    from mmtx_cli.suggest import nearest

    dirs = config_dirs(args)
    known, groups = root_keys(command), group_names(dirs)
    below = [group for group in groups if group.startswith(f"{key}/")]
    if key in groups and key not in default_groups(command):
        yield f"{key}: mmtx {spoken(command)} has no choice of {key}; {taken(command, key)}"
    elif key in groups and None in values:
        leave_out = f"{key.replace('/', '.')}=null" if "/" in key else f"~{key}"
        yield f"{key}=null: to leave it out, write {leave_out}"
    elif key in groups:
        names = [name for v in values for name in (v if isinstance(v, list) else [v])]
        there = choices(key, dirs)
        for name in names:
            if name not in there and not isinstance(name, dict):
                hint = nearest(str(name), offered(key, command, dirs), full=True)
                if key == "data" and meant_file(str(name), "finetune"):
                    hint = f"did you mean data.path={name}? ({hint})"
                yield f"{key}={name}: there is no such choice; {hint}"
    elif "/" in key:
        yield f"{key}: there is no such group; {nearest(key, groups)}"
    elif below and isinstance(values[0], str):
        yield f"{key}={values[0]}: write {' or '.join(f'{group}=NAME' for group in below)}"
    elif key.split(".")[0] not in known:
        mine = [group for group in groups if group in default_groups(command)]
        nodes = chosen_nodes(command, args, dirs)
        yield f"{key}: unknown key; {key_hint(key, known, nodes, dict.fromkeys([*known, *mine]))}"


def added_faults(overrides: Sequence[str], command: str, dirs: Sequence[Path]) -> Iterator[str]:
    """``+foo=1`` and ``++foo=1`` where no command, section or group has a foo: Hydra adds it."""
    from mmtx_cli.deeper_key import chosen_nodes, key_hint

    known, groups = root_keys(command), group_names(dirs)
    for arg in overrides:
        key = arg.partition("=")[0].lstrip("+").split("@")[0]
        root = key.split(".")[0]
        if arg.startswith("+") and root not in (*known, *SECTIONS, "hydra") and key not in groups:
            nodes = chosen_nodes(command, overrides, dirs)
            yield f"{arg}: unknown key; {key_hint(root, known, nodes, known)}"


def taken(command: str, key: str) -> str:
    """Where a command that makes no choice of a group has it from."""
    known = root_keys(command)
    if key.split("/")[0] in known:
        return f"it comes with ckpt=; set single keys of it: {key.replace('/', '.')}.KEY=VALUE"
    return f"there are: {', '.join(known)}"


def plain_section_faults(args: Sequence[str]) -> list[str]:
    """Faults of the plain sections' keys, which need no composing."""
    from omegaconf import OmegaConf

    from mmtx_cli.check import section_faults

    cfg = OmegaConf.create()
    for arg in filter(is_section_key, split(args)[1]):
        try:
            override = parsed(arg)
        except Exception:  # nosec B112 # override_faults reports it
            continue
        if not override.is_sweep_override() and "${" not in arg:
            OmegaConf.update(cfg, override.key_or_group, override.value())
    return list(section_faults(OmegaConf.to_container(cfg)))  # type: ignore[arg-type]


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
