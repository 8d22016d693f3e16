"""Playable audio clips as ``data:`` URIs, each with an image of its spectrogram."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.reference import is_reference
from mmtx_cli.report.thumbnail import Shown, Thumbnail, data_uri, jpeg_uri

if TYPE_CHECKING:
    from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

RATE = 16_000
MAX_SECONDS = 10.0
"""Only the middle part of longer audio is played, which limits the size of a page."""
WIDTH, HEIGHT = 320, 96
RANGE = 18.4
"""Nepers of power (80 dB) from black to white. White is the maximum, but at least 0, so that
silence is black."""


@dataclass(frozen=True)
class SoundClip:
    """Audio for ``<audio>``, or, with an empty ``uri``, the reason why it is missing."""

    name: str
    uri: str = ""
    spectrogram: Thumbnail | None = None
    cut: bool = False
    problem: str = ""


class Sounds:
    """Creates each clip once, in a subprocess that can be killed; a bad file gives a reason."""

    def __init__(self, timeout: float = 30.0) -> None:
        """Initialize it; ``timeout`` is the maximum time for one file, in seconds."""
        self.timeout = timeout
        self._made: dict[Shown, SoundClip | None] = {}
        self._guard: IsolatedDecoder | None = None

    def __call__(
        self, path: Path, start: float | None = None, end: float | None = None
    ) -> SoundClip | None:
        """Return the audio of a file between two times, or None for a video without audio."""
        shown = path, start, end
        if shown not in self._made:
            self._made[shown] = self._make(path, start, end)
        return self._made[shown]

    def close(self) -> None:
        """Stop the subprocess."""
        if self._guard is not None:
            self._guard.close()

    def _make(self, path: Path, start: float | None, end: float | None) -> SoundClip | None:
        # anything but a regular file (a pipe, a device) could block forever
        if not (path.is_file() or is_reference(str(path))):
            return SoundClip(path.name, problem="file not found")
        try:
            wave = self._decoded(path, start, end)
        except UnreadableError as error:
            return SoundClip(path.name, problem=error.reason)
        if wave is None:
            return None
        cut = len(wave) > MAX_SECONDS * RATE
        surplus = max(0, len(wave) - round(MAX_SECONDS * RATE))
        wave = wave[surplus // 2 : len(wave) - (surplus - surplus // 2)]
        return SoundClip(path.name, mp3_uri(wave), spectrogram(wave, path.name), cut)

    def _decoded(self, path: Path, start: float | None, end: float | None) -> np.ndarray | None:
        # imported here: most reports have no audio and need no decoder
        from mmtx_cli.media.audio.decode import decode_sound
        from mmtx_cli.media.backend import load_decoders
        from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

        self._guard = self._guard or IsolatedDecoder(self.timeout, load_decoders)
        # one sample more than is played shows that there is more
        max_seconds = MAX_SECONDS + 1 / RATE
        wave = self._guard.run(decode_sound, str(path), RATE, max_seconds, start, end, None)
        return None if wave is None else wave.numpy()


def mp3_uri(wave: np.ndarray) -> str:
    """Encode a waveform at ``RATE`` as MP3, which every browser plays."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave, -1, 1), RATE, format="MP3")
    return data_uri("audio/mpeg", buffer.getvalue())


def spectrogram(wave: np.ndarray, name: str) -> Thumbnail:
    """Draw the log-mel spectrogram that audio encoders read, low frequencies at the bottom."""
    import torch

    from mmtx_cli.data.sample_reader import hops
    from mmtx_cli.layer.input.mel import LogMel
    from mmtx_cli.types import ModalityInput

    data = hops(torch.from_numpy(np.ascontiguousarray(wave)), RATE)[None]
    field = ModalityInput(data, torch.ones(data.shape[:2], dtype=torch.bool))
    x = LogMel(RATE, normalize=None)(field)[0].numpy().T[::-1]
    gray = np.clip((x - max(0.0, x.max())) / RANGE + 1, 0, 1)
    picture = Image.fromarray((255 * gray).astype(np.uint8)).resize((WIDTH, HEIGHT))
    return Thumbnail(name, jpeg_uri(picture), WIDTH, HEIGHT)
