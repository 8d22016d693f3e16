"""What the running command calls the keys that a message about data tells its user to set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """``root`` holds all files, ``files`` says where missing ones may lie, ``split`` gives ratios,
    ``outside`` allows paths that leave the root.
    """

    root: str
    files: str
    split: str
    outside: str


RUN_KEYS = Keys("data.root", "data.root", "data.split", "data.allow_outside_root")
"""Of a run's configuration: pretrain, finetune, eval."""
CHECK_KEYS = Keys("root", "root", "split", "allow_outside_root")
"""Of ``mmtx data action=check``."""
IMPORT_KEYS = Keys("root", "images", "split", "allow_outside_root")
"""Of ``mmtx data action=import``."""

RATIOS = "{train: 0.8, val: 0.1, test: 0.1}"
"""An example of ratios of the splits."""
