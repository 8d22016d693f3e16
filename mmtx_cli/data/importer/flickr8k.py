"""Import of Flickr8k: a token file, image lists by split, and an image folder.

Source: Hodosh, Young, Hockenmaier, JAIR 47 (2013), 853-899. Token file lines are
``NAME.jpg#k<TAB>caption``; list lines are ``NAME.jpg``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.found import Found, staging_of
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import check_splits, image_folder
from mmtx_cli.errors import DataError, truncate
from mmtx_cli.io.untrusted.bounded_file import MAX_DOCUMENT_BYTES, RefusedFileError, read_text


def read(settings: Settings) -> Found:
    """Return the rows of the images that the lists of the splits name."""
    lists = {split: path for split, path in (settings["splits"] or {}).items() if path}
    check_splits("splits", lists, settings)
    folder = image_folder(settings)
    return Found(rows(settings["captions"], folder, lists), [folder], staging_of(settings))


def rows(
    captions: str | Path, images: str | Path, splits: Mapping[str, str | Path]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one row per listed image, with the file:line of the listing; the id is the file stem.

    Raises:
        DataError: with the file:line of each fault, if a line is malformed, or an image is listed
            twice or has no caption.
    """
    texts, faults = _captions(Path(captions))
    listed: dict[str, tuple[str, str]] = {}
    for split, path in splits.items():
        for line, text in text_lines(Path(path)):
            name = text.strip()
            where = f"{path}:{line}"
            if name in listed:
                faults.append(f"{where}: {name} is already listed at {listed[name][1]}; remove one")
            elif name not in texts:
                faults.append(f"{where}: {name} has no caption in {captions}; remove this line")
            else:
                listed[name] = split, where
    if faults:
        raise DataError(*truncate(faults))
    if not listed:
        raise DataError(f"{', '.join(map(str, splits.values()))}: no images are listed")
    for name, (split, place) in listed.items():
        yield (
            place,
            {
                "id": Path(name).stem,
                "split": split,
                "image": str(Path(images) / name),
                "captions": texts[name],
            },
        )


def _captions(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    faults = []
    for line, written in text_lines(path):
        text = written.strip()
        name, tab, caption = text.partition("\t")
        name, mark, _ = name.partition("#")
        if tab and mark and caption.strip():
            texts[name].append(caption.strip())
        else:
            faults.append(f"{path}:{line}: {text[:40]!r} is not NAME#k<TAB>caption; fix the line")
    return dict(texts), faults


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and content of each line of a text file of Flickr8k that is not blank.

    Raises DataError if the file cannot be read.
    """
    try:
        text = read_text(path, MAX_DOCUMENT_BYTES).removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; use the Flickr8k file") from error
    except RefusedFileError as error:
        raise DataError(f"{path}: {error}; use a UTF-8 text file") from error
    for line, content in enumerate(text.split("\n"), 1):
        if content.strip():
            yield line, content.strip("\r")
