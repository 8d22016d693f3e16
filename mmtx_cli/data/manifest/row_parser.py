"""Conversion of raw manifest rows to ``Sample``, with validation of every value."""

import math
import os
from collections.abc import Callable, Collection
from typing import Any

from mmtx_cli.data.manifest.cell_parsers import (
    clean_text,
    float_of,
    json_of,
    number_of,
    seconds_of,
    shown,
    text_of,
    texts_of,
    words_of,
)
from mmtx_cli.data.manifest.dataset_card import Card
from mmtx_cli.data.manifest.feature_reference import features_of
from mmtx_cli.data.manifest.option_names import RATIOS, Keys
from mmtx_cli.data.manifest.path_resolver import Root
from mmtx_cli.data.manifest.sample import KEYS, SPLITS, Sample
from mmtx_cli.io.unicode import composed
from mmtx_cli.suggest import closest

Row = dict[str, Any]
Label = str | float | int | tuple[str, ...] | None
Values = tuple[Any, ...]
"""The fields of a sample in their order, except line and corpus."""
_PLAIN = frozenset(("id", "split", "image", "text", "captions", "label"))
_SPLITS = {name: name for name in SPLITS} | dict.fromkeys(("validation", "valid", "dev"), "val")
CAPTION_MARK = " | "


def parse_split(value: object, faults: list[str]) -> str:
    """Return train, val or test for a split name or alias; else "", and append a fault."""
    split = _SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if split is None:
        near = closest(value, _SPLITS, 0.6) if isinstance(value, str) else None
        hint = f"did you mean {_SPLITS[near]}?" if near else "must be train, val or test"
        faults.append(f"unknown split {shown(value)}; {hint}")
    return split or ""


def is_split_name(name: str) -> bool:
    """Return True for a split name or one of its aliases."""
    return name.strip().lower() in _SPLITS


