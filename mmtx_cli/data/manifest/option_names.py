"""Names of the data options in each command, for messages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """Names of options: ``root`` holds all files, ``files`` is where to look for missing ones,
    ``split`` gives ratios, ``outside`` allows paths outside the root.
    """

    root: str
    files: str
    split: str
    outside: str


RUN_KEYS = Keys("data.root", "data.root", "data.split", "data.allow_outside_root")
"""Names in a run's configuration (pretrain, finetune, eval)."""
CHECK_KEYS = Keys("root", "root", "split", "allow_outside_root")
"""Names in ``mmtx data action=check``."""
IMPORT_KEYS = Keys("root", "images", "split", "allow_outside_root")
"""Names in ``mmtx data action=import``."""

RATIOS = "{train: 0.8, val: 0.1, test: 0.1}"
"""Example of split ratios."""
