"""Prepare command-line overrides for Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SECTIONS = (
    *("encoder", "fusion", "connector", "decoder", "vlm", "head"),
    *("data", "optimizer", "trainer", "generation", "logger"),
)
"""Sections whose keys ``check`` validates by signatures and schemas, which Hydra does not know."""

UNSUPPORTED_FLAGS = {
    "config_path": "--config-path: not supported; to add your own configuration, use "
    "--config-dir DIR",
    "config_name": "--config-name: not supported; put your configuration in "
    "DIR/experiment/NAME.yaml, and use --config-dir DIR experiment=NAME",
    "experimental_rerun": "--experimental-rerun: not supported, since a pickle can execute code; "
    "to resume a run, use resume=true run_dir=RUN",
    "hydra_help": "--hydra-help: not supported; for groups and keys, use mmtx COMMAND --help",
}
"""Hydra flags that mmtx does not support, and what to write instead."""


def force_add(args: list[str]) -> list[str]:
    """Prefix section keys with ``++``, so that they can be set even if the config lacks them."""
    return [f"++{arg}" if is_section_key(arg) else arg for arg in args]


def as_typed(arg: str) -> str:
    """Return an argument as the user typed it, without the prefix that ``force_add`` adds."""
    return arg.removeprefix("++") if is_section_key(arg.removeprefix("++")) else arg


def is_section_key(arg: str) -> bool:
    """Return True for ``head.captioning.depth=3``, not for ``head=captioning`` or ``+head.x=1``."""
    key, equals, _ = arg.partition("=")
    return bool(equals) and "." in key and key.split(".")[0] in SECTIONS


def parse_override(arg: str) -> "Override":
    """Parse an override with Hydra's parser.

    Raises:
        HydraException: if it is not valid.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(arg)