class RowReader:
    """Converts raw rows to samples and collects the faults of each."""

    def __init__(
        self,
        root: Root,
        *,
        typed: bool,
        assign: Callable[[str], str] | None,
        card: Card,
        keys: Keys,
        ignored: Collection[str] = (),
        unchecked: Root | None = None,
    ):
        """Store what all rows share.

        Args:
            root: Resolves the rows' paths.
            typed: False for CSV and TSV, whose cells are all text. A cell of ``image``,
                ``captions`` or ``label`` that starts with ``[``, or of ``answers`` or ``features``
                that starts with ``{``, is then parsed as JSON; captions may also be separated by
                " | ", and a bare answer has weight 1.
            assign: Returns the split for the id of a row without one; None if every row needs one.
            card: The dataset card.
            keys: Names of the configuration keys that messages refer to.
            ignored: Row keys whose values are not validated.
            unchecked: A root that does not look for files; if given, missing files are allowed.
        """
        self._root = root
        self._typed = typed
        self._ignored = frozenset(ignored)
        self._unchecked = unchecked
        self._assign = assign
        self.split_remedy = f"use train, val or test, or set '{keys.split}={RATIOS}'"
        self._label_names = frozenset(card.label_names or ())
        self._label_type = card.label_type
        self._meant: dict[str, str | None] = dict.fromkeys((*KEYS, *card.extra_keys, "idx"))

    def misspelled_keys(self, row: Row) -> list[str]:
        """Return a fault for every key that resembles a known key that the row lacks."""
        faults = []
        for key in row:
            if key not in self._meant:
                self._meant[key] = closest(key, KEYS)
            suggestion = self._meant[key]
            if suggestion is not None and suggestion not in row:
                faults.append(
                    f"unknown key {key!r}; did you mean {suggestion!r}? (if it is your own column, "
                    "list it under extra_keys in the dataset card)"
                )
        return faults

    def missing_column(self, row: Row) -> str | None:
        """Return the required column, id or split, that the header lacks, or None."""
        if "id" not in row:
            return "id"
        return "split" if "split" not in row and self._assign is None else None

    def without_splits(self) -> None:
        """Stop requiring a split per row, since the missing column has been reported."""
        self._assign = lambda ident: SPLITS[0]

    def sample(self, row: Row, line: int) -> tuple[Sample | None, str, list[str]]:
        """Return the sample (None if faulty), its id ("" if it has none), and the faults."""
        values, ident, faults = self.values(row)
        return None if values is None else Sample(*(*values, line)), ident, faults

    def values(self, row: Row) -> tuple[Values | None, str, list[str]]:
        """Return the values of a sample in the order of its fields, as ``sample`` does."""
        if self._typed and not self._ignored and row.keys() <= _PLAIN:
            plain = self._plain(row)
            if plain is not None:
                return plain
        return self._any(row)

    def _plain(self, row: Row) -> tuple[Values | None, str, list[str]] | None:
        """Return what ``values`` does for a row without conversions, the usual; None for others."""
        ident, split, image = row.get("id"), row.get("split"), row.get("image")
        if type(ident) is not str or not ident.isascii() or not ident.strip():
            return None
        if type(split) is not str or split not in SPLITS:
            return None
        if image is not None and (type(image) is not str or not image.isascii()):
            return None
        text, captions = row.get("text"), row.get("captions", ())
        if text is not None and (text := clean_text(text)) is None:
            return None
        if captions != ():
            if type(captions) is not list or not captions:
                return None
            captions = tuple(map(clean_text, captions))
            if None in captions:
                return None
        label = row.get("label")
        if label is not None:
            if self._label_type is not None or self._label_names:
                return None
            if type(label) is str and (label := clean_text(label)) is None:
                return None
            if type(label) is not str:
                return None
        faults: list[str] = []
        # last, since a row is counted as one file looked for
        images = (self._path("image", image, faults),) if image and image.strip() else ()
        if faults:
            return None, ident, faults
        none = None, None, None, None  # video, start, end, audio
        return (ident, split, images, *none, text, captions, label, {}, None, {}), ident, []

    def _any(self, row: Row) -> tuple[Values | None, str, list[str]]:
        faults: list[str] = []
        if self._ignored:
            row = {key: value for key, value in row.items() if key not in self._ignored}
        ident = self._ident(row, faults)
        values: dict[str, Any] = {
            "image": self._images(row.get("image"), faults),
            "text": words_of("text", row.get("text"), faults),
            "captions": self._captions(row.get("captions"), faults),
            "label": self._label(row.get("label"), faults),
            "answers": self._answers(row.get("answers"), faults),
            "group": words_of("group", row.get("group"), faults),
        }
        for name in ("video", "audio"):
            path = text_of(name, row.get(name), faults, "one path")
            values[name] = None if path is None else self._path(name, path, faults)
        values["features"] = features_of(
            row.get("features"), faults, self._typed, lambda name, p: self._path(name, p, faults)
        )
        start, end = (seconds_of(name, row.get(name), faults) for name in ("start", "end"))
        if start is not None and end is not None and start >= end:
            faults.append(f"start {start:g} must be before end {end:g} (in seconds)")
        split = self._split(row.get("split"), ident, faults)
        if faults:
            return None, ident, faults
        values |= {"id": ident, "split": split, "start": start, "end": end}
        return tuple(values[name] for name in KEYS), ident, []

    def _ident(self, row: Row, faults: list[str]) -> str:
        value = row.get("id")
        if type(value) is int and math.isfinite(float_of(value)):
            return str(value)
        if isinstance(value, str) and value.strip():
            return text_of("id", value, faults) or ""
        what = "no id" if value in (None, "") else f"id is {shown(value)}"
        faults.append(f'{what}; give every row a unique id, e.g. "id": "a17"')
        return ""

    def _split(self, value: object, ident: str, faults: list[str]) -> str:
        if value is None or value == "":
            if self._assign is not None:
                return self._assign(ident)
            faults.append(f"no split; {self.split_remedy}")
            return ""
        return parse_split(value, faults)

    def _path(self, name: str, path: str, faults: list[str]) -> str:
        full, fault = self._root.resolve(path)
        if fault and self._unchecked and not os.path.lexists(full):
            full, fault = self._unchecked.resolve(path)
        if fault:
            faults.append(f"{name}: {fault}")
        return full

    def _images(self, value: object, faults: list[str]) -> tuple[str, ...]:
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            if self._typed or not value.startswith("["):
                path = text_of("image", value, faults)
                return () if path is None else (self._path("image", path, faults),)
            value = json_of("image", value, faults)
        paths = texts_of(
            "image", value, faults, 'a path or a list of paths, e.g. ["a.jpg", "b.jpg"]'
        )
        return tuple(self._path("image", path, faults) for path in paths)

    def _captions(self, value: object, faults: list[str]) -> tuple[str, ...]:
        if value is None or value == "":
            return ()
        if isinstance(value, str) and not self._typed:
            cell = value.strip()
            value = (
                json_of("captions", cell, faults)
                if cell.startswith("[")
                else cell.split(CAPTION_MARK)
            )
        if value == []:
            faults.append("captions is an empty list; remove the key if there are none")
            return ()
        captions = texts_of("captions", value, faults, 'a list of captions, e.g. ["a red ball"]')
        return tuple(map(composed, captions))

    def _label(self, value: object, faults: list[str]) -> Label:
        if value is None or value == "":
            return None
        if isinstance(value, str) and not self._typed and value.startswith("["):
            value = json_of("label", value, faults)
        if isinstance(value, list):
            names = texts_of("label", value, faults, 'names, e.g. ["cat", "dog"]')
            return self._known(tuple(map(composed, names)), faults)
        if self._label_type == "number":
            return number_of("label", value, faults)
        if type(value) in (int, float) and self._label_type is None:
            return number_of("label", value, faults)
        numeral = type(value) in (int, float) and number_of("label", value, faults) is not None
        text = str(value) if numeral else None if type(value) in (int, float) else value
        name = words_of("label", text, faults, "a name, a number or a list of names")
        return None if name is None else self._known((name,), faults)[0]

    def _known(self, names: tuple[str, ...], faults: list[str]) -> tuple[str, ...]:
        if self._label_names and not self._label_names.issuperset(names):
            faults += [self._unknown_label(name) for name in names if name not in self._label_names]
        return names

    def _unknown_label(self, name: str) -> str:
        near = closest(name, self._label_names, 0.6)
        hint = f"did you mean {near!r}?" if near else "add it there, or fix the row"
        return f"label {name!r} is not in the label_names of the dataset card; {hint}"

    def _answers(self, value: object, faults: list[str]) -> dict[str, float]:
        if value is None or value == "":
            return {}
        if isinstance(value, str) and not self._typed:
            cell = value.strip()
            value = json_of("answers", cell, faults) if cell.startswith("{") else {cell: 1.0}
            if value is None:  # json_of has reported the fault
                return {}
        if isinstance(value, list) and all(isinstance(v, tuple) and len(v) == 2 for v in value):
            value = dict(value)  # a Parquet map
        example = 'weights by answer, e.g. {"red": 8, "dark red": 2}'
        if not isinstance(value, dict) or not value:
            faults.append(f"answers is {shown(value)}; expected {example}")
            return {}
        answers: dict[str, float] = {}
        for answer, weight in value.items():
            number = math.isfinite(float_of(weight)) and type(weight) in (int, float) and weight > 0
            if not number or not isinstance(answer, str) or not answer.strip():
                faults.append(
                    f"answers has {answer!r} with weight {shown(weight)}; use positive {example}"
                )
                continue
            if text_of("answers", answer, faults) is None:
                continue
            name = composed(answer)
            answers[name] = answers.get(name, 0.0) + weight
        return answers
