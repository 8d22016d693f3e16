"""Mapping of an imported table's columns to manifest keys."""

from collections.abc import Mapping
from pathlib import Path

from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.manifest.option_names import RATIOS
from mmtx_cli.errors import DataError
from mmtx_cli.suggest import closest

# possible targets of a column; media paths are prefixed with the image folder
MEDIA = ("image", "video", "audio")
TARGETS = ("id", *MEDIA, "caption", "text", "label", "number", "split", "group")
_LEARNED = ("caption", "text", "label", "number")
CAPTIONS = "captions"
"""The manifest's key for several captions; a column of this name is read as ``caption``."""


def chosen_columns(
    path: Path,
    header: list[str],
    columns: Mapping[str, str | int],
    split_by: str | int | None,
    has_split: bool,
    vectors: Vectors | None,
) -> dict[str, str]:
    """Return the column of each target: the given ones, or those named like a target.

    Args:
        path: The table, for messages.
        header: All column names.
        columns: Column by target; if empty, columns are matched by name.
        split_by: Column that groups rows into splits, if any.
        has_split: Whether rows without a split get one, so that no split column is needed.
        vectors: Numeric columns to store as features.

    Raises:
        DataError: if a column does not exist, or a required target cannot be determined.
    """
    named = {str(ours): str(theirs) for ours, theirs in columns.items()}
    if CAPTIONS in named and "caption" not in named:
        named["caption"] = named.pop(CAPTIONS)
    if split_by is not None:
        by = str(split_by)
        named["split_by"] = named.get(by, by)
    # a column named split is always used, since every row needs a split
    own = TARGETS if not columns else () if has_split else ("split",)
    chosen = {name: name for name in own if name in header} | named
    if not columns and CAPTIONS in header and "caption" not in header:
        chosen["caption"] = CAPTIONS
    faults = vectors.choose(path, header, [*chosen.values()]) if vectors else []
    for ours, theirs in named.items():
        if ours not in (*TARGETS, "split_by"):
            faults.append(f"columns.{ours}: unknown key; must be one of {', '.join(TARGETS)}")
        if theirs not in header:
            near = closest(theirs, header, 0.6)
            hint = f"did you mean {near!r}?" if near else f"available columns: {', '.join(header)}"
            if len(header) == 1 and (other := next((c for c in ";|\t" if c in header[0]), "")):
                hint = f"columns are separated by {other!r}; set delimiter={other!r}"
            faults.append(f"{path}:1: no column {theirs!r}; {hint}")
    if not faults and not {"id", *MEDIA} & chosen.keys() and not vectors:
        faults.append(
            f"{path}:1: no column for images; available: {', '.join(header)}; "
            "set e.g. 'columns={image: file, caption: comment}'"
        )
    elif (
        not faults
        and not columns
        and not {*_LEARNED} & {*chosen}
        and {*header} - {*chosen.values()} - {*(vectors.names if vectors else ())}
    ):
        faults.append(
            f"{path}:1: no column for captions (or labels); available: {', '.join(header)}; "
            f"set e.g. 'columns={{image: {chosen.get('image', 'image')}, caption: COLUMN}}'"
        )
    elif not faults and "split" not in chosen and not has_split:
        faults.append(
            f"{path}:1: no column 'split' (available: {', '.join(header)}), and split= is not set; "
            f"set split=train for all rows, or 'split={RATIOS}', or name the column: "
            "columns.split=COLUMN"
        )
    if faults:
        raise DataError(*faults)
    return chosen
