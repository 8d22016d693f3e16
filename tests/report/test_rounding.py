import math
from typing import Any

import pytest

from mmtx_cli.report.rounding import amount, duration, percent, rounded


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
        (999.97, None, "1,000"),
        (0.9996, None, "1.00"),
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
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (59.99, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (0, "0"),
        (0.25, "0.25"),
        (999.4, "999"),
        (999.6, "1 k"),
        (1000, "1 k"),
        (123456, "123 k"),
        (999_499, "999 k"),
        (999_999, "1 M"),
        (2.5e9, "2.5 G"),
        (999_999_999_999, "1 T"),
        (2.5e12, "2.5 T"),
        (7.25e15, "7.25 P"),
        (3e19, "30,000 P"),
        (math.inf, "inf"),
    ],
)
def test_amounts(value: float | None, expected: str) -> None:
    assert amount(value) == expected
