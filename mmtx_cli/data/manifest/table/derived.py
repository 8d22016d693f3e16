"""What follows from the rows of a table: computed once, and stored beside it."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt64

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import sample_keys
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.manifest.table.store import made

VALUE = "value.json"


def stored_folder(
    table: SampleTable, name: str, settings: object, make: Callable[[Path], None]
) -> Path:
    """Return the folder with files that follow from the rows of a table.

    Args:
        table: The samples.
        name: What the files contain.
        settings: Everything else that they follow from; its ``repr`` is compared.
        make: Writes them to an empty folder.
    """
    key = blake2b(f"{table.identity} {settings!r}".encode("utf-8", "surrogatepass"), digest_size=16)
    return made(table.folder, f"{name}-{key.hexdigest()}", make)


def stored_value(
    samples: Sequence[Sample], name: str, settings: object, value: Callable[[], Any]
) -> Any:
    """Return a JSON value that follows from samples; of a list, it is not stored.

    Args: as for ``stored_folder``, but that ``value`` returns the value.
    """
    if not isinstance(samples, SampleTable):
        return value()

    def make(folder: Path) -> None:
        (folder / VALUE).write_text(json.dumps(value()), encoding="utf-8")

    folder = stored_folder(samples, name, settings, make)
    return json.loads((folder / VALUE).read_text(encoding="utf-8"))


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Append arrays to files of their names, which all have one type for each name."""
    for name, array in arrays.items():
        with (folder / f"{name}.{array.dtype.name}").open("ab") as file:
            file.write(np.ascontiguousarray(array).data)


def mapped_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays in a folder, mapped, so that all processes share them."""
    arrays = {}
    for path in folder.iterdir():
        name, _, kind = path.name.partition(".")
        if kind != "json":
            size = path.stat().st_size
            arrays[name] = np.memmap(path, kind, "r") if size else np.zeros(0, kind)
    return arrays


def stored_keys(samples: Sequence[Sample]) -> UInt64[np.ndarray, " n"]:
    """Return the keys of the samples' ids; those of joined tables are stored."""
    if not isinstance(samples, SampleTable) or samples.files[0].corpus is None:
        return sample_keys(samples)

    def make(folder: Path) -> None:
        write_arrays(folder, {"keys": sample_keys(samples)})

    return mapped_arrays(stored_folder(samples, "keys", None, make))["keys"]
