"""Human ratings and the captions that they belong to, from any form of file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmtx_cli.errors import ConfigError, DataError, listed, truncate
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import Media
from mmtx_cli.scoring.files.load import Loaded
from mmtx_cli.scoring.files.media import files_of
from mmtx_cli.scoring.files.read import read_references
from mmtx_cli.scoring.ratings.flickr8k import SYSTEM, is_flickr8k, read_flickr8k
from mmtx_cli.scoring.ratings.media import check_images, with_media
from mmtx_cli.scoring.ratings.rated import Rated, judgements_of, rated
from mmtx_cli.scoring.ratings.table import RatedRow, RatingTable, read_table
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.systems import read_systems
from mmtx_cli.scoring.tokenization import language_report

_Sample = tuple[Mapping[str, Path], tuple[float, float] | None]
"""The files of a sample by modality, and the start and end of its segment."""


def read_rated(settings: ScoreSettings) -> Rated:
    """Return the rated captions and their ratings.

    The captions are those of ``predictions``, of the table itself, or of Flickr8k's token file.

    Raises:
        ConfigError: if keys are missing that the form of the file requires, or superfluous.
        DataError: with all errors of the files.
    """
    path = settings.ratings
    assert path is not None
    if is_flickr8k(path):
        _check_keys(settings, references=True, predictions=False, why="judgements of Flickr8k")
        if len(settings.references) > 1 or settings.split is not None:
            raise ConfigError(
                f"references: judgements of Flickr8k (ratings={path}) are of one file; "
                "set references= to Flickr8k.token.txt, without split"
            )
        check_images(settings.images)
        found = read_flickr8k(path, settings.references[0], settings.images)
        return _in_one_language(found, settings, str(settings.references[0]))
    table = read_table(path, settings.rating_columns)
    if not table.has_caption:
        _check_keys(settings, references=True, predictions=True, why="ratings by id")
        return _of_predictions(path, table, *read_systems(settings))
    if table.has_references:
        _check_keys(
            settings,
            references=False,
            predictions=False,
            why="ratings with captions and references",
        )
        return _of_captions(settings, table.rows, {})
    if not table.has_id:
        raise DataError(
            f"{path}: has captions, but no column references, and no column id that names their "
            "references"
        )
    _check_keys(settings, references=True, predictions=False, why="ratings with captions")
    return _of_captions(settings, *_with_references(settings, table.rows))


def _check_keys(settings: ScoreSettings, *, references: bool, predictions: bool, why: str) -> None:
    """Raise ConfigError if the references or predictions are missing, or not expected."""
    keys = {
        "references": (references, bool(settings.references)),
        "predictions": (predictions, bool(settings.predictions)),
    }
    faults = []
    for key, (needed, given) in keys.items():
        if needed and not given:
            faults.append(f"{key}: required for {why} (ratings={settings.ratings}); set {key}=FILE")
        if given and not needed:
            faults.append(f"{key}: not used for {why} (ratings={settings.ratings}); remove it")
    if faults:
        raise ConfigError(*faults)


def _of_predictions(
    path: Path, table: RatingTable, systems: Mapping[str, Captions], loaded: Loaded
) -> Rated:
    """Return the ratings of predictions by id, and by system if there are several.

    Args:
        path: The file of ratings.
        table: Its rows.
        systems: The captions by system.
        loaded: What the files of references and predictions contain.
    """
    if len(systems) > 1 and not table.has_system:
        raise DataError(
            f"{path}: no column system, which names the system of each rated caption: "
            f"{', '.join(systems)}"
        )
    places = {
        name: {ident: row for row, ident in enumerate(captions.ids)}
        for name, captions in systems.items()
    }
    ratings: dict[str, list[list[float]]] = {
        name: [[] for _ in captions.ids] for name, captions in systems.items()
    }
    faults, unknown = [], []
    other: dict[str, list[RatedRow]] = {}
    # of a single system, its name in the table does not matter
    is_single = len(systems) == len({row.system for row in table.rows}) == 1
    only = next(iter(systems))
    for row in table.rows:
        system = only if is_single else row.system
        if system not in places:
            other.setdefault(system, []).append(row)
        elif row.id not in places[system]:
            unknown.append(row)
        else:
            ratings[system][places[system][row.id]] += row.ratings
    for system, rows in other.items():
        faults.append(
            f"{rows[0].place}: {len(rows)} of {len(table.rows)} ratings are of the system "
            f"{system!r}, which is not one of {', '.join(systems)}; add its predictions, remove "
            "these rows, or name the files with systems=[…]"
        )
    if unknown:
        faults.append(
            f"{unknown[0].place}: {len(unknown)} of {len(table.rows)} ratings have no caption in "
            f"the predictions: {listed([row.id for row in unknown])}; check that both files use "
            "the same ids"
        )
    if faults:
        raise DataError(*truncate(faults))
    return rated(path, systems, ratings, loaded)


def _with_references(
    settings: ScoreSettings, rows: list[RatedRow]
) -> tuple[list[RatedRow], dict[str, _Sample]]:
    """Return the rows with the references of their ids, and what the references say of each id."""
    check_images(settings.images)
    file = read_references(settings.references, settings.split, settings.reference_columns)
    if faults := file.messages() or [
        f"{row.place}: id {row.id} has no references in {listed(settings.references)}"
        for row in rows
        if row.id not in file.captions
    ]:
        raise DataError(*truncate(faults))
    files = files_of(file, settings.images)
    known = {name: _sample(own, file.media[name]) for name, own in files.items()}
    return [replace(row, references=tuple(file.captions[row.id])) for row in rows], known


def _sample(files: Mapping[str, tuple[Path, ...]], media: Media) -> _Sample:
    """Return the file of each modality, if there is one only, and the times of the segment."""
    times = None if media.start is None or media.end is None else (media.start, media.end)
    return {name: own[0] for name, own in files.items() if len(own) == 1}, times


def _of_captions(
    settings: ScoreSettings, rows: list[RatedRow], known: Mapping[str, _Sample]
) -> Rated:
    """Return the captions of the rows; rows with the same caption of a sample are one caption.

    Args:
        settings: The settings.
        rows: The rows with their references.
        known: The files of samples that the references name, for rows without files of their own.

    Raises:
        DataError: for captions in several languages.
    """
    groups: dict[tuple[object, ...], list[RatedRow]] = {}
    for row in rows:
        files = row.media and (*row.media.paths.items(), row.media.start, row.media.end)
        same = (row.system, row.id, row.caption, row.references, files)
        groups.setdefault(same, []).append(row)
    first = [own[0] for own in groups.values()]
    ids = [row.id or row.place.rpartition(":")[2] for row in first]
    number = Counter(ids)
    # several captions of a sample have ids of their own
    seen: Counter[str] = Counter()
    for at, name in enumerate(ids):
        if number[name] > 1:
            seen[name] += 1
            ids[at] = f"{name} #{seen[name]}"
    captions = Captions(
        ids,
        [row.caption or "" for row in first],
        [list(row.references) for row in first],
        [{} for _ in first],
    )
    path = settings.ratings
    assert path is not None
    captions, notes = with_media(captions, [row.media for row in first], path, settings.images)
    captions = _with_known(captions, first, known)
    ratings = [[value for row in own for value in row.ratings] for own in groups.values()]
    found = Rated({SYSTEM: captions}, judgements_of(path, ratings), tuple(notes))
    references = " + ".join(map(str, settings.references)) or str(path)
    return _in_one_language(found, settings, references)


def _with_known(captions: Captions, rows: list[RatedRow], known: Mapping[str, _Sample]) -> Captions:
    """Return the captions [n] of rows [n] with the files that the references name."""
    if not known:
        return captions
    own = zip(captions.media, captions.segments or [None] * len(rows), strict=True)
    found = [
        sample if row.media else known.get(row.id, ({}, None))
        for row, sample in zip(rows, own, strict=True)
    ]
    return replace(
        captions, media=[files for files, _ in found], segments=[times for _, times in found]
    )


def _in_one_language(found: Rated, settings: ScoreSettings, references: str) -> Rated:
    """Return the rated captions of one system with notes about their scripts.

    Raises DataError for captions in several languages.
    """
    (captions,) = found.systems.values()
    faults, notes = language_report(captions, settings, (str(settings.ratings), references))
    if faults:
        raise DataError(*faults)
    return replace(found, notes=(*found.notes, *notes))
