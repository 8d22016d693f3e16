"""Errors of the media decoders: files that cannot be read, and why."""

from mmtx_cli.errors import DataError

OUT_OF_MEMORY = (
    "too large: decoding takes more memory than data.decode_memory allows; for a trusted file, "
    "raise it (for mmtx data action=check: decode_memory)"
)


class UnreadableError(DataError):
    """A media file cannot be decoded; ``reason`` is one line, suitable for the quarantine list."""

    def __init__(self, path: str, reason: str) -> None:
        """Store the file's path and why it cannot be read."""
        self.path = path
        self.reason = " ".join(reason.split()) or "cannot be decoded"
        super().__init__(f"{path}: {self.reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # an exception passed between processes is rebuilt from its arguments
        return type(self), (self.path, self.reason)


class OutsideError(UnreadableError):
    """The requested time range contains none of the file's content."""


class NoVideoError(UnreadableError):
    """The file has no video stream; it may contain audio."""
