import math
from typing import Any

import pytest

from mmtx_cli.report.rounding import duration, percent, rounded


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (3.2134, [3.02, 3.4], "3.21 [3.02, 3.40]"),
        (0.9312, (0.91, 0.95), "0.931 [0.910, 0.950]"),
        (1234.5, [1100, 1400], "1,234 [1,100, 1,400]"),
        (0.5, [0.5, 0.5], "0.500 [0.500, 0.500]"),
        (0.5, [math.nan, 1.0], "0.500"),
        (3.2134, None, "3.21"),
        (0.93, None, "0.930"),
        (0.00031, None, "0.00031"),
        (12345.6, None, "12,346"),
        (123.45, None, "123.5"),
        (0.0, None, "0.000"),
        (7, None, "7"),
        (-0.8, None, "-0.800"),
        (math.nan, None, "nan"),
        (math.inf, None, "inf"),
        (None, None, "–"),
        ("high", None, "high"),
    ],
)
def test_rounds_to_what_the_data_supports(value: Any, interval: Any, expected: str) -> None:
    assert rounded(value, interval) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.1234, "0.123 s"),
        (12.34, "12.3 s"),
        (59.99, "60.0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_percent() -> None:
    assert [percent(x) for x in (0, 0.004, 0.0994, 0.93, 1)] == [
        "0 %",
        "0.4 %",
        "9.9 %",
        "93 %",
        "100 %",
    ]
