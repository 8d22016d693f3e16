"""Print the result of ``mmtx score``."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from mmtx_cli.io.console import make_console, print_table
from mmtx_cli.report.caption_scores.tables import (
    PEOPLE,
    cell,
    pair_tables,
    parameters,
    plain,
    rating_table,
)
from mmtx_cli.report.cost import costs
from mmtx_cli.report.terminal import column, without_cider


def print_scores(result: Mapping[str, Any]) -> None:
    """Print metrics with intervals, differences between systems, agreement, notes, parameters."""
    systems = result.get("systems") or {"value [95 % interval]": result}
    people = result.get("first_references", {}).get("metrics", {})
    table = Table("metric", *(column(name) for name in systems), title=f"{result['count']} samples")
    if people:
        table.add_column(PEOPLE, justify="right")
    names = dict.fromkeys(name for part in systems.values() for name in part["metrics"])
    for name in names:
        cells = [cell(part, name) for part in systems.values()]
        table.add_row(name, *map(Text, [*cells, *([plain(people.get(name))] if people else [])]))
    print_table(table)
    for name in without_cider(names):
        print(
            f"{name} is undefined: its word weights require samples with different references, "
            "but there is a single sample, or all have the same references"
        )
    for pair in pair_tables(result):
        shown = Table(
            "metric",
            *map(
                column, ("difference [95 %]", "adjusted p", f"{pair.a} wins / ties / {pair.b} wins")
            ),
            "verdict",
            title=f"{pair.a} minus {pair.b}",
        )
        for row in pair.rows:
            shown.add_row(
                *map(Text, (row.metric, row.difference, row.p, row.win_text, row.verdict))
            )
        print_table(shown)
    if agreement := rating_table(result):
        note = agreement.columns[0].note
        shown = Table(
            "metric",
            *(column(each.title) for each in agreement.columns),
            title=f"agreement with {note}",
        )
        for each in agreement.rows:
            shown.add_row(each.name, *map(Text, each.cells))
        print_table(shown)
    console = make_console(soft_wrap=True)
    for family, text in parameters(result).items():
        console.print(Text(f"{family}: {text}"))
    for note in result.get("notes", []):
        console.print(Text(f"note: {note}"))
    print("; ".join(f"{name} {value}" for name, value in costs(result)))
