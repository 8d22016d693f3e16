"""Import of data sets of the library ``datasets``: a saved folder, or a name on the Hub.

Media are kept as bytes (``decode=False``). The library runs no code of data sets since version 4.
"""

import os
from collections.abc import Iterator
from typing import Any

from mmtx_cli.data.importer.found import Found
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.manifest.row_parser import is_split_name, parse_split
from mmtx_cli.data.shards.byte_rows import LocatedRow, Table, packed_rows
from mmtx_cli.errors import ConfigError, DataError


def read(settings: Settings) -> Found:
    """Return the rows of all splits, or of the one that ``part`` names."""
    try:
        import datasets
    except ImportError as error:
        message = "importer=huggingface: needs datasets; pip install mmtx[datasets]"
        raise ConfigError(message) from error
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise ConfigError("importer=huggingface: datasets before version 4 runs code of data sets")
    loaded = _loaded(settings)
    parts = dict(loaded) if hasattr(loaded, "keys") else {"": loaded}
    if settings["part"] is not None:
        if settings["part"] not in parts:
            known = ", ".join(name for name in parts if name) or "none"
            raise ConfigError(f"part={settings['part']}: unknown split; available: {known}")
        parts = {settings["part"]: parts[settings["part"]]}
    return packed_rows([_table(name, part, settings) for name, part in parts.items()], settings)


def _loaded(settings: Settings) -> Any:
    import datasets

    source = settings["source"]
    try:
        if os.path.isdir(source):
            return datasets.load_from_disk(source)
        revision = settings["revision"]
        return datasets.load_dataset(source, settings["config"], revision=revision, streaming=True)
    # the library raises errors of many kinds for what cannot be found, reached or read
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"source={source}: cannot be loaded: {reason}") from error


def _table(name: str, part: Any, settings: Settings) -> Table:
    features = part.features
    if features is None:
        raise DataError(f"source={settings['source']}: does not declare its columns")
    for column, feature in features.items():
        if hasattr(feature, "decode"):  # Image, Audio, Video
            part = part.cast_column(column, _undecoded(feature))
        inner = getattr(feature, "feature", None)
        if hasattr(inner, "decode"):
            part = part.cast_column(column, type(feature)(_undecoded(inner)))
    names = {c: list(f.names) for c, f in features.items() if getattr(f, "names", None)}
    split = None
    if settings["split"] is None and name:
        if not is_split_name(name):
            raise ConfigError(
                f"part={name}: is not train, val or test; set split=train for its rows, or part="
            )
        split = parse_split(name, [])
    return Table(_rows(name or "row", part, settings), list(features), names, split)


def _undecoded(feature: Any) -> Any:
    return type(feature)(decode=False)


def _rows(name: str, part: Any, settings: Settings) -> Iterator[LocatedRow]:
    for number, row in enumerate(part):
        yield f"{settings['source']}: {name}[{number}]", row
