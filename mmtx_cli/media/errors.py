"""The one error of every decoder: a media file that cannot be read, and why."""

from mmtx_cli.errors import DataError

OUT_OF_MEMORY = (
    "too large: decoding it takes more memory than data.decode_memory allows; for a file that you "
    "trust, raise it (of mmtx data action=check: decode_memory)"
)


class UnreadableError(DataError):
    """A media file that cannot be decoded; ``reason`` is one line fit for a quarantine list."""

    def __init__(self, path: str, reason: str) -> None:
        """Take the file's path and why it cannot be read."""
        self.path = path
        self.reason = " ".join(reason.split()) or "cannot be decoded"
        super().__init__(f"{path}: {self.reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # an exception is rebuilt from its arguments when it crosses from a worker process
        return type(self), (self.path, self.reason)


class OutsideError(UnreadableError):
    """Nothing of the file lies between the wanted start and end."""


class NoVideoError(UnreadableError):
    """The file holds no moving picture; it may hold sound."""
