"""Summary of a data set: counts of rows, modalities, captions and labels, and split leaks."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmtx_cli.data.manifest.feature_reference import MODALITIES
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.data.manifest.split_leaks import leaks

_PLAIN = ("image", "video", "audio", "text", "captions", "label", "answers", "group")
_FEATURES = {f"features.{name}": name for name in MODALITIES}
FIELDS = (*_PLAIN, *_FEATURES)
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
_SHOWN = 10


@dataclass(frozen=True)
class Summary:
    """Counts by split ("train", "val", "test"); warnings point out possible problems.

    ``fields[split][name]`` is the number of rows that have a modality or target; ``captions`` is
    the mean number of captions per row that has any, and ``caption_words`` the quantiles 0, ¼, ½,
    ¾, 0.95 and 1 of their lengths in words.
    """

    manifest: Manifest
    rows: dict[str, int]
    fields: dict[str, dict[str, int]]
    captions: dict[str, float]
    caption_words: dict[str, list[int]]
    labels: dict[str, Counter[str]]
    warnings: list[str] = field(default_factory=list)

    def __rich__(self) -> RenderableType:
        """Return the renderable that rich prints."""
        parts: list[RenderableType] = [self._overview()]
        if any(self.labels.values()):
            parts.append(self._label_table())
        # Text, since names and paths may contain rich markup
        parts += [Text(f"warning: {warning}") for warning in self.warnings]
        return Group(*parts)

    def _overview(self) -> Table:
        table = Table("", *self.rows)

        def line(name: str, cell: Callable[[str], object]) -> None:
            table.add_row(name, *(str(cell(split)) for split in self.rows))

        line("rows", lambda split: self.rows[split])
        for name in FIELDS:
            if any(self.fields[split][name] for split in self.rows):
                line(name, lambda split, name=name: self.fields[split][name])  # type: ignore[misc]
        if any(self.captions.values()):
            line("captions per row", lambda split: f"{self.captions[split]:.1f}")
            for index, quantile in enumerate(_QUANTILES):
                line(f"caption words, {quantile:.0%}", lambda split, k=index: self._words(split, k))  # type: ignore[misc]
        return table

    def _words(self, split: str, index: int) -> object:
        words = self.caption_words[split]
        return words[index] if words else "–"

    def _label_table(self) -> Table:
        total = sum(self.labels.values(), Counter[str]())
        table = Table("label", *self.rows)
        for name, _ in total.most_common(_SHOWN):
            table.add_row(Text(name), *(str(self.labels[split][name]) for split in self.rows))
        if len(total) > _SHOWN:
            table.add_row(f"… {len(total) - _SHOWN} more", *("" for _ in self.rows))
        return table


def summarize(manifest: Manifest) -> Summary:
    """Compute the summary of a manifest."""
    parts = {split: manifest.split(split) for split in SPLITS}
    texts = {
        split: [caption for sample in samples for caption in sample.captions]
        for split, samples in parts.items()
    }
    captioned = {split: [s for s in samples if s.captions] for split, samples in parts.items()}
    return Summary(
        manifest=manifest,
        rows={split: len(samples) for split, samples in parts.items()},
        fields={split: _fields(samples) for split, samples in parts.items()},
        captions={s: len(texts[s]) / len(captioned[s]) if captioned[s] else 0.0 for s in SPLITS},
        caption_words={split: _quantiles(captions) for split, captions in texts.items()},
        labels={split: Counter(_label_names(samples)) for split, samples in parts.items()},
        warnings=[*_empty_splits(parts), *_leaks(manifest), *_new_labels(manifest)],
    )


def _fields(samples: Sequence[Sample]) -> dict[str, int]:
    plain = {
        name: sum(getattr(sample, name) not in (None, (), {}) for sample in samples)
        for name in _PLAIN
    }
    features = {
        field: sum(name in sample.features for sample in samples)
        for field, name in _FEATURES.items()
    }
    return plain | features


def _quantiles(captions: list[str]) -> list[int]:
    lengths = sorted(len(caption.split()) for caption in captions)
    return [lengths[round(q * (len(lengths) - 1))] for q in _QUANTILES] if lengths else []


def _label_names(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples:
        if isinstance(sample.label, str):
            yield sample.label
        elif isinstance(sample.label, tuple):
            yield from sample.label


def _empty_splits(parts: dict[str, Sequence[Sample]]) -> list[str]:
    return [f"no rows in split {split}" for split, samples in parts.items() if not samples]


def _leaks(manifest: Manifest) -> Iterator[str]:
    """Yield warnings for files, or texts that are the only input, in more than one split."""
    for leak in leaks(manifest, _inputs):
        one, two = leak.splits
        yield (
            f"leak: same {leak.kind} in {one} and {two}, {leak.count} times, e.g. "
            f"{leak.names[1]}: {' and '.join(leak.places)}"
        )


def _inputs(sample: Sample) -> Iterator[tuple[str, str, str]]:
    media = dict.fromkeys(sample.media())
    yield from ((kind, path, path) for kind, path in media)
    for name, place in sample.features.items():
        spot = f" ({place.key_and_row})" if place.key_and_row else ""
        yield f"{name} features", f"{place.path}{spot}", f"{place.path}{spot}"
    if sample.text and not (media or sample.features):
        yield "text", sample.text, sample.text


def _new_labels(manifest: Manifest) -> list[str]:
    known = set(manifest.label_names)
    warnings = []
    for split in ("val", "test"):
        new = sorted(set(_label_names(manifest.split(split))) - known)
        if new and known:
            names = ", ".join(new[:_SHOWN])
            warnings.append(f"labels in {split} that are not in train: {names}")
    return warnings
