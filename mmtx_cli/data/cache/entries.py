"""The entries of a cache by the rows of a data set: every row's, or the rows that lack theirs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.config.preprocessing import Preparation
from mmtx_cli.data.cache.content import Contents, media_contents, text_contents
from mmtx_cli.data.cache.module_outputs import CHANGED, NONE, Part
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.columns import column_texts
from mmtx_cli.errors import DataError, at_most


@dataclass(frozen=True)
class Reader:
    """What is read of a row: by the preparation, and of a corpus in ``texts`` its own column."""

    preparation: Preparation
    texts: Mapping[str, str] = field(default_factory=dict)

    def words(self, modality: str) -> bool:
        """Is it texts, not features of them?"""
        return modality == "text" and modality not in self.preparation.features

    def columns(self, rows: Sequence[Sample]) -> list[tuple[str, ...]]:
        """The texts of each row."""
        return column_texts(rows, self.preparation.text or "text", self.texts)

    def has(self, row: Sample, modality: str) -> bool:
        """Has a row something of a modality?"""
        if modality in self.preparation.features:
            return modality in row.features
        if modality == "text":
            return bool(self.columns([row])[0])
        return bool(getattr(row, modality))

    def contents(self, rows: Sequence[Sample], modality: str) -> Contents:
        """What the files are of rows that have some."""
        return media_contents(rows, modality, modality in self.preparation.features)


@dataclass(frozen=True)
class Entries:
    """The numbers of the entries of all rows in a row; those of row i begin at ``first[i]``.

    Of text a row has one for each of its texts.
    """

    part: Part
    number: Int[np.ndarray, " m"]
    first: Int[np.ndarray, " n"]

    @property
    def texts(self) -> bool:
        """Has a row one for each of its texts?"""
        return self.part.card.tokenizer is not None

    def read(self, row: int, which: int = 0) -> Float[Tensor, "n d"] | None:
        """What the encoder made of a row's content, or of one of its texts; None of nothing."""
        return self.part.read(int(self.number[self.first[row] + which]))


@dataclass(frozen=True)
class Cache:
    """Parts by name, and the command that brings them up to date."""

    folder: Path
    parts: Mapping[str, Part]
    remedy: str

    def entries(
        self,
        rows: Sequence[Sample],
        parts: Sequence[str],
        reader: Reader,
        where: Callable[[Sample], str],
    ) -> dict[str, Entries]:
        """The rows' entries in those of the ``parts`` that there are.

        Raises DataError that lists the rows without theirs; ``where`` names a row.
        """
        found, faults = {}, []
        for name in parts:
            if (part := self.parts.get(name)) is not None:
                has = [i for i, row in enumerate(rows) if reader.has(row, part.card.modality)]
                found[name] = entries_of(part, rows, has, reader)
                faults += lacking(found[name], rows, has, where, self.folder)
        self.refuse(faults)
        return found

    def refuse(self, faults: Sequence[str]) -> None:
        """Raise DataError, where there are faults, with what to do about them."""
        if faults:
            *others, last = at_most(faults)
            raise DataError(*others, f"{last}; bring the cache up to date: {self.remedy}")


def entries_of(part: Part, rows: Sequence[Sample], has: Sequence[int], reader: Reader) -> Entries:
    """The entries of all rows, of which those in ``has`` have the modality; NONE where is none."""
    if reader.words(part.card.modality):
        texts = reader.columns(rows)
        flat = [text for several in texts for text in several]
        return Entries(part, part.find(text_contents(flat)), np.cumsum([0, *map(len, texts)]))
    number = np.full(len(rows), NONE)
    number[has] = part.find(reader.contents([rows[i] for i in has], part.card.modality))
    return Entries(part, number, np.arange(len(rows) + 1))


def lacking(
    entries: Entries,
    rows: Sequence[Sample],
    has: Sequence[int],
    where: Callable[[Sample], str],
    folder: Path,
) -> list[str]:
    """What to say of each row that has a modality and no entry of it."""
    faults, part = [], entries.part.card.part
    for i in has:
        numbers = entries.number[entries.first[i] : entries.first[i + 1]]
        if (numbers == CHANGED).any():
            faults.append(f"{where(rows[i])}: {rows[i].id}: its file has changed, or gone, since "
                          f"{part} was cached in {folder}")  # fmt: skip
        elif (numbers == NONE).any():
            faults.append(f"{where(rows[i])}: {rows[i].id}: no output of {part} in {folder}")
    return faults
