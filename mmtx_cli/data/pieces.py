"""Files outside of a manifest: splitting of long videos, and which modality a file becomes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mmtx_cli.data.manifest.sample import Sample
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

    @property
    def identity(self) -> str:
        """A name that does not depend on the folder, which seeds random numbers."""
        return f"{Path(self.path).name} {self.start}"


def all_pieces(
    paths: Sequence[str],
    segments: float | None,
    limits: DecodeLimits,
    load_decoders: Callable[[], None] = load_decoders,
) -> Iterator[Piece]:
    """Yield whole files, or videos in pieces of ``segments`` seconds; other files stay whole.

    Args:
        paths: The files.
        segments: Length of a piece in seconds; None for whole files.
        limits: Decoding limits for each file.
        load_decoders: Imports the decoders before a process is forked.
    """
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


@runtime_checkable
class MediaReader(Protocol):
    """Decodes the media of a sample, to tensors or arrays."""

    @property
    def guard(self) -> IsolatedDecoder:
        """The decoder process."""

    def pictures(self, sample: Sample, seed: int) -> Any:
        """Return the images."""

    def clip(self, sample: Sample, seed: int, offset: float | None) -> Any:
        """Return the frames of the video, as attribute ``frames``."""

    def sound(self, sample: Sample, offset: float | None) -> Any:
        """Return the audio; None if the file has none."""


def read_file(
    media: MediaReader, path: str, sample: Sample, modalities: Sequence[str]
) -> dict[str, Any]:
    """Return what a model can read of a file, by modality.

    A model without a video encoder receives frames as several images, and one without an image
    encoder receives an image as a video of one frame. A video's soundtrack is its audio.

    Args:
        media: Decodes the file.
        path: The file.
        sample: The piece of the file that is read.
        modalities: Those that the model reads from files.

    Raises:
        UnreadableError: if the file cannot be read, or has none of them.
    """
    kind, suffix = picture_kind(media.guard, path), Path(path).suffix.lower()
    has_image_suffix = suffix in SUFFIXES["image"] or suffix in FOREIGN_IMAGES
    # without a video encoder, read the first frame of an animation, as for `image` in a row
    as_video = kind == "animation" and ("video" in modalities or sample.start is not None)
    inputs: dict[str, Any] = {}
    if (kind or has_image_suffix) and not as_video:
        pictures = media.pictures(replace(sample, image=(path,)), 0)
        inputs = dict.fromkeys(first_of(modalities, "image", "video"), pictures)
    else:
        sample = replace(sample, video=path, audio=path)
        for name in first_of(modalities, "video", "image"):
            try:
                inputs[name] = media.clip(sample, 0, None).frames
            except NoVideoError:
                sample = replace(sample, video=None)
        if "audio" in modalities and (sound := media.sound(sample, None)) is not None:
            inputs["audio"] = sound
    if not inputs:
        accepted = ", ".join(modalities) or "features only"
        raise UnreadableError(path, f"contains no modality that the model accepts ({accepted})")
    return inputs


def first_of(modalities: Sequence[str], *names: str) -> list[str]:
    """Return the first of these names that is among the modalities, as a list of at most one."""
    return [name for name in names if name in modalities][:1]
