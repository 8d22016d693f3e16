"""The entries of a cache by the rows of a data set: every row's, or the rows that lack theirs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.data.cache.content import media_contents, text_contents
from mmtx_cli.data.cache.part import CHANGED, NONE, Part
from mmtx_cli.data.preparation import Preparation
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.text import column_texts
from mmtx_cli.error import DataError
from mmtx_cli.fault import at_most

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
        preparation: Preparation,
        where: Callable[[Sample], str],
    ) -> dict[str, Entries]:
        """The rows' entries in those of the ``parts`` that there are.

        Raises DataError that lists the rows without theirs; ``where`` names a row.
        """
        found, faults = {}, []
        for name in parts:
            if (part := self.parts.get(name)) is not None:
                has = holders(rows, part.card.modality, preparation)
                found[name] = entries_of(part, rows, preparation)
                faults += lacking(found[name], rows, has, where, self.folder)
        self.refuse(faults)
        return found

    def refuse(self, faults: Sequence[str]) -> None:
        """Raise DataError, where there are faults, with what to do about them."""
        if faults:
            *others, last = at_most(faults)
            raise DataError(*others, f"{last}; bring the cache up to date: {self.remedy}")


def entries_of(part: Part, rows: Sequence[Sample], preparation: Preparation) -> Entries:
    """The entries of all rows; NONE where a row lacks the modality, or its entry is lacking."""
    name = part.card.modality
    if name == "text" and name not in preparation.features:
        texts = column_texts(rows, preparation.text or name)
        first = np.cumsum([0, *map(len, texts)])
        flat = [text for several in texts for text in several]
        return Entries(part, part.find(text_contents(flat)), first)
    number = np.full(len(rows), NONE)
    has = holders(rows, name, preparation)
    contents = media_contents([rows[i] for i in has], name, name in preparation.features)
    number[has] = part.find(contents)
    return Entries(part, number, np.arange(len(rows) + 1))


def holders(rows: Sequence[Sample], name: str, preparation: Preparation) -> list[int]:
    """The rows that have something of a modality."""
    if name in preparation.features:
        return [i for i, row in enumerate(rows) if name in row.features]
    column = (preparation.text or name) if name == "text" else name
    return [i for i, row in enumerate(rows) if getattr(row, column)]


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
