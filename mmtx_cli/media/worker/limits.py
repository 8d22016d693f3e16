"""Limits of time, memory and pixels per media file, in every command that reads media."""

from dataclasses import dataclass

from mmtx_cli.config.data_settings import (
    DECODE_MEMORY,
    DECODE_TIMEOUT,
    MAX_IMAGE_PIXELS,
    DataSettings,
)

GIGABYTE = 10**9


@dataclass(frozen=True)
class DecodeLimits:
    """Limits for one file: ``seconds``, ``memory`` in GB, and ``pixels`` of an image.

    If ``isolated``, images that are cheap to decode are decoded in the child process, too.
    """

    seconds: float = DECODE_TIMEOUT
    memory: float = DECODE_MEMORY
    pixels: int = MAX_IMAGE_PIXELS
    isolated: bool = False

    @classmethod
    def of(cls, data: DataSettings) -> "DecodeLimits":
        """Return the limits set in the ``data`` section of a configuration."""
        return cls(data.decode_timeout, data.decode_memory, data.max_image_pixels)

    @property
    def bytes(self) -> int:
        """``memory`` in bytes."""
        return round(self.memory * GIGABYTE)
