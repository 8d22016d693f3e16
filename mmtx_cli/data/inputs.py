"""Files to caption: what each holds, the pieces of long ones, and their way to a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmtx_cli.data.dataset import Example, Samples
from mmtx_cli.data.decode.guard import Guard
from mmtx_cli.data.decode.video import video_facts
from mmtx_cli.data.image import FORMATS
from mmtx_cli.data.preparation import Preparation
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.suffix import SUFFIXES
from mmtx_cli.data.tokenizer import Tokenizer
from mmtx_cli.data.unreadable import UnreadableError

LAST_PIECE = 0.25
"""A rest shorter than this part of a piece is left to the piece before it."""


@dataclass(frozen=True)
class Piece:
    """A file, or a piece of a video from ``start`` to ``end`` seconds.

    ``seconds`` is the length of what is captioned, None for a picture; a file that is known to
    be unreadable says why in ``error``.
    """

    path: str
    kind: str
    start: float | None = None
    end: float | None = None
    seconds: float | None = None
    error: str | None = None


def is_picture(path: str) -> bool:
    """Does the content, not the name, say that it is a picture?"""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # whatever it is, no picture: the other decoders say what is wrong with it
        return False


def pieces(path: str, segments: float | None, guard: Guard) -> Iterator[Piece]:
    """The file as a whole, or a video in pieces of ``segments`` seconds."""
    suffix = Path(path).suffix.lower()
    if is_picture(path) or (suffix in SUFFIXES["image"]):
        yield Piece(path, "image")
        return
    try:
        facts = guard.run(video_facts, path)
    except UnreadableError as error:
        if "no video stream" in error.reason:
            yield Piece(path, "audio")
        else:
            yield Piece(path, "video", error=error.reason)
        return
    if segments is None:
        yield Piece(path, "video", seconds=facts.duration)
        return
    for start, end in cut(facts.duration, segments):
        yield Piece(path, "video", facts.start + start, facts.start + end, end - start)


def cut(duration: float, length: float) -> list[tuple[float, float]]:
    """Cut ``duration`` seconds into pieces of ``length``; a short rest joins the last."""
    count = max(1, int(duration / length + 1 - LAST_PIECE))
    starts = [i * length for i in range(count)]
    return list(zip(starts, [*starts[1:], duration], strict=True))


class InputFiles(Samples):
    """Pieces as samples of a trained model, each brought to an encoder that can read it.

    A model without a video encoder reads frames as several pictures, one without an image
    encoder reads a picture as a video of one frame. The sound track of a video is its audio.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        names: Sequence[str],
        modalities: Sequence[str],
        preparation: Preparation,
        tokenizer: Tokenizer,
        decode_timeout: float,
    ) -> None:
        """``names`` are the samples' ids, ``modalities`` those of the model."""
        samples = [
            Sample(
                id=name,
                split="test",
                image=(piece.path,) if piece.kind == "image" else (),
                video=piece.path if piece.kind == "video" else None,
                audio=piece.path if piece.kind != "image" else None,
                start=piece.start,
                end=piece.end,
            )
            for name, piece in zip(names, pieces, strict=True)
        ]
        super().__init__(
            samples, modalities, (), preparation, tokenizer, decode_timeout=decode_timeout
        )
        self.pieces = pieces

    def read(self, example: Example, turn: int, row: int) -> None:
        """Decode what the model has an encoder for."""
        sample, piece = self.samples[row], self.pieces[row]
        if piece.error is not None:
            raise UnreadableError(piece.path, piece.error)
        seen = [name for name in (piece.kind, "image", "video") if name in self.modalities]
        if piece.kind == "image" and seen:
            example.inputs[seen[0]] = self.media.pictures(sample, 0)
        if piece.kind == "video" and seen:
            example.inputs[seen[0]] = self.media.clip(sample, 0, None).frames
        if "audio" in self.modalities and sample.audio:
            sound = self.media.sound(sample, None)
            if sound is not None:
                example.inputs["audio"] = sound
        if not example.inputs:
            known = ", ".join(self.modalities)
            raise UnreadableError(piece.path, f"holds nothing that this model reads ({known})")
