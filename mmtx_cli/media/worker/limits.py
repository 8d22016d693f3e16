"""How much time and memory one file may cost, in every command that reads media files."""

from dataclasses import dataclass

from mmtx_cli.config.schema import DECODE_MEMORY, DECODE_TIMEOUT, MAX_IMAGE_PIXELS, DataSettings

GIGABYTE = 10**9


@dataclass(frozen=True)
class DecodeLimits:
    """``seconds`` and ``memory`` (GB) for one file; ``pixels`` of a picture, at most."""

    seconds: float = DECODE_TIMEOUT
    memory: float = DECODE_MEMORY
    pixels: int = MAX_IMAGE_PIXELS

    @classmethod
    def of(cls, data: DataSettings) -> "DecodeLimits":
        """Those that a run's section ``data`` sets."""
        return cls(data.decode_timeout, data.decode_memory, data.max_image_pixels)

    @property
    def bytes(self) -> int:
        """``memory`` in bytes."""
        return round(self.memory * GIGABYTE)
