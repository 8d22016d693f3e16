"""Joins predictions with references: by id, by the path of a file, or by order."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmtx_cli.errors import listed
from mmtx_cli.metric.diversity import normalized
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import CaptionFile
from mmtx_cli.scoring.files.content import TEXT
from mmtx_cli.scoring.files.media import Files, PathIndex
from mmtx_cli.scoring.files.near_ids import suggestion


@dataclass
class Joined:
    """The captions of one system in the order of the references; None if there are faults."""

    captions: Captions | None = None
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    joined_by: str = "id"


def joined(
    references: CaptionFile, predictions: CaptionFile, files: Files, split: str | None = None
) -> Joined:
    """Return the captions, or all errors of the join; errors of the files are not repeated.

    Args:
        references: The references, in whose order the captions are returned.
        predictions: The captions of a system.
        files: The files of the references by id and modality.
        split: The split of the references, for messages.
    """
    if references.path == predictions.path:
        result, found = Joined(joined_by=predictions.key), {n: n for n in references.captions}
    elif _by_path(references, predictions):
        result, found = _join_paths(references, predictions, files)
    elif predictions.key == "order":
        result, found = _join_order(references, predictions)
    elif references.key == "order":
        return Joined(
            faults=[
                f"{references.path}: {references.form} has no ids, but {predictions.path} has; "
                "write the references with ids, or the predictions in their order, one a line"
            ]
        )
    else:
        result, found = _join_ids(references, predictions, split)
    if result.faults or references.faults or predictions.faults:
        return result
    ids = list(references.captions)
    result.captions = Captions(
        ids,
        [predictions.captions[found[name]][0] for name in ids],
        list(references.captions.values()),
        [_single(files.get(name, {})) for name in ids],
        [_times(references, name) for name in ids] if files else [],
    )
    if _are_references(result.captions):
        result.notes.append(
            f"{predictions.path}: every prediction is one of its references, word for word; check "
            "that these are not the references themselves"
        )
    return result


def _are_references(captions: Captions) -> bool:
    pairs = zip(captions.predictions, captions.references, strict=True)
    return len(captions) > 1 and all(caption in own for caption, own in pairs)


def _single(files: Mapping[str, tuple[Path, ...]]) -> dict[str, Path]:
    """Return the file of each modality; a sample with several pictures has no one picture."""
    return {modality: own[0] for modality, own in files.items() if len(own) == 1}


def _times(references: CaptionFile, name: str) -> tuple[float, float] | None:
    media = references.media.get(name)
    if media is None or media.start is None or media.end is None:
        return None
    return media.start, media.end


def _by_path(references: CaptionFile, predictions: CaptionFile) -> bool:
    """Return whether rows of predictions are found by their files."""
    if predictions.key == "id":
        # ids count, unless the references have none
        return references.key == "path" and len(predictions.media) == len(predictions.captions)
    if predictions.key == "path":
        return not predictions.captions.keys() <= references.captions.keys()
    one = all(sum(map(len, own.paths.values())) == 1 for own in predictions.media.values())
    return bool(
        predictions.media
        and one
        and references.media
        and len(predictions.media) == len(predictions.captions)
    )


def _join_ids(
    references: CaptionFile, predictions: CaptionFile, split: str | None
) -> tuple[Joined, dict[str, str]]:
    """Return errors of ids that only one file has, and the prediction of each id."""
    faults = []
    extra = [name for name in predictions.places if name not in references.places]
    missing = [name for name in references.places if name not in predictions.places]
    near = suggestion(extra, missing)
    if extra and references.complete:
        faults.append(
            f"{predictions.places[extra[0]]}: {len(extra)} of {len(predictions.places)} "
            f"predictions have no references in {references.path}: {listed(extra)}; "
            f"check that both files use the same ids{near}"
        )
    if missing and predictions.complete:
        remedy = "predict every id, or remove these"
        if split is None:
            remedy += " (to select a split of a manifest, set e.g. split=test)"
        faults.append(
            f"{references.places[missing[0]]}: {len(missing)} of {len(references.places)} ids "
            f"have no prediction in {predictions.path}: {listed(missing)}; {remedy}"
        )
    return Joined(faults=faults), {name: name for name in references.captions}


def _join_order(references: CaptionFile, predictions: CaptionFile) -> tuple[Joined, dict[str, str]]:
    """Return an error for another number of rows, and the prediction of each row."""
    if len(references.captions) != len(predictions.captions):
        hint = "; if it is a table, name its columns (prediction_columns)"
        if not (references.complete and predictions.complete):
            return Joined(), {}
        return Joined(
            faults=[
                f"{predictions.path}: {predictions.form} has no ids, so its rows are taken in the "
                f"order of the references, but it has {len(predictions.captions)} rows and "
                f"{references.path} {len(references.captions)}"
                + (hint if predictions.form == TEXT else "")
            ]
        ), {}
    found = dict(zip(references.captions, predictions.captions, strict=True))
    result = Joined(joined_by="order")
    if references.key != "order" or predictions.form != references.form:
        result.notes.append(
            f"{predictions.path}: has no ids; its rows are taken in the order of {references.path}"
        )
    other = [
        name
        for name, row in found.items()
        if (own := predictions.own.get(row))
        and not {*map(normalized, own)} & {*map(normalized, references.captions[name])}
    ]
    if other:
        result.notes.append(
            f"{predictions.path}: {len(other)} of {len(found)} rows have labels that are not among "
            f"the references of the same place, ids {listed(other)}; check that both files have "
            "the same order"
        )
    return result, found


def _join_paths(
    references: CaptionFile, predictions: CaptionFile, files: Files
) -> tuple[Joined, dict[str, str]]:
    """Return errors of files without references and the reverse, and the prediction of each id."""
    if not references.media:
        return Joined(
            faults=[
                f"{predictions.path}: rows are known by the path of their file, but "
                f"{references.path} names no files; score against a manifest with image, video or "
                "audio, or against COCO annotations"
            ]
        ), {}
    index = PathIndex(references, files)
    folders = [Path.cwd(), predictions.path.absolute().parent]
    folders += [references.root] if references.root is not None else []
    found: dict[str, str] = {}
    wrong: dict[str, list[str]] = {}
    for row, media in predictions.media.items():
        names, reason = index.find(media, folders)
        if reason:
            wrong.setdefault(reason, []).append(row)
        elif names[0] in found:
            wrong.setdefault("another row has the same sample", []).append(row)
        else:
            found[names[0]] = row
    total = len(predictions.captions)
    faults = [
        f"{predictions.places[rows[0]]}: {len(rows)} of {total} predictions cannot be joined by "
        f"path: {reason}: {listed(_named(predictions, rows))}; "
        f"paths are relative to {', '.join(map(os.fspath, dict.fromkeys(folders)))}"
        for reason, rows in wrong.items()
    ]
    missing = [name for name in references.captions if name not in found]
    if missing and predictions.complete:
        faults.append(
            f"{references.places[missing[0]]}: {len(missing)} of {len(references.captions)} "
            f"samples have no prediction in {predictions.path}: {listed(missing)}; predict every "
            "sample, or select a split (split=test)"
        )
    result = Joined(faults=faults, joined_by="path")
    if index.by_ends:
        path, other = index.by_ends[0]
        result.notes.append(
            f"{predictions.path}: {len(index.by_ends)} paths were found by their last parts, e.g. "
            f"{path} as {other}"
        )
    return result, found


def _named(predictions: CaptionFile, rows: list[str]) -> list[str]:
    """Return the rows by their paths, where they are known by their order."""
    if predictions.key == "path":
        return rows
    return [path for row in rows for own in predictions.media[row].paths.values() for path in own]
