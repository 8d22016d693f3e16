"""Choice of the decoding library: torchcodec if it loads, else PyAV; ``MMTX_DECODER`` overrides."""

import functools
import importlib
import os

from mmtx_cli.errors import ConfigError

BACKENDS = {"torchcodec": "torchcodec.decoders", "pyav": "av"}
VARIABLE = "MMTX_DECODER"


def backend_name() -> str:
    """Return "torchcodec" or "pyav"; each is probed once per process.

    Raises:
        ConfigError: if ``MMTX_DECODER`` names an unknown library or one that does not load, or if
            neither library loads.
    """
    forced = os.environ.get(VARIABLE)
    if forced and forced not in BACKENDS:
        raise ConfigError(
            f"{VARIABLE}: unknown decoder {forced!r}; choose from: {', '.join(BACKENDS)}"
        )
    faults = []
    for name in [forced] if forced else BACKENDS:
        fault = _fault(name)
        if fault is None:
            return name
        faults.append(
            f"{name} cannot be loaded: {fault}; pip install {BACKENDS[name].split('.')[0]}"
        )
    raise ConfigError(*faults)


ARRAY_MODULES = ("video.pyav_frames", "audio.soundfile_reader", "audio.pyav_reader")
"""Decoding modules that do not need torch."""


@functools.cache
def load_decoders() -> None:
    """Import the decoding modules, so that forked decoder processes start with them loaded."""
    load_array_decoders()
    if backend_name() == "torchcodec":
        importlib.import_module("mmtx_cli.media.video.torchcodec_frames")


@functools.cache
def load_array_decoders() -> None:
    """Import the decoding modules that do not need torch."""
    for name in ARRAY_MODULES:
        importlib.import_module(f"mmtx_cli.media.{name}")


@functools.cache
def _fault(name: str) -> str | None:
    """Return why the library cannot be used, or None if it can."""
    try:
        module = importlib.import_module(BACKENDS[name])
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    except (ImportError, OSError, RuntimeError) as error:  # torchcodec without FFmpeg's libraries
        return next(iter(str(error).splitlines()), type(error).__name__)
    if name == "torchcodec":
        from torchcodec.decoders import VideoStreamMetadata

        # torchcodec 0.17 imports without FFmpeg's libraries, then fails slowly on each file
        try:
            module.VideoDecoder(b"")
        except (RuntimeError, ValueError) as error:
            if "libtorchcodec" in str(error):
                return "no supported FFmpeg libraries (libavutil …) found"
        if "rotation" not in VideoStreamMetadata.__dataclass_fields__:
            return "it is older than 0.11 and ignores the rotation of videos"
    elif not hasattr(module.VideoFrame, "rotation"):
        return f"version {module.__version__} is not supported; 15.1 or later is required"
    return None
