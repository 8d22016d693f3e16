"""Sounds: 10 s of WAV and of FLAC to log-mel spectrograms, one thread.

``torchaudio.load`` and a ``MelSpectrogram`` made once, as its tutorials do it, against
``decode_sound`` and ``LogMel``; 64 bands, windows of 25 ms every 10 ms on both sides.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from paired import paired_ratio, report

from mmtx_cli.data.sample_reader import hops
from mmtx_cli.layer.input.mel import LogMel
from mmtx_cli.media.audio.decode import decode_sound
from mmtx_cli.types import ModalityInput

RATE = 16000
SECONDS = 10
CALLS = 20


def recording(seed: int = 0) -> np.ndarray:
    """Syllables: harmonics of a wandering pitch that swell and fade, over a little noise."""
    draw = np.random.default_rng(seed)
    t = np.arange(SECONDS * RATE) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.4 * t) + 10 * np.sin(2 * np.pi * 3.1 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k**1.2 for k in range(1, 20))
    swelling = np.clip(np.sin(2 * np.pi * 2.3 * t), 0, 1)
    return (0.2 * voice * swelling + 0.002 * draw.standard_normal(len(t))).astype(np.float32)


def repeated(function: Callable[[str], torch.Tensor], path: str) -> Callable[[], None]:
    """Several calls as one, for the clock."""

    def run() -> None:
        for _ in range(CALLS):
            function(path)

    return run


def sound(folder: Path, rounds: int) -> None:
    """Both ratios for both formats."""
    theirs = torchaudio.transforms.MelSpectrogram(RATE, n_fft=400, hop_length=160, n_mels=64)
    ours = LogMel(RATE, 64, normalize=None)

    def their_mel(path: str) -> torch.Tensor:
        wave, _ = torchaudio.load(path)
        return torch.log(theirs(wave) + 1e-6)

    def our_mel(path: str) -> torch.Tensor:
        sound = hops(decode_sound(path, RATE), RATE)[None]
        return ours(ModalityInput(sound, torch.ones(sound.shape[:2], dtype=torch.bool)))

    with torch.inference_mode():
        for name in ("sound.wav", "sound.flac"):
            path = str(folder / name)
            soundfile.write(path, recording(), RATE)
            difference = (torchaudio.load(path)[0][0] - decode_sound(path, RATE)).abs().max()
            print(f"{name}: largest difference of a sample {difference:.1e}")
            whole = paired_ratio(repeated(their_mel, path), repeated(our_mel, path), rounds)
            report(f"{name} to log-mel: torchaudio / mmtx", *whole)
            decoding = paired_ratio(
                repeated(lambda path: torchaudio.load(path)[0], path),
                repeated(lambda path: decode_sound(path, RATE), path),
                rounds,
            )
            report(f"{name} decoded: torchaudio / mmtx", *decoding)
