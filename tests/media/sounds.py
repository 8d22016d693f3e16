"""Sounds that the tests write and find again: a glide, which sounds different at each moment."""

import struct

import av
import numpy as np
import soundfile


def glide(seconds=3.0, rate=16000, low=200.0, high=2000.0):
    """A sine that rises from ``low`` to ``high`` Hz, not as loud as can be."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds))
    return (0.4 * np.sin(phase)).astype(np.float32)


def shift_and_error(found, expected, max_shift):
    """By how many samples ``found`` lags, up to ``max_shift``, and the mean error then."""
    size = min(len(found), len(expected)) - 2 * max_shift
    assert size > 0
    middle = expected[max_shift : max_shift + size]
    span = found[: size + 2 * max_shift]
    length = 1 << (len(span) + size).bit_length()
    spectrum = np.fft.rfft(span, length) * np.fft.rfft(middle, length).conj()
    correlation = np.fft.irfft(spectrum)[: 2 * max_shift + 1]
    # a pure tone is like itself at many shifts: the least one counts
    peaks = np.flatnonzero(correlation >= 0.9999 * correlation.max())
    best = int(peaks[np.abs(peaks - max_shift).argmin()])
    return best - max_shift, float(np.abs(span[best : best + size] - middle).mean())


def write_with_av(path, wave, rate, codec, format=None, picture=None, audio_after=0.0, begin=0):
    """Encode with PyAV; ``picture`` adds so many seconds of video beside the sound.

    All time stamps are ``begin`` seconds later.
    """
    options = {"output_ts_offset": str(begin)}
    with av.open(str(path), "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if picture is not None:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            for i in range(round(25 * picture)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i % 255, np.uint8))
                container.mux(video.encode(frame))
            container.mux(video.encode())
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, round(audio_after * rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


def wav_bytes(wave, rate=16000, **changes):
    """A 16-bit WAV file as bytes; ``changes`` set fields of its header to something else."""
    data = (wave * 32767).astype("<i2").tobytes()
    header = {
        "riff": 36 + len(data), "size": 16, "kind": 1, "channels": 1, "rate": rate,
        "bytes": 2 * rate % (1 << 32), "align": 2, "bits": 16, "data": len(data), **changes,
    }  # fmt: skip
    order = ("size", "kind", "channels", "rate", "bytes", "align", "bits")
    return (
        struct.pack("<4sI4s4s", b"RIFF", header["riff"], b"WAVE", b"fmt ")
        + struct.pack("<IHHIIHH", *(header[name] for name in order))
        + struct.pack("<4sI", b"data", header["data"])
        + data
    )


def write_floats(path, wave, rate=16000):
    """A WAV file of 32-bit floats, as they are."""
    soundfile.write(path, wave, rate, subtype="FLOAT", format="WAV")
    return path
