"""A wrong root: one fault for all the files that are missing, instead of one for each."""

from collections.abc import Sequence

from mmtx_cli.data.manifest.path_resolver import Root

FEW, SHARE = 3, 0.9
"""More missing files than these, and at least this share of all, are reported together."""


def placed(faults: Sequence[tuple[str, str]], root: Root) -> list[str]:
    """Return (place, fault) as ``place: fault``; where nearly all files are missing, one says so.

    ``root`` is the one by which the rows were read.
    """
    found = [(place, root.missing.get(named(fault))) for place, fault in faults]
    missing = [(place, full) for place, full in found if full is not None]
    if len(missing) <= FEW or len(missing) < SHARE * root.looked:
        return [f"{place}: {fault}" for place, fault in faults]
    others = [f"{place}: {fault}" for place, fault in faults if named(fault) not in root.missing]
    return [f"{missing[0][0]}: {root.all_missing([full for _, full in missing])}", *others]


def named(fault: str) -> str:
    """Return a fault without the key of the row that it begins with."""
    return fault.partition(": ")[2]
