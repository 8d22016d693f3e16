"""Files that no manifest names: what each holds, the pieces of long ones, their way to a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmtx_cli.config.preprocessing import Preparation
from mmtx_cli.data.dataset import Example, Samples
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.io.progress import track
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import NoVideoError, UnreadableError
from mmtx_cli.media.image_reader import picture_kind
from mmtx_cli.media.suffixes import FOREIGN_IMAGES, SUFFIXES
from mmtx_cli.media.video.decode import video_facts
from mmtx_cli.media.worker.isolated_decoder import Guard
from mmtx_cli.media.worker.limits import DecodeLimits

LAST_PIECE = 0.25
"""A rest shorter than this part of a piece is left to the piece before it."""


@dataclass(frozen=True)
class Piece:
    """A file, or a piece of a video from ``start`` to ``end`` seconds after the file begins."""

    path: str
    start: float | None = None
    end: float | None = None


def all_pieces(
    paths: Sequence[str], segments: float | None, limits: DecodeLimits
) -> Iterator[Piece]:
    """Files as wholes, or videos in pieces of ``segments`` seconds; what is none stays whole."""
    if segments is None:
        yield from map(Piece, paths)
        return
    guard = Guard(limits.seconds, load_decoders, limits.bytes)
    for path in track(paths, len(paths), "looking at the inputs"):
        try:
            still = picture_kind(guard, path) == "still"
            facts = None if still else guard.run(video_facts, path)
        except UnreadableError:  # a sound; or it is told when the piece is read
            facts = None
        if facts is None:
            yield Piece(path)
            continue
        for start, end in cut(facts.duration, segments):
            yield Piece(path, facts.start + start, facts.start + end)
    guard.close()


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
        tokenizer: Tokenizer | None,
        limits: DecodeLimits,
        text: str | None = None,
        text_tokenizer: Tokenizer | None = None,
    ) -> None:
        """``names`` are the samples' ids, ``modalities`` those of the model.

        ``text`` is what its text encoder reads with every piece, by ``text_tokenizer`` where the
        encoder brings one.
        """
        samples = [
            Sample(id=name, split="test", start=piece.start, end=piece.end, text=text)
            for name, piece in zip(names, pieces, strict=True)
        ]
        super().__init__(
            samples,
            modalities,
            (),
            preparation,
            tokenizer,
            text_tokenizer=text_tokenizer,
            limits=limits,
        )
        self.pieces = pieces
        # what was extracted before cannot be extracted here
        self.from_files = [name for name in modalities if name not in preparation.features]

    def read(self, example: Example, turn: int, row: int) -> None:
        """Decode what the model has an encoder for."""
        path, blank = self.pieces[row].path, self.samples[row]
        kind, suffix = picture_kind(self.media.guard, path), Path(path).suffix.lower()
        named = suffix in SUFFIXES["image"] or suffix in FOREIGN_IMAGES
        # without a video encoder the first frame of an animation is read, as of `image` in a row
        film = kind == "animation" and ("video" in self.from_files or blank.start is not None)
        if (kind or named) and not film:
            pictures = self.media.pictures(replace(blank, image=(path,)), 0)
            for name in self.first_of("image", "video"):
                example.inputs[name] = pictures
        else:
            self.read_film(example, replace(blank, video=path, audio=path))
        if not example.inputs:
            known = ", ".join(self.from_files) or "features alone"
            raise UnreadableError(path, f"holds nothing that this model reads ({known})")
        if (tokens := self.text("text", 0, row)) is not None:
            example.inputs["text"] = tokens

    def read_film(self, example: Example, film: Sample) -> None:
        """Frames and sound of a video, or the sound of a file that has no more."""
        for name in self.first_of("video", "image"):
            try:
                example.inputs[name] = self.media.clip(film, 0, None).frames
            except NoVideoError:
                film = replace(film, video=None)
        if "audio" in self.from_files:
            sound = self.media.sound(film, None)
            if sound is not None:
                example.inputs["audio"] = sound

    def first_of(self, *names: str) -> list[str]:
        """The first of these modalities that the model has, if any."""
        return [name for name in names if name in self.from_files][:1]
