"""Synthesize the sound of an event: six kinds that differ in pitch, pitch contour or texture."""

import wave
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from mmtx_cli.synthetic.events.event import SECONDS, Sound

SAMPLE_RATE = 16000
_BEEP, _HUM = 1500.0, 110.0  # hertz
_WHISTLE = 600.0, 1800.0  # from, to
_TICK, _TICKS = 2500.0, 10  # hertz of a tick, ticks per second
_FADE = 0.02  # seconds
_NOISE = 0.001  # standard deviation of the background noise

Wave = Float[np.ndarray, " n"]


def samples(sound: Sound, seed: int) -> Int16[np.ndarray, " n"]:
    """Return the mono audio of the whole event at ``SAMPLE_RATE``; ``seed`` is for the noise."""
    # RandomState is the only numpy generator whose stream is guaranteed never to change
    random = np.random.RandomState(seed % 2**32)
    audio = random.standard_normal(SECONDS * SAMPLE_RATE) * _NOISE
    first, last = round(sound.start * SAMPLE_RATE), round(sound.end * SAMPLE_RATE)
    seconds = np.arange(last - first) / SAMPLE_RATE
    audio[first:last] += sound.loudness * _faded(_tone(sound, seconds, random), seconds)
    return np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16)


def write_sound(path: Path, audio: Int16[np.ndarray, " n"]) -> None:
    """Write samples as a WAV file: mono, 16 bits, ``SAMPLE_RATE``."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(audio.astype("<i2").tobytes())


def _tone(sound: Sound, seconds: Wave, random: np.random.RandomState) -> Wave:
    """Return the sound without fades and noise, within [-1, 1]."""
    match sound.kind:
        case "high beep":
            return _sine(sound.pitch * _BEEP * seconds)
        case "low hum":
            cycles = sound.pitch * _HUM * seconds
            return (_sine(cycles) + 0.5 * _sine(2 * cycles) + 0.25 * _sine(3 * cycles)) / 1.75
        case "rising whistle":
            return _glide(sound, seconds, *_WHISTLE)
        case "falling whistle":
            return _glide(sound, seconds, *reversed(_WHISTLE))
        case "noise burst":
            return np.clip(random.standard_normal(len(seconds)) / 3, -1, 1)
        case "ticking clock":
            elapsed = seconds % (1 / _TICKS)
            return np.exp(-elapsed / 0.006) * _sine(sound.pitch * _TICK * elapsed)
        case kind:
            raise AssertionError(kind)


def _sine(cycles: Wave) -> Wave:
    return np.sin(2 * np.pi * cycles)


def _glide(sound: Sound, seconds: Wave, low: float, high: float) -> Wave:
    """Return a tone whose pitch changes linearly from ``low`` to ``high`` hertz."""
    slope = (high - low) / (sound.end - sound.start)
    return _sine(sound.pitch * (low * seconds + slope / 2 * seconds**2))


def _faded(tone: Wave, seconds: Wave) -> Wave:
    """Return the tone faded in and out, so that no click marks the onset."""
    ends = np.minimum(seconds, seconds[-1] - seconds)
    return tone * np.clip(ends / _FADE, 0, 1)
