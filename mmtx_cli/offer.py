"""The choices of a group that a command makes: heads to be trained, or to be asked of a model."""

from collections.abc import Sequence
from pathlib import Path

from mmtx_cli.choice import made
from mmtx_cli.meaning import is_trained
from mmtx_cli.override import choices, conf_dir


def offered(group: str, command: str, dirs: Sequence[Path] = ()) -> list[str]:
    """Names of the choices of a group that make sense in a command."""
    names = choices(group, dirs)
    if group != "head":
        return names
    heads = made([group], names, dirs or [conf_dir()])
    trained = {choice.name: is_trained(choice.content) for choice in heads}
    return [name for name in names if trained[name] == (command != "eval")]
