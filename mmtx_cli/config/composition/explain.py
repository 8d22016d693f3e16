"""Explain in the user's terms why Hydra cannot compose a command line."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.config.conf_tree import (
    ROOT_GROUPS,
    choices,
    cli_name,
    config_dirs,
    default_groups,
    group_names,
    root_keys,
    split_args,
)
from mmtx_cli.config.groups import (
    accepted_options,
    known_keys,
    known_paths,
    other_takers,
    selected_options,
)
from mmtx_cli.config.help.components import format_value
from mmtx_cli.config.help.yaml_comments import example
from mmtx_cli.config.key_hints import chosen_nodes, key_hint
from mmtx_cli.config.overrides import SECTIONS, is_section_key, parse_override
from mmtx_cli.config.synonyms import file_override
from mmtx_cli.config.unknown_keys import only_for
from mmtx_cli.config.validate import section_faults
from mmtx_cli.io.former_names import rename_hint
from mmtx_cli.io.quoting import argument, parse_fault
from mmtx_cli.suggest import closest, suggest


def explain_error(error: Exception, command: str, args: list[str]) -> list[str]:
    """Return the errors of a command line that Hydra cannot compose, in the user's terms."""
    faults = [fault for arg in split_args(args)[1] for fault in override_faults(arg, command, args)]
    faults += [
        fault for group, fault in unselected(command, args) if f"called {group}" not in str(faults)
    ]
    if faults:
        return [*faults, *plain_section_faults(args)]
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        return [f"{missing.group(1)}: required; set {missing.group(1)}=VALUE"]
    plugin = re.search(r"Could not find '(hydra/(?:launcher|sweeper)/\S+)'", str(error))
    if plugin:
        return [
            f"{plugin.group(1)}: Hydra plugins are loaded only if trusted; add "
            "trusted_packages=[hydra_plugins] on the command line"
        ]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return [" ".join(line for line in lines if "hydra.cc" not in line).replace("'++", "'")]


def explain_interpolation_error(error: Exception) -> str:
    """Return why an interpolation failed, and at which key."""
    reason, *details = str(error).splitlines()
    where = [line.partition("full_key:")[2].strip() for line in details if "full_key:" in line]
    return ": ".join([*where, reason])


def override_faults(arg: str, command: str, args: Sequence[str]) -> Iterator[str]:
    """Yield the errors of a single argument."""
    from hydra.errors import HydraException

    key, equals, value = arg.partition("=")
    if not key or (not equals and not key.startswith("~")):
        suggestion = file_override(arg, command)
        alternative = f"{suggestion}, or " if suggestion else ""
        yield (
            f"{arg}: not an override; write {alternative}key=value or group=choice "
            f"(see mmtx {cli_name(command)} --help)"
        )
        return
    try:
        override = parse_override(arg)
    except HydraException:
        yield f"{arg}: {parse_fault(arg)}"
        return
    is_sweep = override.is_sweep_override()
    if is_sweep and not {"-m", "--multirun"} & set(args):
        yield (
            f"{arg}: multiple values; add -m to run each of them, or write "
            f"{shlex.quote(f'{key}=[{value}]')} for a list or {argument(key, value)} for a string"
        )
    elif key[0] not in "+~" and not key.startswith("hydra.") and not is_section_key(arg):
        values = list(override.sweep_string_iterator()) if is_sweep else [override.value()]
        yield from key_faults(key.split("@")[0], values, command, args)


