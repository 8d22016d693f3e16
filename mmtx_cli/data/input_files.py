"""Media files without a manifest as samples: file type detection and splitting of long videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.dataset import Example, ManifestDataset
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.io.progress import track
from mmtx_cli.media.backend import load_decoders
from mmtx_cli.media.errors import NoVideoError, UnreadableError
from mmtx_cli.media.image_reader import picture_kind
from mmtx_cli.media.suffixes import FOREIGN_IMAGES, SUFFIXES
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits

LAST_PIECE = 0.25
"""A remainder shorter than this fraction of a piece is merged into the preceding piece."""


@dataclass(frozen=True)
class Piece:
    """A file, or the part of a video from ``start`` to ``end`` in seconds."""

    path: str
    start: float | None = None
    end: float | None = None


def all_pieces(
    paths: Sequence[str], segments: float | None, limits: DecodeLimits
) -> Iterator[Piece]:
    """Yield whole files, or videos in pieces of ``segments`` seconds; other files stay whole."""
    if segments is None:
        yield from map(Piece, paths)
        return
    guard = IsolatedDecoder(limits.seconds, load_decoders, limits.bytes)
    for path in track(paths, len(paths), "inspecting inputs"):
        try:
            is_still = picture_kind(guard, path) == "still"
            facts = None if is_still else guard.run(video_facts, path)
        except UnreadableError:  # audio, or reported when the piece is read
            facts = None
        if facts is None:
            yield Piece(path)
            continue
        for start, end in split_duration(facts.duration, segments):
            yield Piece(path, facts.start + start, facts.start + end)
    guard.close()


def split_duration(duration: float, length: float) -> list[tuple[float, float]]:
    """Split ``duration`` into pieces of ``length`` seconds, merging a short remainder."""
    count = max(1, int(duration / length + 1 - LAST_PIECE))
    starts = [i * length for i in range(count)]
    return list(zip(starts, [*starts[1:], duration], strict=True))


class InputFiles(ManifestDataset):
    """Dataset of files and pieces of files, each passed to an encoder that can read it.

    A model without a video encoder receives frames as several images, and one without an image
    encoder receives an image as a video of one frame. A video's soundtrack is its audio.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        names: Sequence[str],
        modalities: Sequence[str],
        preparation: Preprocessing,
        tokenizer: Tokenizer | None,
        limits: DecodeLimits,
        text: str | None = None,
        text_tokenizer: Tokenizer | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            pieces: The files, or pieces of them.
            names: Ids of the samples.
            modalities: Input modalities of the model.
            preparation: Preprocessing settings.
            tokenizer: Tokenizer of the model.
            limits: Decoding limits for each file.
            text: Input text for the text encoder, the same for every piece.
            text_tokenizer: The text encoder's own tokenizer, if it has one.
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
        # modalities that are read as precomputed features cannot be computed here
        self.from_files = [name for name in modalities if name not in preparation.features]

    def read(self, example: Example, turn: int, row: int) -> None:
        """Decode the modalities that the model can read."""
        path, sample = self.pieces[row].path, self.samples[row]
        kind, suffix = picture_kind(self.media.guard, path), Path(path).suffix.lower()
        has_image_suffix = suffix in SUFFIXES["image"] or suffix in FOREIGN_IMAGES
        # without a video encoder, read the first frame of an animation, as for `image` in a row
        as_video = kind == "animation" and ("video" in self.from_files or sample.start is not None)
        if (kind or has_image_suffix) and not as_video:
            pictures = self.media.pictures(replace(sample, image=(path,)), 0)
            for name in self.first_of("image", "video"):
                example.inputs[name] = pictures
        else:
            self.read_video(example, replace(sample, video=path, audio=path))
        if not example.inputs:
            accepted = ", ".join(self.from_files) or "features only"
            raise UnreadableError(path, f"contains no modality that the model accepts ({accepted})")
        if (tokens := self.text("text", 0, row)) is not None:
            example.inputs["text"] = tokens
        self.read_prompt(example, row)

    def read_video(self, example: Example, sample: Sample) -> None:
        """Read frames and audio of a video, or the audio of a file without video."""
        for name in self.first_of("video", "image"):
            try:
                example.inputs[name] = self.media.clip(sample, 0, None).frames
            except NoVideoError:
                sample = replace(sample, video=None)
        if "audio" in self.from_files:
            sound = self.media.sound(sample, None)
            if sound is not None:
                example.inputs["audio"] = sound

    def first_of(self, *names: str) -> list[str]:
        """Return the first of these modalities that the model has, as a list of at most one."""
        return [name for name in names if name in self.from_files][:1]
