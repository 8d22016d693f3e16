"""Limits of what a request may be, and the answers to those that exceed them."""

from dataclasses import dataclass

from mmtx_cli.runs.run_config import ServeConfig

MEGABYTE = 10**6


@dataclass(frozen=True)
class Limits:
    """Limits of a request.

    Args:
        upload_bytes: Size of the file.
        media_seconds: Length of a video or of audio.
        upload_seconds: Time in which the file must arrive.
        request_seconds: Time from its arrival to the answer.
        requests: Requests at a time.
    """

    upload_bytes: int
    media_seconds: float
    upload_seconds: float
    request_seconds: float
    requests: int

    @classmethod
    def of(cls, run: ServeConfig) -> "Limits":
        """Return the limits that a configuration sets."""
        return cls(
            round(run.max_upload_mb * MEGABYTE),
            run.max_seconds,
            run.upload_timeout,
            run.request_timeout,
            run.max_requests,
        )


class RefusedRequestError(Exception):
    """A request that is answered with an error.

    ``faults`` are one or more messages for the client; ``close`` ends the connection, since the
    rest of the request is not read.
    """

    def __init__(self, status: int, *faults: str, close: bool = False) -> None:
        super().__init__("\n".join(faults))
        self.status, self.faults, self.close = status, faults, close
