"""Merging of missing-file faults into one if the root is probably wrong."""

from collections.abc import Sequence

from mmtx_cli.data.manifest.path_resolver import Root

FEW, SHARE = 3, 0.9
"""Missing files are reported together if there are more than FEW and at least this share."""


def located_faults(faults: Sequence[tuple[str, str]], root: Root) -> list[str]:
    """Return (place, fault) pairs as ``place: fault``, with one fault if most files are missing.

    ``root`` is the resolver with which the rows were read.
    """
    found = [(place, root.missing.get(without_key(fault))) for place, fault in faults]
    missing = [(place, full) for place, full in found if full is not None]
    if len(missing) <= FEW or len(missing) < SHARE * root.num_checked:
        return [f"{place}: {fault}" for place, fault in faults]
    others = [
        f"{place}: {fault}" for place, fault in faults if without_key(fault) not in root.missing
    ]
    return [f"{missing[0][0]}: {root.all_missing([full for _, full in missing])}", *others]


def without_key(fault: str) -> str:
    """Return a fault without its leading row key."""
    return fault.partition(": ")[2]
