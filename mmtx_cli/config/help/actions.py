"""Commands with actions: ``mmtx data`` lists them, and each has a configuration of its own."""

from collections.abc import Iterator, Sequence

from mmtx_cli.config.composition.explain import override_faults
from mmtx_cli.config.conf_tree import (
    ACTIONS,
    ROOT_GROUPS,
    conf_dir,
    default_groups,
    root_keys,
    split_args,
)
from mmtx_cli.config.groups import other_takers
from mmtx_cli.config.help.yaml_comments import example, example_in, heading
from mmtx_cli.io.former_names import rename_hint
from mmtx_cli.suggest import closest


def action_rows(command: str) -> Iterator[str]:
    """Yield what each action of a command does, an example, and how to list its keys."""
    for action in ACTIONS[command]:
        text = (conf_dir() / f"{command}_{action}.yaml").read_text(encoding="utf-8")
        yield f"  action={action}: {heading(text)}"
        yield f"    {example_in(text)}"
        groups = [g for g in default_groups(f"{command}_{action}") if g in ROOT_GROUPS]
        choice = "".join(f" [{group}=NAME]" for group in groups)
        yield f"    keys: mmtx {command} action={action}{choice} --help"


def action_faults(command: str, args: Sequence[str]) -> Iterator[str]:
    """Yield the errors of a command line that selects none of the command's actions."""
    overrides = split_args(args)[1]
    words = [arg for arg in overrides if "=" not in arg and not arg.startswith("~")]
    if words:
        yield from (fault for word in words for fault in override_faults(word, command, args))
        return
    given = dict(arg.lstrip("+").partition("=")[::2] for arg in overrides)
    value, actions = given.pop("action", None), ACTIONS[command]
    if value is None:
        fitting = [action for action in actions if takes(f"{command}_{action}", given)]
        near, fault = fitting[0] if given and len(fitting) == 1 else None, "action is missing"
    else:
        near, fault = closest(value, actions, 0.6), f"action={value} is unknown"
    if value is not None and "," in value:
        near, fault = None, f"action={value}: select one action"
    nearest = f"did you mean action={near}?" if near else f"choose from {', '.join(actions)}"
    hint = rename_hint(f"action={value}") or nearest
    if overrides:
        yield f"{fault}; {hint}{example(f'{command}_{near or actions[0]}')}"
        for key in given:
            if near and (renamed := rename_hint(key, f"{command}_{near}")):
                yield f"{key}: {renamed}"
    else:
        yield "\n".join([f"{fault}; {hint}", *action_rows(command)])


def takes(command: str, keys: Sequence[str] | dict[str, str]) -> bool:
    """Return True if a config has all the keys, or had them under another name."""
    known = root_keys(command)
    roots = {key.partition(".")[0] for key in keys}
    return all(r in known or other_takers(r, command) or rename_hint(r, command) for r in roots)
