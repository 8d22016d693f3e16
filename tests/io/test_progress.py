"""What a log file contains about long work."""

import re

from mmtx_cli.io.progress import SparseLines, hours, track


class Clock:
    """Time that passes where a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def progress_lines(lines, clock, seconds, total):
    """Lines of work of which every part takes so many seconds."""
    found = []
    for done in range(lines.before + 1, total + 1):
        clock.now += seconds
        found.append(lines.line(done))
    return [line for line in found if line]


def test_elapsed_and_remaining_time():
    clock = Clock()
    found = progress_lines(SparseLines(100, clock=clock), clock, 5.0, 100)
    assert re.fullmatch(r"3/100, 0:00:15, .*\b0:08:05\b.*", found[0])
    assert re.fullmatch(r"6/100, 0:00:30, .*\b0:07:50\b.*", found[1])


def test_what_was_done_before_counts_for_no_speed():
    clock = Clock()
    found = progress_lines(SparseLines(100, 50, clock), clock, 15.0, 100)
    assert re.fullmatch(r"51/100, 0:00:15, .*\b0:12:15\b.*", found[0])


def test_lines_of_a_night_are_few():
    clock = Clock()
    found = progress_lines(SparseLines(36_000, clock=clock), clock, 1.0, 36_000)  # ten hours
    assert len(found) < 120
    assert found[-1].startswith("3")
    assert "9:" in found[-1]


def test_quick_work_is_silent(capsys):
    clock = Clock()
    assert progress_lines(SparseLines(10, clock=clock), clock, 1.0, 10) == []
    assert [*track(range(3), 3, "files")] == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_progress_in_a_log_file(capsys, monkeypatch):
    monkeypatch.setattr("mmtx_cli.io.progress.FIRST_SECONDS", 0.0)
    assert [*track(range(2), 2, "image")] == [0, 1]
    first, *_ = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"image 1/2, 0:00:00, .*\b0:00:00\b.*", first)


def test_hours():
    assert [hours(s) for s in (0, 59.6, 3600, 360_061)] == [
        "0:00:00",
        "0:01:00",
        "1:00:00",
        "100:01:01",
    ]
