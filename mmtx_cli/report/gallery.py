"""Galleries of the best, worst and randomly drawn predictions of a head."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtx_cli.media.suffixes import SUFFIXES
from mmtx_cli.report.confusion import Confusion, confusion
from mmtx_cli.report.plots.reliability import reliability_svg
from mmtx_cli.report.rounding import is_number
from mmtx_cli.report.sound import SoundClip, Sounds
from mmtx_cli.report.thumbnail import Thumbnail, Thumbnails
from mmtx_cli.report.verdict import Verdict, verdict

PICTURES = ("image", "video")
MAX_PICTURES = 4


@dataclass(frozen=True)
class Card:
    """One sample of a gallery."""

    id: str
    group: str
    pictures: list[Thumbnail]
    more_pictures: int
    prompt: str
    verdict: Verdict
    sound: SoundClip | None = None


@dataclass(frozen=True)
class Part:
    """A titled row of cards: best, worst or random."""

    title: str
    cards: list[Card]


@dataclass(frozen=True)
class Gallery:
    """Predictions of one head; ``measure`` is what they are ranked by."""

    head: str
    count: int
    measure: str
    parts: list[Part]
    confusion: Confusion | None
    reliability: str | None


def galleries(
    rows: list[dict[str, Any]], size: int, thumbnails: Thumbnails, sounds: Sounds
) -> list[Gallery]:
    """Return a gallery for each head of ``predictions.jsonl``, in order of first appearance.

    Args:
        rows: The rows of ``predictions.jsonl``.
        size: Number of cards in each part.
        thumbnails: Creates the thumbnails.
        sounds: Creates the audio clips.
    """
    heads: dict[str, list[tuple[dict[str, Any], Verdict]]] = {}
    for row in rows:
        for name, output in row.items():
            if name != "inputs" and (judged := verdict(output)):
                heads.setdefault(name, []).append((row, judged))
    return [_gallery(name, judged, size, thumbnails, sounds) for name, judged in heads.items()]


def captions_part(
    rows: list[dict[str, Any]], size: int, thumbnails: Thumbnails, sounds: Sounds
) -> Part:
    """Return cards of the first rows of a ``captions.jsonl``, in their order.

    Args:
        rows: The rows of ``captions.jsonl``.
        size: Maximum number of cards.
        thumbnails: Creates the thumbnails.
        sounds: Creates the audio clips.
    """
    cards = []
    for row in rows[:size]:
        path = str(row.get("path", ""))
        is_audio = Path(path).suffix.lower() in SUFFIXES["audio"] and not row.get("error")
        if row.get("error"):
            pictures = [Thumbnail(Path(path).name, problem=str(row["error"]))]
        elif is_audio:
            pictures = []
        else:
            pictures = [thumbnails(Path(path), *_window(row))]
        scores = {"score": row.get("score")}
        output = {"caption": row.get("caption"), "references": row.get("references", [])}
        outcome = verdict(output | {"scores": scores})
        assert outcome is not None
        sound = sounds(Path(path), *_window(row)) if is_audio else None
        prompt = str(row.get("text") or "")
        cards.append(Card(Path(path).name, "", pictures, 0, prompt, outcome, sound))
    return Part(f"{len(cards)} of {len(rows)}" if len(rows) > len(cards) else "", cards)


def _gallery(
    head: str,
    samples: list[tuple[dict[str, Any], Verdict]],
    size: int,
    thumbnails: Thumbnails,
    sounds: Sounds,
) -> Gallery:
    first = samples[0][1]
    parts = [
        Part(title, [_card(row, outcome, thumbnails, sounds) for row, outcome in chosen])
        for title, chosen in _choose(samples, size)
    ]
    pairs = [
        (outcome.truth[0], outcome.prediction) for _, outcome in samples if outcome.kind == "class"
    ]
    confidences = [
        (float(probability), bool(outcome.correct))
        for row, outcome in samples
        if outcome.kind == "class" and is_number(probability := row[head].get("probability"))
    ]
    plot = reliability_svg(confidences)
    return Gallery(head, len(samples), first.measure, parts, confusion(pairs), plot)


def _choose(
    samples: list[tuple[dict[str, Any], Verdict]], size: int
) -> list[tuple[str, list[tuple[dict[str, Any], Verdict]]]]:
    """Select what to show by score, then by hash of the id: equal runs show equal samples."""
    if size < 1:
        return []
    scored = [pair for pair in samples if pair[1].score is not None]
    scored.sort(key=lambda pair: (-(pair[1].score or 0.0), _hash_of_id(pair[0])))
    if scored and len(samples) <= size:
        rest = [pair for pair in samples if pair[1].score is None]
        return [("All, best first", scored + rest)]
    # The random part depends only on the ids, so that reports of two runs show the same samples.
    random = sorted(samples, key=lambda pair: _hash_of_id(pair[0]))[:size]
    if not scored:
        return [("Random", random)]
    worst = scored[size:][-size:][::-1]
    return [("Best", scored[:size]), ("Worst", worst), ("Random", random)]


def _hash_of_id(row: dict[str, Any]) -> str:
    return hashlib.sha256(str(row.get("id")).encode(errors="replace")).hexdigest()


def _card(row: dict[str, Any], outcome: Verdict, thumbnails: Thumbnails, sounds: Sounds) -> Card:
    inputs = row.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    paths = [path for name in PICTURES for path in _paths(inputs.get(name))]
    window = _window(inputs)
    audio_paths = _paths(inputs.get("audio"))
    # the window refers to the video; it holds for audio from the same file or without a video
    window_applies = not inputs.get("video") or inputs.get("video") == inputs.get("audio")
    return Card(
        id=str(row.get("id", "")),
        group=str(row.get("group") or ""),
        pictures=[thumbnails(path, *window) for path in paths[:MAX_PICTURES]],
        more_pictures=max(0, len(paths) - MAX_PICTURES),
        prompt=str(inputs.get("text") or ""),
        verdict=outcome,
        sound=sounds(audio_paths[0], *(window if window_applies else (None, None)))
        if audio_paths
        else None,
    )


def _window(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the start and end, in seconds, of the part of a file that the model was shown."""
    start, end = (x if is_number(x := row.get(key)) else None for key in ("start", "end"))
    return start, end


def _paths(value: Any) -> list[Path]:
    values = value if isinstance(value, list) else [value]
    return [Path(path) for path in values if isinstance(path, str) and path]
