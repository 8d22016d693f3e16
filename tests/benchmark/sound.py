"""Compare reading a sound to its log-mel spectrogram with torchaudio: 10 s of WAV and of FLAC.

Run from the project's root: ``python tests/benchmark/sound.py``. Takes about a minute.
``torchaudio.load`` and a ``MelSpectrogram`` made once, as its tutorials do it, against
``decode_sound`` and ``LogMel``; 64 bands, windows of 25 ms every 10 ms on both sides. One thread,
as a loader's worker has. Decoding alone is compared too.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from paired import paired_ratio  # noqa: E402

from mmtx_cli.data.decode.sound import decode_sound  # noqa: E402
from mmtx_cli.data.media import hops  # noqa: E402
from mmtx_cli.layer.mel import LogMel  # noqa: E402
from mmtx_cli.types import Field  # noqa: E402

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


def main() -> None:
    """Print both ratios for both formats."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    theirs = torchaudio.transforms.MelSpectrogram(RATE, n_fft=400, hop_length=160, n_mels=64)
    ours = LogMel(RATE, 64, normalise=None)

    def their_mel(path: str) -> torch.Tensor:
        wave, _ = torchaudio.load(path)
        return torch.log(theirs(wave) + 1e-6)

    def our_mel(path: str) -> torch.Tensor:
        sound = hops(decode_sound(path, RATE), RATE)[None]
        return ours(Field(sound, torch.ones(sound.shape[:2], dtype=torch.bool)))

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for name in ("sound.wav", "sound.flac"):
            path = str(Path(folder) / name)
            soundfile.write(path, recording(), RATE)
            difference = (torchaudio.load(path)[0][0] - decode_sound(path, RATE)).abs().max()
            whole = paired_ratio(repeated(their_mel, path), repeated(our_mel, path), rounds)
            decoding = paired_ratio(
                repeated(lambda path: torchaudio.load(path)[0], path),
                repeated(lambda path: decode_sound(path, RATE), path),
                rounds,
            )
            for what, (ratio, ratios) in (("log-mel", whole), ("decoding alone", decoding)):
                print(
                    f"{name} to {what}: torchaudio / mmtx = {ratio:.2f} (median of {rounds} "
                    f"rounds, {min(ratios):.2f} to {max(ratios):.2f}); largest difference of a "
                    f"sample {difference:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
