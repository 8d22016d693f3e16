"""Which columns of a file are the id, the captions and the paths."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmtx_cli.scoring.files import forms
from mmtx_cli.scoring.files.caption_file import CaptionFile, Columns
from mmtx_cli.scoring.files.content import FLICKR, LINE, TEXT
from mmtx_cli.suggest import closest

FIELDS = ("id", "caption", "image", "video", "audio", "start", "end")
"""Fields of ``prediction_columns`` and ``reference_columns``."""

_OPTION = {True: "reference_columns", False: "prediction_columns"}


@dataclass(frozen=True)
class Layout:
    """The columns of a file.

    Args:
        captions: Columns of captions: the first one present of predictions, all of references.
        ids: Columns of ids, of which the first one present counts; none if rows have none.
        paths: Columns of paths by modality, or ``path`` for a file of any modality.
        own: Columns of references in a file of predictions; the first one present counts.
        heads: Whether captions are in the outputs of a head, as of ``mmtx eval``.
        ordered: Whether rows without ids are known by their order.
        times: Columns of the start and the end of a segment.
        cells: Whether references may be a list written as text.
        packed: Whether a prediction may be one; not of tools, which store the answer of a model.
    """

    captions: tuple[str, ...]
    ids: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    heads: bool = False
    ordered: bool = False
    times: tuple[str, str] = ("start", "end")
    cells: bool = False
    packed: bool = False


def prediction_layout(
    file: CaptionFile, rows: list[dict[str, Any]], columns: Columns, own: Columns
) -> Layout | None:
    """Return the columns of predictions, given their first rows; record errors, then return None.

    Args:
        file: The file, whose format is recorded.
        rows: Its first rows.
        columns: Columns named by the user.
        own: Columns of references in the same file named by the user.
    """
    keys = _keys(rows)
    if file.form in (TEXT, FLICKR):
        return _plain(file)
    if not _exist(file, {**columns}, keys, "prediction_columns") or not _exist(
        file, {**own}, keys, "reference_columns"
    ):
        return None
    written = (str(own["caption"]),) if "caption" in own else ()
    form = None if "caption" in columns else forms.tool_of(keys)
    is_table = _is_table(file)
    if (form is None or form is forms.COCO) and "id" not in columns:
        _note_other_ids(file, rows, keys)
    if form is not None:
        file.form = f"{form.name} ({file.form})"
        return _named(
            Layout(
                form.captions,
                (form.ids,) if form.ids else ("id",) if "id" in keys else (),
                {"path": "path"} if form is forms.CAPTIONED else _paths(keys),
                written or form.references,
                ordered=form.ids is None and form is not forms.CAPTIONED,
                cells=True,
            ),
            file,
            columns,
        )
    if "id" in keys and any(_has_head(row) for row in rows) and "caption" not in columns:
        file.form = f"{forms.HEADS} ({file.form})"
        return Layout(("caption",), ("id",), heads=True, own=written)
    if (caption := _caption(file, keys, columns, forms.PREDICTED)) is None:
        return None
    others = written or tuple(name for name in forms.OWN if name in keys and name != caption)
    layout = Layout((caption,), _ids(keys), _paths(keys), others, cells=is_table, packed=is_table)
    return _named(layout, file, columns)


def reference_layout(
    file: CaptionFile, rows: list[dict[str, Any]], columns: Columns
) -> Layout | None:
    """Return the columns of references, as ``prediction_layout`` does."""
    keys = _keys(rows)
    if file.form in (TEXT, FLICKR):
        return _plain(file)
    if not _exist(file, {**columns}, keys, "reference_columns"):
        return None
    form = None if {"captions", "caption"} & {*keys, *columns} else forms.tool_of(keys)
    if form is not None and form.references:
        file.form = f"{form.name} ({file.form})"
        ids = (form.ids,) if form.ids else ("id",) if "id" in keys else ()
        layout = Layout(form.references, ids, _paths(keys), ordered=form.ids is None, cells=True)
        return _named(layout, file, columns)
    found = () if "caption" in columns else _numbered(keys)
    if not found:
        caption = _caption(file, keys, columns, forms.REFERENCE) if rows else "captions"
        if caption is None:
            return None
        # rows of COCO have a caption, those of other files all captions of an id
        found = tuple(name for name in ("captions", "caption") if name in keys)
        found = found if caption in found else (caption,)
    layout = Layout(found, _ids(keys), _paths(keys), cells=_is_table(file))
    return _named(layout, file, columns)


def _numbered(keys: list[str]) -> tuple[str, ...]:
    """Return the columns with one of several references each, without number or with one.

    They are ``reference_1`` and so on, beside which a column ``caption`` is a prediction, or
    ``caption_1`` and so on; none if the file has both, or a column ``captions``.
    """
    stems = {match[1].lower() for name in keys if (match := forms.NUMBERED.fullmatch(name))}
    if len(stems) != 1 or "captions" in keys:
        return ()
    (stem,) = stems
    return tuple(
        name
        for name in keys
        if name.lower() == stem
        or ((match := forms.NUMBERED.fullmatch(name)) and match[1].lower() == stem)
    )


def _plain(file: CaptionFile) -> Layout:
    if file.form == TEXT:
        return Layout((LINE,), ordered=True)
    return Layout(("caption",), ("id",))


def _is_table(file: CaptionFile) -> bool:
    return not file.form.startswith(("JSON", "COCO", "Parquet"))


def _named(layout: Layout, file: CaptionFile, columns: Columns) -> Layout:
    """Return the layout with the columns that the user named."""
    given = {name: str(column) for name, column in columns.items()}
    file.columns |= given
    paths = {name: given[name] for name in forms.PATHS if name in given}
    return Layout(
        (given["caption"],) if "caption" in given else layout.captions,
        (given["id"],) if "id" in given else () if paths else layout.ids,
        paths or layout.paths,
        layout.own,
        layout.heads,
        layout.ordered and not {"id", *paths} & {*given},
        (given.get("start", "start"), given.get("end", "end")),
        layout.cells,
        layout.packed,
    )


def _keys(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _exist(file: CaptionFile, wanted: Columns, keys: list[str], option: str) -> bool:
    """Return whether all wanted columns exist; record an error for each that does not."""
    missing = {name: str(column) for name, column in wanted.items() if str(column) not in keys}
    for name, column in missing.items():
        near = closest(column, keys, 0.6)
        hint = f"did you mean {near!r}?" if near else f"columns found: {', '.join(keys[:30])}"
        file.complete = False
        file.fault(f"{file.path}:1", f"{option}.{name}: no column {column!r}; {hint}")
    return not missing


def _caption(
    file: CaptionFile, keys: list[str], columns: Columns, names: tuple[str, ...]
) -> str | None:
    """Return the column of the captions; record an error if there is none, or several."""
    if "caption" in columns:
        return str(columns["caption"])
    are_references = names is forms.REFERENCE
    option = _OPTION[are_references]
    lower = {key.lower(): key for key in keys}
    found = [lower[name] for name in names if name in lower]
    if not found and not are_references and "captions" in lower:
        found = [lower["captions"]]
    sure = [name for name in found if name.lower() in ("captions", "caption")]
    if are_references and (numbered := [key for key in keys if forms.NUMBERED.fullmatch(key)]):
        found, sure = [*found, *numbered], []
    if len(found) == 1 or sure:
        return sure[0] if sure else found[0]
    if not keys:
        return "caption"  # a file without rows: the join reports that all ids are missing
    what = "references" if are_references else "captions"
    shown = ", ".join(keys[:30]) + (" …" if len(keys) > 30 else "")
    file.complete = False
    if found:
        problem = f"several columns may be the {what}: {', '.join(found)}"
    elif not are_references and (tool := forms.other_version(keys)) is not None:
        problem = (
            f"looks like {tool.name} of another version: columns found: {shown}; expected: "
            f"{tool.expected}"
        )
    else:
        problem = f"no column with {what}; columns found: {shown}"
    example = next((key for key in keys if key.lower() not in forms.IDS), "COLUMN")
    file.fault(
        f"{file.path}:1",
        f"{problem}; name it, e.g. '{option}={{caption: {example}}}'",
    )
    return None


def _ids(keys: list[str]) -> tuple[str, ...]:
    lower = {key.lower(): key for key in keys}
    # rows of COCO have an id of the annotation, too
    names = ("image_id", *forms.IDS)
    return tuple(dict.fromkeys(lower[name] for name in names if name in lower))


def _note_other_ids(file: CaptionFile, rows: list[dict[str, Any]], keys: list[str]) -> None:
    """Note by which column rows are joined, if there are several that differ."""
    first, *others = _ids(keys) or ("",)
    other = next(
        (name for name in others if any(_differ(row.get(first), row.get(name)) for row in rows)),
        None,
    )
    if other is not None:
        file.notes.append(
            f"rows have {first} and {other}, which differ; they are joined by {first} (to change "
            f"it: 'prediction_columns={{id: {other}}}')"
        )


def _differ(left: Any, right: Any) -> bool:
    return left is not None and right is not None and str(left) != str(right)


def _paths(keys: list[str]) -> dict[str, str]:
    lower = {key.lower(): key for key in keys}
    found = {
        modality: lower[name]
        for modality, names in forms.PATHS.items()
        for name in reversed(names)
        if name in lower
    }
    if not found and "path" in lower:
        found["path"] = lower["path"]
    return found


def _has_head(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, dict) and "caption" in value for value in row.values())
