"""Summary of profiled training steps, as Markdown and on the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mmtx_cli.io.console import print_table


@dataclass(frozen=True)
class Spent:
    """Time of an operator, or of a module with everything in it."""

    name: str
    calls: int
    seconds: float


@dataclass(frozen=True)
class Profile:
    """What the time and the memory of some steps were spent on."""

    steps: int
    phases: Mapping[str, float]
    """Seconds of all steps by phase."""
    operators: Sequence[Spent]
    modules: Sequence[Spent]
    peak: float | None
    """MB that were needed at most, of the GPU or of the process; None if unknown."""

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.phases.values())


def phase_rows(found: Profile) -> Iterator[tuple[str, str, str]]:
    """Yield each phase with its milliseconds in a step and its share."""
    for name, seconds in found.phases.items():
        share = seconds / found.total if found.total else 0.0
        yield name, f"{1000 * seconds / found.steps:.1f} ms", f"{share:.0%}"


def spent_rows(parts: Sequence[Spent], steps: int) -> Iterator[tuple[str, str, str]]:
    """Yield each part with its calls and milliseconds in a step."""
    for part in parts:
        yield part.name, f"{part.calls / steps:.0f}", f"{1000 * part.seconds / steps:.2f} ms"


def sections(found: Profile) -> Iterator[tuple[tuple[str, str, str], list[tuple[str, str, str]]]]:
    """Yield the header and the rows of each table."""
    yield ("phase", "in a step", "share"), [*phase_rows(found)]
    yield ("module, forward", "calls", "in a step"), [*spent_rows(found.modules, found.steps)]
    yield ("operator", "calls", "in a step, itself"), [*spent_rows(found.operators, found.steps)]


def markdown(found: Profile, trace: str) -> str:
    """Return the summary as a page; ``trace`` is the name of the file with the trace."""
    lines = [
        f"# Profile of {found.steps} training steps",
        "",
        f"Recording takes time itself: compare shares, not seconds. `{trace}` opens in "
        "https://ui.perfetto.dev and in chrome://tracing.",
    ]
    for header, rows in sections(found):
        lines += ["", f"| {' | '.join(header)} |", "| --- | ---: | ---: |"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    if found.peak is not None:
        lines += ["", f"Peak memory: {found.peak:.1f} MB"]
    return "\n".join(lines) + "\n"


def print_profile(found: Profile, trace: Path) -> None:
    """Print the phases, and where the rest is."""
    header, rows = next(sections(found))
    table = Table(title=f"profile of {found.steps} steps")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    print_table(table)
    print(f"profile: {trace.parent / 'summary.md'}; trace for ui.perfetto.dev: {trace}")
