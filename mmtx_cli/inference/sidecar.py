"""Captions in files beside the captioned ones: ``a.txt`` or ``a.json`` for ``a.jpg``."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.jsonl import parsed_json

LARGEST = 2**16
"""Bytes of the largest file that is taken for a caption."""
SHOWN = 5


def sidecar_path(path: str, kind: str) -> Path:
    """Return the path of the side-car of a file; ``kind`` is txt or json."""
    return Path(path).with_suffix(f".{kind}")


def without_caption(paths: Sequence[str], kind: str, overwrite: bool) -> list[str]:
    """Return the files without a caption beside them; with ``overwrite``, all.

    Raises:
        DataError: If two files would share a side-car, or an existing one is not a caption.
    """
    owners: dict[Path, str] = {}
    faults, wanted = [], []
    for path in paths:
        place = sidecar_path(path, kind)
        other = owners.setdefault(place, path)
        if other != path:
            faults.append(f"{place}: would be the caption of both {other} and {path}; rename one")
        elif str(place) == path:
            faults.append(f"{place}: is an input itself; use the other kind of sidecar")
        elif not os.path.lexists(place):
            wanted.append(path)
        elif fault := foreign(place, kind):
            faults.append(f"{place}: {fault}; move it away, nothing is overwritten")
        elif overwrite:
            wanted.append(path)
    if faults:
        more = [f"… and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise DataError(*faults[:SHOWN], *more)
    return wanted


def foreign(place: Path, kind: str) -> str | None:
    """Return why an existing file is not a caption, or None if it is one."""
    if place.is_symlink() or not place.is_file():
        return "is not a regular file"
    if place.stat().st_size > LARGEST:
        return f"is larger than a caption ({place.stat().st_size} bytes)"
    try:
        text = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    if kind == "txt":
        return "has control characters" if "\0" in text else None
    try:
        content = parsed_json(text)
    except ValueError:
        return "is not JSON"
    return None if isinstance(content, dict) and "caption" in content else "has no key 'caption'"


OF_A_CAPTION = ("score", "words", "alternatives", "unmet")
"""Keys of a row that belong to its caption, and are replaced together with it."""
OF_A_RUN = ("path", "explanation")
"""Keys of a row that mean nothing outside of the run folder."""


def write_sidecar(row: Mapping[str, Any], kind: str, overwrite: bool) -> None:
    """Write the caption of a row beside its file; in JSON, with what is known of it.

    A caption that is there stays as it is, unless ``overwrite``; other keys of a JSON file stay.
    """
    place = sidecar_path(row["path"], kind)
    exists = os.path.lexists(place)
    if exists and (not overwrite or foreign(place, kind)):
        return
    text = row["caption"] + "\n"
    if kind == "json":
        before = parsed_json(place.read_text(encoding="utf-8")) if exists else {}
        kept = {key: value for key, value in before.items() if key not in OF_A_CAPTION}
        content = kept | {key: value for key, value in row.items() if key not in OF_A_RUN}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # without a search for abandoned temporary files, which takes long in a large folder
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    with writing(place), open(temporary, "x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(temporary, place)


def check_template(template: str | None) -> None:
    """Raise ConfigError unless a template has one place for the caption."""
    if template is not None and template.count("{caption}") != 1:
        raise ConfigError(
            f"template={json.dumps(template, ensure_ascii=False)}: must have {{caption}} once, "
            "e.g. \"template='sks, {caption}'\""
        )
