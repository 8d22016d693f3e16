"""Time window of a waveform, in seconds and in samples."""

import math
from dataclasses import dataclass

from mmtx_cli.media.errors import OutsideError, UnreadableError

LONGEST_HOURS = 24


@dataclass(frozen=True)
class Window:
    """The part from ``start`` to ``end`` in seconds, cropped to at most ``seconds``.

    ``offset``, from 0 to 1, positions the crop within the part; None centers it.
    """

    seconds: float | None = None
    start: float | None = None
    end: float | None = None
    offset: float | None = None

    def check(self, path: str) -> None:
        """Raise ValueError for invalid settings, UnreadableError for invalid times in the data."""
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds must be above 0, not {self.seconds}")
        if self.offset is not None and not 0 <= self.offset <= 1:
            raise ValueError(f"offset must be between 0 and 1, not {self.offset}")
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not math.isfinite(value):
                raise UnreadableError(path, f"{name} {value} is not a valid time")
        if self.start is not None and self.end is not None and self.end <= self.start:
            reason = f"end {self.end:g} s is not after start {self.start:g} s"
            raise UnreadableError(path, reason)

    @property
    def is_everything(self) -> bool:
        """True if the window is the whole waveform, whatever its length."""
        return self.seconds is self.start is self.end is None

    def samples(self, path: str, length: int, rate: int, zero: float) -> tuple[int, int]:
        """Return the window's first sample and the one after its last, clipped to the waveform.

        Args:
            path: File to name in errors.
            length: Number of samples in the waveform.
            rate: Sample rate in Hz.
            zero: Time of sample 0 in seconds.

        Raises:
            OutsideError: if the window contains no sample.
            UnreadableError: if the waveform is empty.
        """
        end_time = zero + length / rate
        if self.start is not None and (self.start - zero) * rate >= length:
            raise OutsideError(path, f"start {self.start:g} s is beyond the end, {end_time:g} s")
        first = 0 if self.start is None else max(0, round((self.start - zero) * rate))
        last = length if self.end is None else min(length, round((self.end - zero) * rate))
        if self.seconds is not None:
            count = max(1, round(self.seconds * rate))
            spare = last - first - count
            if spare > 0:
                shift = spare // 2 if self.offset is None else int(self.offset * (spare + 1))
                first += min(spare, shift)
                last = first + count
        if length <= 0:
            raise UnreadableError(path, "contains no audio")
        if first >= last:
            where = (
                f"from {self.start or 0:g} s to {end_time if self.end is None else self.end:g} s"
            )
            raise OutsideError(
                path, f"no audio {where}; it lasts from {zero:g} s to {end_time:g} s"
            )
        return first, last


def check_length(path: str, samples: int, rate: int) -> None:
    """Raise UnreadableError for more than ``LONGEST_HOURS`` hours of audio."""
    hours = samples / rate / 3600
    if hours > LONGEST_HOURS:
        reason = f"{hours:,.0f} hours of audio; at most {LONGEST_HOURS} are decoded at once"
        raise UnreadableError(path, reason)
