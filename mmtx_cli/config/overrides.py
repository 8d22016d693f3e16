"""Overrides on the command line, opened for Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SECTIONS = ("encoder", "fusion", "head", "data", "optimizer", "trainer", "logger")
"""Nodes whose schema is a signature: ``check`` knows their keys, Hydra does not."""

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


def parsed(arg: str) -> "Override":
    """An override as Hydra reads it; raises HydraException if it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(arg)
