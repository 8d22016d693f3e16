"""Reads the files of ``mmtx score``: the captions of each system with their references."""

from dataclasses import dataclass
from typing import Any

from mmtx_cli.errors import DataError, listed
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import CaptionFile
from mmtx_cli.scoring.files.join import joined
from mmtx_cli.scoring.files.media import files_of
from mmtx_cli.scoring.files.read import read_predictions, read_references
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.tokenization import language_report


@dataclass(frozen=True)
class Loaded:
    """What the files contain.

    Args:
        systems: The captions of each file of predictions; ids and references are the same.
        files: Path, format and further facts of each file, for ``result.json``.
        notes: Sentences for the user.
    """

    systems: list[Captions]
    files: list[dict[str, Any]]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return a line for each file with its recognized format."""
        return [
            f"{file['role']}: {file['path']}: {file['format']}, {file['samples']} samples"
            for file in self.files
        ]


def load(settings: ScoreSettings) -> Loaded:
    """Return the captions of each system, joined with their references.

    Without ``settings.references``, those in the first file of predictions are used.

    Raises:
        DataError: with all errors of all files.
    """
    faults: list[str] = []
    if settings.images is not None and not settings.images.is_dir():
        faults.append(f"images={settings.images}: no such folder; set the folder of the images")
    predictions = []
    for path in settings.predictions:
        try:
            predictions.append(
                read_predictions(path, settings.prediction_columns, settings.reference_columns)
                if not settings.references
                else read_predictions(path, settings.prediction_columns)
            )
        except DataError as error:
            faults += error.faults
    references = None
    try:
        references = _references(settings, predictions)
    except DataError as error:
        faults[:0] = error.faults
    if references is None:
        raise DataError(*faults, *(fault for file in predictions for fault in file.messages()))
    files = files_of(references, settings.images)
    faults[:0] = references.messages()
    systems, notes = [], references.all_notes()
    described = [{"role": "references"} | references.description()]
    for file in predictions:
        result = joined(references, file, files, settings.split)
        # references from the predictions' own file have its faults already
        has_own = not settings.references and file is predictions[0]
        faults += ([] if has_own else file.messages()) + result.faults
        if not settings.references and not has_own:
            faults += _other_references(references, file)
        notes += file.all_notes() + result.notes
        described.append(
            {"role": "predictions"} | file.description() | {"joined_by": result.joined_by}
        )
        if result.captions is not None:
            systems.append(result.captions)
            named = (str(file.path), str(references.path))
            found, more = language_report(result.captions, settings, named)
            faults += found
            notes += more
    if faults:
        raise DataError(*dict.fromkeys(faults))
    return Loaded(systems, described, tuple(dict.fromkeys(notes)))


def _other_references(references: CaptionFile, file: CaptionFile) -> list[str]:
    """Return the fault of predictions whose own references are not those that are used."""
    other = [
        name for name, own in file.own.items() if own and own != references.captions.get(name, own)
    ]
    if not other:
        return []
    return [
        f"{file.places[other[0]]}: {len(other)} of {len(file.own)} rows have other references than "
        f"the same rows of {references.path}: ids {listed(other)}; set references=FILE"
    ]


def _references(settings: ScoreSettings, predictions: list[CaptionFile]) -> CaptionFile | None:
    """Return the references of their own files, or those in the first file of predictions."""
    if settings.references:
        return read_references(settings.references, settings.split, settings.reference_columns)
    if not predictions:
        return None
    first = predictions[0]
    if not any(first.own.values()):
        if first.faults:
            return None
        raise DataError(
            f"{first.path}: {first.form}: has no references of its own; set references=FILE"
            + (f" (columns of references are empty in {len(first.own)} rows)" if first.own else "")
        )
    found = CaptionFile(
        first.path,
        f"references in {first.form}",
        first.key,
        dict(first.own),
        dict(first.places),
        list(first.faults),
        first.complete,
        # without a folder, any file of this machine could be named
        media=dict(first.media) if settings.images is not None else {},
        columns={"caption": first.columns["references"]} if "references" in first.columns else {},
    )
    empty = [name for name, own in first.own.items() if not own]
    if empty:
        found.fault(
            first.places[empty[0]],
            f"{len(empty)} of {len(first.own)} rows have no references: ids {listed(empty)}; fill "
            "them in, remove the rows, or set references=FILE",
        )
    return found
