"""Tables of several data sets as one."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.columns import FIELDS, record_batches
from mmtx_cli.data.manifest.table.files import write_batches
from mmtx_cli.data.manifest.table.first_reading import SAMPLES
from mmtx_cli.data.manifest.table.samples import SampleTable, TableFile
from mmtx_cli.data.manifest.table.store import cache_root, made

_ROWS = 2**16


def joined_tables(parts: Mapping[str, Sequence[Sample]]) -> SampleTable:
    """Return the samples of all data sets, by name, as one table; lists are written to files."""
    files, rows, first = [], [], 0
    for name, samples in parts.items():
        table = samples if isinstance(samples, SampleTable) else table_of(samples)
        files.append(TableFile(table.files[0].path, name))
        rows.append(np.asarray(table.rows) + first)
        first += table.num_rows
    whole = sum(map(len, rows)) == first
    return SampleTable(files, None if whole else np.concatenate(rows))


def table_of(samples: Sequence[Sample]) -> SampleTable:
    """Return a table of samples, stored under a hash of them."""
    digest = blake2b(digest_size=16)
    for sample in samples:
        digest.update(repr(sample).encode("utf-8", "surrogatepass"))

    def make(folder: Path) -> None:
        write_table(samples, folder / SAMPLES)

    return SampleTable([TableFile(made(cache_root(), digest.hexdigest(), make) / SAMPLES)])


def write_table(samples: Sequence[Sample], path: Path) -> None:
    """Write samples of one data set to an Arrow file."""
    rows = [tuple(getattr(sample, name) for name in FIELDS[:-1]) for sample in samples]
    parts = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
    batches = [batch for part in parts for batch in record_batches(part)]
    write_batches(path, [batch.schema for batch in batches], batches)
