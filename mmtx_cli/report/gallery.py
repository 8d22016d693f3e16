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
        heard = Path(path).suffix.lower() in SUFFIXES["audio"] and not row.get("error")
        if row.get("error"):
            pictures = [Thumbnail(Path(path).name, problem=str(row["error"]))]
        elif heard:
            pictures = []
        else:
            pictures = [thumbnails(Path(path), *_window(row))]
        scores = {"score": row.get("score")}
        output = {"caption": row.get("caption"), "references": row.get("references", [])}
        said = verdict(output | {"scores": scores})
        assert said is not None
        sound = sounds(Path(path), *_window(row)) if heard else None
        prompt = str(row.get("text") or "")
        cards.append(Card(Path(path).name, "", pictures, 0, prompt, said, sound))
    return Part(f"{len(cards)} of {len(rows)}" if len(rows) > len(cards) else "", cards)


def _gallery(
    head: str,
    judged: list[tuple[dict[str, Any], Verdict]],
    size: int,
    thumbnails: Thumbnails,
    sounds: Sounds,
) -> Gallery:
    first = judged[0][1]
    parts = [
        Part(title, [_card(row, said, thumbnails, sounds) for row, said in chosen])
        for title, chosen in _choose(judged, size)
    ]
    pairs = [(said.truth[0], said.said) for _, said in judged if said.kind == "class"]
    sure = [
        (float(probability), bool(said.correct))
        for row, said in judged
        if said.kind == "class" and is_number(probability := row[head].get("probability"))
    ]
    plot = reliability_svg(sure)
    return Gallery(head, len(judged), first.measure, parts, confusion(pairs), plot)


def _choose(
    judged: list[tuple[dict[str, Any], Verdict]], size: int
) -> list[tuple[str, list[tuple[dict[str, Any], Verdict]]]]:
    """Select what to show by score, then by hash of the id: equal runs show equal samples."""
    if size < 1:
        return []
    scored = [pair for pair in judged if pair[1].score is not None]
    scored.sort(key=lambda pair: (-(pair[1].score or 0.0), _draw(pair[0])))
    if scored and len(judged) <= size:
        rest = [pair for pair in judged if pair[1].score is None]
        return [("All, best first", scored + rest)]
    # The random part depends only on the ids, so that reports of two runs show the same samples.
    random = sorted(judged, key=lambda pair: _draw(pair[0]))[:size]
    if not scored:
        return [("Random", random)]
    worst = scored[size:][-size:][::-1]
    return [("Best", scored[:size]), ("Worst", worst), ("Random", random)]


def _draw(row: dict[str, Any]) -> str:
    return hashlib.sha256(str(row.get("id")).encode(errors="replace")).hexdigest()


def _card(row: dict[str, Any], said: Verdict, thumbnails: Thumbnails, sounds: Sounds) -> Card:
    inputs = row.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    paths = [path for name in PICTURES for path in _paths(inputs.get(name))]
    window = _window(inputs)
    heard = _paths(inputs.get("audio"))
    # the window refers to the video; it holds for audio from the same file or without a video
    own = not inputs.get("video") or inputs.get("video") == inputs.get("audio")
    return Card(
        id=str(row.get("id", "")),
        group=str(row.get("group") or ""),
        pictures=[thumbnails(path, *window) for path in paths[:MAX_PICTURES]],
        more_pictures=max(0, len(paths) - MAX_PICTURES),
        prompt=str(inputs.get("text") or ""),
        verdict=said,
        sound=sounds(heard[0], *(window if own else (None, None))) if heard else None,
    )


def _window(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the start and end, in seconds, of the part of a file that the model was shown."""
    start, end = (x if is_number(x := row.get(key)) else None for key in ("start", "end"))
    return start, end


def _paths(value: Any) -> list[Path]:
    values = value if isinstance(value, list) else [value]
    return [Path(path) for path in values if isinstance(path, str) and path]
