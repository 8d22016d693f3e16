"""Human ratings in a table: CSV, TSV, JSON Lines or Parquet, one row per caption or judgement."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.table_file import check_exists, read_lines
from mmtx_cli.errors import DataError, truncate
from mmtx_cli.scoring.files.caption_file import Media
from mmtx_cli.scoring.files.texts import id_of, references_in
from mmtx_cli.scoring.ratings.media import media_in

ID = ("id", "image_id")
CAPTION = ("caption", "candidate")
REFERENCES = ("references", "captions")
SYSTEM = ("system",)
_RATING = re.compile(r"ratings?([_ -]?\d+)?", re.IGNORECASE)
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class RatedRow:
    """One row of a table of ratings; what it lacks is empty.

    Args:
        place: ``file:line``.
        id: Id of the sample.
        system: Name of the system that wrote the caption.
        caption: The rated caption; None if it is the one with this id in the predictions.
        references: References in the row.
        ratings: The judgements, at least one.
        media: The files of the sample as written; None if the row names none.
    """

    place: str
    id: str
    system: str
    caption: str | None
    references: tuple[str, ...]
    ratings: tuple[float, ...]
    media: Media | None = None


@dataclass(frozen=True)
class RatingTable:
    """The rows of a table of ratings, and which columns it has."""

    rows: list[RatedRow]
    has_id: bool
    has_system: bool
    has_caption: bool
    has_references: bool


def read_table(path: Path, rating_columns: Sequence[str] = ()) -> RatingTable:
    """Read a table of ratings.

    Args:
        path: The file.
        rating_columns: Columns with ratings; by default ``rating``, ``ratings``, ``rating_1`` and
            so on. In JSON Lines a cell may be a list of ratings.

    Raises:
        DataError: with file:line, for each row that has no rating, or one that is not a number;
            for columns of several forms, one of which may be a summary of the others.
    """
    check_exists(path, "table of ratings", _SUFFIXES, "set ratings= to the table")
    lines = list(read_lines(path))
    columns = list(dict.fromkeys(k for _, row in lines if isinstance(row, dict) for k in row))
    ratings = _rating_columns(path, columns, rating_columns)
    chosen: dict[tuple[str, ...], str | None] = {
        kind: _first(columns, kind) for kind in (ID, SYSTEM, CAPTION, REFERENCES)
    }
    if chosen[ID] is None and chosen[CAPTION] is None:
        raise DataError(
            f"{path}: has neither a column id nor a column caption, naming what is rated; columns: "
            f"{', '.join(columns)}"
        )
    rows, faults = [], []
    for line, cells in lines:
        place = f"{path}:{line}"
        if isinstance(cells, str):
            faults.append(f"{place}: {cells}")
            continue
        found: list[str] = []
        rows.append(_row(place, cells, chosen, ratings, found))
        faults += [f"{place}: {fault}" for fault in found]
    if faults:
        raise DataError(*truncate(faults))
    has = {kind: name is not None for kind, name in chosen.items()}
    return RatingTable(rows, has[ID], has[SYSTEM], has[CAPTION], has[REFERENCES])


def _rating_columns(path: Path, columns: list[str], given: Sequence[str]) -> list[str]:
    if missing := [name for name in given if name not in columns]:
        raise DataError(
            f"{path}: no column {', '.join(missing)} (rating_columns); columns: "
            f"{', '.join(columns)}"
        )
    found = list(given) or [name for name in columns if _RATING.fullmatch(name)]
    if not found:
        raise DataError(
            f"{path}: no column rating; columns: {', '.join(columns) or 'none'}; name those with "
            "ratings, e.g. rating_columns=[human]"
        )
    forms = {_RATING.fullmatch(name) and re.sub(r"\d+", "1", name.casefold()) for name in found}
    if not given and len(forms) > 1:
        raise DataError(
            f"{path}: {', '.join(found)}: one of them may be the mean of the others, which is no "
            f"judgement; name those with ratings, rating_columns=[{','.join(_numbered(found))}]"
        )
    return found


def _numbered(columns: Sequence[str]) -> list[str]:
    """Return the columns with a number, or the first one if there are none."""
    return [name for name in columns if name[-1].isdigit()] or [*columns[:1]]


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _row(
    place: str,
    cells: Mapping[str, Any],
    chosen: Mapping[tuple[str, ...], str | None],
    rating_columns: Sequence[str],
    faults: list[str],
) -> RatedRow:
    def cell(kind: tuple[str, ...]) -> Any:
        name = chosen[kind]
        return None if name is None else cells.get(name)

    ident = cell(ID)
    found = id_of(ident)
    if chosen[ID] is not None and found is None:
        faults.append(f"{chosen[ID]} is {ident!r}; fill in the id of the caption")
    caption = cell(CAPTION)
    if chosen[CAPTION] is not None and not (isinstance(caption, str) and caption.strip()):
        faults.append("a rating without caption; fill in the caption or remove the row")
    references = _references(cell(REFERENCES), faults)
    if chosen[REFERENCES] is not None and not references:
        faults.append("no reference caption; fill it in or remove the row")
    ratings = _ratings([cells.get(name) for name in rating_columns], faults)
    if not ratings and not faults:
        faults.append(f"no rating in {', '.join(rating_columns)}; fill it in or remove the row")
    if isinstance(ident, float) and ident.is_integer():
        ident = int(ident)  # as in the files of captions
    system = cell(SYSTEM)
    return RatedRow(
        place,
        "" if found is None else found[0],
        "" if system is None else str(system),
        caption if isinstance(caption, str) else None,
        references,
        tuple(ratings),
        media_in(cells, faults),
    )


def _references(cell: Any, faults: list[str]) -> tuple[str, ...]:
    """Return the references in a cell, as in a table of references."""
    found = [] if cell is None else references_in(cell, is_cell=True)
    if found is None:
        faults.append("references must be a list of texts")
        return ()
    return tuple(text.strip() for text in found if text.strip())


def _ratings(cells: Sequence[Any], faults: list[str]) -> list[float]:
    """Return the numbers of cells; an empty cell is a judgement that a rater did not give."""
    values = [item for cell in cells for item in (cell if isinstance(cell, list) else [cell])]
    found = []
    for value in values:
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            faults.append(f"rating {repr(value)[:40]} is not a number; correct or empty the cell")
        else:
            found.append(number)
    return found
