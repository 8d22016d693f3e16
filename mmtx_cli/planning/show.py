"""Print a plan as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from mmtx_cli.io.console import make_console, print_table
from mmtx_cli.io.progress import hours

Row = tuple[str, str, str]
"""Group (only in its first row), name, value."""


def print_plan(plan: Mapping[str, Any]) -> None:
    """Print the figures of a plan, then its notes."""
    table = Table(title=title(plan), show_header=False)
    table.add_column("")
    table.add_column("")
    table.add_column("", justify="right")
    for row in rows(plan):
        table.add_row(*row)
    print_table(table)
    for note in plan["notes"]:
        make_console(soft_wrap=True).print(note)


def title(plan: Mapping[str, Any]) -> str:
    """Return what is planned."""
    devices = f"{plan['devices']} × " if plan["devices"] > 1 else ""
    return f"plan of mmtx {plan['command']} on {devices}{plan['device']}"


def rows(plan: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of the table."""
    for group, values in groups(plan):
        for i, (name, value) in enumerate(values):
            yield (group if i == 0 else "", name, value)


def groups(plan: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the groups of the table with their names and values."""
    counts = plan["parameters"]
    parts = counts["components"]
    yield (
        "parameters",
        [
            *(
                (name, parameters(part["parameters"], part["trained"]))
                for name, part in parts.items()
            ),
            ("total", parameters(counts["total"], counts["trained"])),
        ],
    )
    kind = "memory of a process" if plan["device"] == "cpu" else "memory of a GPU"
    memory = [(name, amount(value)) for name, value in plan["memory_bytes"].items()]
    if plan.get("memory_available_bytes"):
        memory.append(("of the device", amount(plan["memory_available_bytes"])))
    yield kind, memory
    if "seconds_per_step" in plan:
        yield (
            "time",
            [
                ("a step", seconds(plan["seconds_per_step"])),
                ("of it waiting for data", f"{plan['waiting_for_data']:.0%}"),
                (
                    f"an epoch of {plan['steps_per_epoch']} steps",
                    seconds(plan["seconds_per_epoch"]),
                ),
            ],
        )
    elif "samples_per_second" in plan:
        yield "time", [("samples per second", f"{plan['samples_per_second']:.3g}")]
    whole = f"{plan['steps']} steps" if "steps" in plan else f"{plan['samples']} samples"
    yield whole, [(name, seconds(value)) for name, value in plan["seconds"].items()]
    yield "disk", [(name, amount(value)) for name, value in plan["disk_bytes"].items()]


def parameters(total: int, trained: int) -> str:
    """Return a number of parameters in words."""
    text = f"{total / 1e6:.2f} M"
    return text if trained == total else f"{text} ({trained / 1e6:.2f} M trained)"


def amount(size: int) -> str:
    """Return bytes in GB, or in MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def seconds(value: float) -> str:
    """Return a duration: in hours, minutes and seconds from a minute on."""
    if value >= 60:
        return hours(value)
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.1f} ms"
