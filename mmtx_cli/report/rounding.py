"""Format numbers for reading, rounded to the precision that the data supports."""

import math
from typing import Any, TypeGuard

MISSING = "–"
UNITS = ("", " k", " M", " G", " T", " P")


def rounded(value: Any, interval: Any = None) -> str:
    """Format a number, with its interval if there is one: ``3.21 [3.02, 3.40]``."""
    if not is_number(value):
        return MISSING if value is None else str(value)
    if not _is_interval(interval):
        return _plain(value)
    low, high = (float(end) for end in interval)
    if not all(map(math.isfinite, (value, low, high))) or high <= low:
        return f"{_plain(value)} [{_plain(low)}, {_plain(high)}]"
    # Two significant digits of the half-width: more is noise, fewer would hide differences.
    digits = min(6, max(0, 1 - math.floor(math.log10((high - low) / 2))))
    return f"{value:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def signed(number: float) -> str:
    """Format a difference with its sign."""
    return f"{'-' if number < 0 else '+'}{rounded(abs(number))}"


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return True for an int or float, but not for NaN or a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def duration(seconds: float | int) -> str:
    """Format a duration: ``12.3 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.3g} s" if seconds < 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def percent(share: float | int) -> str:
    """Format a fraction as a percentage: ``93 %``, ``0.4 %``."""
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"


def _plain(value: float | int) -> str:
    """Format to about three significant digits, and integers without decimals."""
    if not math.isfinite(value):
        return str(value)
    size = abs(float(f"{value:.3g}"))  # as displayed: 999.97 is 1,000
    if isinstance(value, int) or size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{2 if size < 100 else 1}f}"
    return f"{value:.3f}" if size >= 0.01 or size == 0 else f"{value:.2g}"


def _is_interval(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))


def amount(value: float | None) -> str:
    """Format a cost to three digits with a unit prefix up to 10^15: ``2.5 T``."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    shown = float(f"{value:.3g}")  # 999,999 is 1 M, not 1000 k
    power = sum(abs(shown) >= 1000**i for i in range(1, len(UNITS)))
    scaled = shown / 1000**power
    return f"{f'{scaled:,.0f}' if abs(scaled) >= 1000 else f'{scaled:.3g}'}{UNITS[power]}"
