"""Cache entries by data set row, and detection of rows without entries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.cache.content import ContentKeys, media_contents, text_contents
from mmtx_cli.data.cache.module_outputs import CHANGED, NONE, ModuleOutputs
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.columns import column_texts
from mmtx_cli.errors import DataError, truncate


@dataclass(frozen=True)
class Reader:
    """Determines each row's contents; ``texts`` overrides the text column by corpus."""

    preparation: Preprocessing
    texts: Mapping[str, str] = field(default_factory=dict)

    def words(self, modality: str) -> bool:
        """Return True if the modality is raw text, not text features."""
        return modality == "text" and modality not in self.preparation.features

    def columns(self, rows: Sequence[Sample]) -> list[tuple[str, ...]]:
        """Return the texts of each row."""
        return column_texts(rows, self.preparation.text or "text", self.texts)

    def has(self, row: Sample, modality: str) -> bool:
        """Return True if a row has the modality."""
        if modality in self.preparation.features:
            return modality in row.features
        if modality == "text":
            return bool(self.columns([row])[0])
        return bool(getattr(row, modality))

    def contents(self, rows: Sequence[Sample], modality: str) -> ContentKeys:
        """Return the contents of rows that have the modality."""
        return media_contents(rows, modality, modality in self.preparation.features)


@dataclass(frozen=True)
class CacheIndex:
    """Entry numbers of all rows in one flat array; those of row i start at ``first[i]``.

    For text, a row has one entry for each of its texts.
    """

    part: ModuleOutputs
    number: Int[np.ndarray, " m"]
    first: Int[np.ndarray, " n"]

    @property
    def texts(self) -> bool:
        """True if rows have one entry per text."""
        return self.part.card.tokenizer is not None

    def read(self, row: int, which: int = 0) -> Float[Tensor, "n d"] | None:
        """Return the cached output of a row, or of one of its texts; None if it is empty."""
        return self.part.read(int(self.number[self.first[row] + which]))


@dataclass(frozen=True)
class Cache:
    """Cached parts by name, and the command that updates them."""

    folder: Path
    parts: Mapping[str, ModuleOutputs]
    remedy: str

    def entries(
        self,
        rows: Sequence[Sample],
        parts: Sequence[str],
        reader: Reader,
        where: Callable[[Sample], str],
    ) -> dict[str, CacheIndex]:
        """Return the rows' entries in those ``parts`` that are cached.

        Args:
            rows: The samples.
            parts: Names of the wanted parts, e.g. "encoder.image".
            reader: Determines each row's contents.
            where: Returns a row's location for messages.

        Raises:
            DataError: listing the rows without an up-to-date entry.
        """
        found, faults = {}, []
        for name in parts:
            if (part := self.parts.get(name)) is not None:
                present = [i for i, row in enumerate(rows) if reader.has(row, part.card.modality)]
                found[name] = entries_of(part, rows, present, reader)
                faults += entry_faults(found[name], rows, present, where, self.folder)
        self.refuse(faults)
        return found

    def refuse(self, faults: Sequence[str]) -> None:
        """Raise DataError if there are faults, with the command that updates the cache."""
        if faults:
            *others, last = truncate(faults)
            raise DataError(*others, f"{last}; update the cache: {self.remedy}")


def entries_of(
    part: ModuleOutputs, rows: Sequence[Sample], present: Sequence[int], reader: Reader
) -> CacheIndex:
    """Return the entries of all rows; NONE for rows without the modality (not in ``present``).

    Args:
        part: The cached outputs.
        rows: The samples.
        present: Indices of the rows that have the modality.
        reader: Determines each row's contents.
    """
    if reader.words(part.card.modality):
        texts = reader.columns(rows)
        flat = [text for row_texts in texts for text in row_texts]
        return CacheIndex(part, part.find(text_contents(flat)), np.cumsum([0, *map(len, texts)]))
    number = np.full(len(rows), NONE)
    number[present] = part.find(reader.contents([rows[i] for i in present], part.card.modality))
    return CacheIndex(part, number, np.arange(len(rows) + 1))


def entry_faults(
    entries: CacheIndex,
    rows: Sequence[Sample],
    present: Sequence[int],
    where: Callable[[Sample], str],
    folder: Path,
) -> list[str]:
    """Return a fault for each row that has the modality but no up-to-date entry.

    Args:
        entries: The entries of all rows.
        rows: The samples.
        present: Indices of the rows that have the modality.
        where: Returns a row's location for messages.
        folder: Folder of the cache, for messages.
    """
    faults, part = [], entries.part.card.part
    for i in present:
        numbers = entries.number[entries.first[i] : entries.first[i + 1]]
        if (numbers == CHANGED).any():
            faults.append(f"{where(rows[i])}: {rows[i].id}: its file was changed or removed after "
                          f"{part} was cached in {folder}")  # fmt: skip
        elif (numbers == NONE).any():
            faults.append(f"{where(rows[i])}: {rows[i].id}: {part} is not cached in {folder}")
    return faults
