"""Audio tasks: pitch, pitch contour, number of beats, onset, and order.

A sound is one second of mono audio: tones of random loudness and timbre over faint noise.
"""

from collections.abc import Sequence
from random import Random

import numpy as np
from jaxtyping import Int16

from mmtx_cli.synthetic.encoder_lab.task import Task
from mmtx_cli.synthetic.events.soundtrack import SAMPLE_RATE

NUM_SAMPLES = SAMPLE_RATE  # one second
_FADE = 0.01  # seconds
_NOISE = (0.002, 0.008)  # standard deviation; full scale is 1
_LOUDNESS = (0.15, 0.5)
_OVERTONE = (0.0, 0.3)  # amplitude of the octave above, relative to the tone

_PITCHES = {"low": (200.0, 300.0), "middle": (600.0, 850.0), "high": (1600.0, 2300.0)}  # hertz
_BEATS = {"two": 2, "three": 3, "four": 4, "five": 5}
_BEAT, _INTERVAL = 0.06, (0.13, 0.21)  # seconds
_PARTS = ("first third", "second third", "last third")
_ONSET_MARGIN = 0.03  # seconds between a beep and the borders of its third
_ORDER_PITCHES = {"low": (250.0, 450.0), "high": (1000.0, 1800.0)}  # hertz

Samples = Int16[np.ndarray, " n"]
Tone = tuple[float, float, float, float]
"""Start and duration in seconds, first and last frequency in hertz."""


def _sound(tones: Sequence[Tone], random: Random) -> Samples:
    # RandomState is the only numpy generator whose stream is guaranteed never to change
    noise = np.random.RandomState(random.randrange(2**32)).standard_normal(NUM_SAMPLES)
    samples = random.uniform(*_NOISE) * noise
    loudness, overtone = random.uniform(*_LOUDNESS), random.uniform(*_OVERTONE)
    for start, duration, first_pitch, last_pitch in tones:
        first = round(start * SAMPLE_RATE)
        t = np.arange(round(duration * SAMPLE_RATE)) / SAMPLE_RATE
        phase = 2 * np.pi * (first_pitch * t + (last_pitch - first_pitch) / duration / 2 * t**2)
        tone = (np.sin(phase) + overtone * np.sin(2 * phase)) / (1 + overtone)
        # faded in and out, so that no click marks the onset
        fade = np.clip(np.minimum(t, t[-1] - t) / _FADE, 0, 1)
        samples[first : first + len(t)] += loudness * fade * tone
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


def _pitch(label: str, random: Random, size: int) -> Samples:
    pitch, duration = random.uniform(*_PITCHES[label]), random.uniform(0.4, 0.8)
    start = random.uniform(0, 0.99 - duration)
    return _sound([(start, duration, pitch, pitch)], random)


def _contour(label: str, random: Random, size: int) -> Samples:
    low, duration = random.uniform(300, 900), random.uniform(0.5, 0.8)
    high = low * random.uniform(1.8, 2.8)
    first, last = (low, high) if label == "rising" else (high, low)
    start = random.uniform(0, 0.99 - duration)
    return _sound([(start, duration, first, last)], random)


def _beats(label: str, random: Random, size: int) -> Samples:
    pitch, interval = random.uniform(400, 1600), random.uniform(*_INTERVAL)
    last = (_BEATS[label] - 1) * interval
    start = random.uniform(0, 0.99 - last - _BEAT)
    starts = [start + beat * interval for beat in range(_BEATS[label])]
    return _sound([(moment, _BEAT, pitch, pitch) for moment in starts], random)


def _onset(label: str, random: Random, size: int) -> Samples:
    pitch, duration = random.uniform(300, 2000), random.uniform(0.12, 0.18)
    third = _PARTS.index(label) / 3
    start = third + random.uniform(_ONSET_MARGIN, 1 / 3 - _ONSET_MARGIN - duration)
    return _sound([(start, duration, pitch, pitch)], random)


def _order(label: str, random: Random, size: int) -> Samples:
    pitches = [random.uniform(*_ORDER_PITCHES[name]) for name in ("low", "high")]
    if label == "high first":
        pitches.reverse()
    durations = [random.uniform(0.15, 0.25) for _ in pitches]
    # the rest of the second is divided between the gaps before, between and after the beeps
    room = 0.94 - sum(durations)
    before, until = sorted(random.uniform(0, room) for _ in pitches)
    starts = (before, until + durations[0] + 0.05)
    return _sound(
        [(s, d, p, p) for s, d, p in zip(starts, durations, pitches, strict=True)], random
    )


TASKS = (
    Task("audio_pitch", "audio", tuple(_PITCHES), "The pitch of the tone", _pitch),
    Task(
        "audio_contour",
        "audio",
        ("rising", "falling"),
        "Whether the pitch rises or falls",
        _contour,
    ),
    Task("audio_rhythm", "audio", tuple(_BEATS), "The number of beats", _beats),
    Task("audio_onset", "audio", _PARTS, "The third of the recording with the beep", _onset),
    Task(
        "audio_order",
        "audio",
        ("low first", "high first"),
        "Whether the low or the high beep comes first",
        _order,
    ),
)
