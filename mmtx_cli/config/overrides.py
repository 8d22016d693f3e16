"""Prepare command-line overrides for Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SECTIONS = ("encoder", "fusion", "head", "data", "optimizer", "trainer", "logger")
"""Sections whose keys ``check`` validates by signatures and schemas, which Hydra does not know."""

REFUSED = {
    "config_path": "--config-path: mmtx has its configuration in a place of its own; to add "
    "yours, write --config-dir DIR",
    "config_name": "--config-name: every command has its own configuration; put yours into "
    "DIR/experiment/NAME.yaml, and write --config-dir DIR experiment=NAME",
    "experimental_rerun": "--experimental-rerun: a pickle may run any code, so mmtx reads none; "
    "to go on with a run, write resume=true run_dir=RUN",
    "hydra_help": "--hydra-help: write mmtx COMMAND --help for its groups and settings",
}
"""Hydra flags that mmtx does not support, and what to write instead."""


def opened(args: list[str]) -> list[str]:
    """Prefix section keys with ``++``, so that they can be set even if the config lacks them."""
    return [f"++{arg}" if is_section_key(arg) else arg for arg in args]


def as_typed(arg: str) -> str:
    """Return an argument as the user typed it, without the prefix that ``opened`` adds."""
    return arg.removeprefix("++") if is_section_key(arg.removeprefix("++")) else arg


def is_section_key(arg: str) -> bool:
    """Return True for ``head.captioning.depth=3``, not for ``head=captioning`` or ``+head.x=1``."""
    key, equals, _ = arg.partition("=")
    return bool(equals) and "." in key and key.split(".")[0] in SECTIONS


def parsed(arg: str) -> "Override":
    """Parse an override with Hydra's parser.

    Raises:
        HydraException: if it is not valid.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(arg)