def key_faults(key: str, values: list[Any], command: str, args: Sequence[str]) -> Iterator[str]:
    """Yield errors for an unknown key, group or option, or a group that the command does not use.

    Args:
        key: The key without its package.
        values: The values of the override; several in a sweep.
        command: The command.
        args: All arguments of the command line.
    """
    dirs = config_dirs(args)
    chosen, groups = selected_options(command, args, dirs), group_names(dirs)
    known = known_keys(command, chosen, dirs)
    nested = [group for group in groups if group.startswith(f"{key}/")]
    if key in groups and key not in default_groups(command):
        yield f"{key}: group not supported by mmtx {cli_name(command)}; {taken(command, key)}"
    elif key in ROOT_GROUPS and None in values:
        return  # reported as not selected
    elif key in groups and None in values:
        removal = f"{key.replace('/', '.')}=null" if "/" in key else f"~{key}"
        yield f"{key}=null: invalid; to remove it, write {removal}"
    elif key in groups:
        names = [name for v in values for name in (v if isinstance(v, list) else [v])]
        available = choices(key, dirs)
        for name in names:
            if name not in available and not isinstance(name, dict):
                hint = rename_hint(f"{key}={name}") or suggest(
                    str(name), accepted_options(key, command, dirs), full=True
                )
                if key == "data" and file_override(str(name), "finetune"):
                    hint = f"did you mean data.path={name}? ({hint})"
                near = closest(str(name), available, 0.6) if key in ROOT_GROUPS else None
                shown = example(f"{key}/{near}") if near else ""
                yield f"{key}={name}: unknown option; {hint}{shown}"
    elif "/" in key:
        yield f"{key}: unknown group; {suggest(key, groups)}"
    elif nested and isinstance(values[0], str):
        yield f"{key}={values[0]}: invalid; use {' or '.join(f'{group}=NAME' for group in nested)}"
    elif key.split(".")[0] not in known and (takers := other_takers(key.split(".")[0], command)):
        if all(chosen.get(taker.partition("=")[0]) for taker in takers):
            yield only_for(f"{key}={format_value(values[0])}", takers)
    elif key.split(".")[0] not in known:
        usable = [group for group in groups if group in default_groups(command)]
        nodes = chosen_nodes(command, args, dirs)
        hint = rename_hint(key, command) or key_hint(
            key, known, nodes, dict.fromkeys([*known, *usable])
        )
        yield f"{key}: unknown key; {hint}"
    elif siblings := other_keys_of_block(key, known_paths(command, chosen, dirs)):
        yield f"{key}: unknown key; {suggest(key, siblings)}"


def other_keys_of_block(key: str, paths: Sequence[str]) -> list[str]:
    """Return the keys of the block that a key names but does not belong to, else nothing."""
    block, dot, _ = key.partition(".")
    if not dot or key in paths:
        return []
    return [path for path in paths if path.startswith(f"{block}.")]


def added_faults(overrides: Sequence[str], command: str, dirs: Sequence[Path]) -> Iterator[str]:
    """Yield errors for ``+key=`` and ``++key=`` that no command, section or group has.

    Hydra would add such a key to the configuration.
    """
    known = known_keys(command, selected_options(command, overrides, dirs), dirs)
    groups = group_names(dirs)
    for arg in overrides:
        key = arg.partition("=")[0].lstrip("+").split("@")[0]
        root = key.split(".")[0]
        if arg.startswith("+") and root not in (*known, *SECTIONS, "hydra") and key not in groups:
            nodes = chosen_nodes(command, overrides, dirs)
            takers = other_takers(root, command)
            hint = key_hint(root, known, nodes, known)
            yield only_for(arg, takers) if takers else f"{arg}: unknown key; {hint}"


def unselected(command: str, args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each group from which an option must be selected but is not, and the error."""
    dirs = config_dirs(args)
    chosen = selected_options(command, args, dirs)
    for group in default_groups(command):
        if group in ROOT_GROUPS and not chosen.get(group):
            there = ", ".join(choices(group, dirs))
            yield group, f"{group} is missing; choose from {there}{example(command)}"


def list_faults(overrides: Sequence[str]) -> Iterator[str]:
    """Yield errors for lists of options of groups that take one."""
    for arg in overrides:
        key, _, value = arg.lstrip("+").partition("=")
        if key in ROOT_GROUPS and value.startswith("["):
            yield f"{arg}: not a list; select one: {key}=NAME"


def taken(command: str, key: str) -> str:
    """Explain where a command that does not select from a group takes it from."""
    known = root_keys(command)
    if key.split("/")[0] in known:
        return f"it is loaded from ckpt=; set individual keys: {key.replace('/', '.')}.KEY=VALUE"
    return f"available keys: {', '.join(known)}"


def plain_section_faults(args: Sequence[str]) -> list[str]:
    """Return the errors in the keys of plain sections, which can be checked without composing."""
    from omegaconf import OmegaConf

    cfg = OmegaConf.create()
    for arg in filter(is_section_key, split_args(args)[1]):
        try:
            override = parse_override(arg)
        except Exception:  # nosec B112 # override_faults reports it
            continue
        if not override.is_sweep_override() and "${" not in arg:
            OmegaConf.update(cfg, override.key_or_group, override.value())
    return list(section_faults(OmegaConf.to_container(cfg)))  # type: ignore[arg-type]
