"""Print tables of results on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from mmtx_cli.io.console import make_console, print_table
from mmtx_cli.metric.direction import headlines
from mmtx_cli.report.baseline import baseline_table, unbeaten_sentences
from mmtx_cli.report.contribution import contribution_table, unused_modalities
from mmtx_cli.report.cost import costs
from mmtx_cli.report.diversity import DiversityPart, diversity_parts
from mmtx_cli.report.metric_table import MetricTable


def print_metrics(result: Mapping[str, Any]) -> None:
    """Print metrics with their intervals, by group, then baselines and other measurements."""
    groups = result.get("groups", {})
    table = Table(title=f"{result['count']} samples")
    table.add_column("metric")
    table.add_column("value [95 % interval]", justify="right")
    for name, part in groups.items():
        table.add_column(f"{name} ({part['count']})", justify="right")
    for metric, value in result["metrics"].items():
        low, high = result["intervals"][metric]
        others = [part["metrics"].get(metric) for part in groups.values()]
        shown = ("" if other is None else f"{other:.3f}" for other in others)
        table.add_row(metric, f"{value:.3f} [{low:.3f}, {high:.3f}]", *shown)
    print_table(table)
    for name in without_cider(result["metrics"]):
        print(
            f"{name} is undefined: its word weights require samples with different references, "
            "but there is a single sample, or all have the same references"
        )
    if baselines := baseline_table(result):
        print_table(rich_table("comparison with baselines", "metric", baselines))
    print_bold(unbeaten_sentences(result))
    if result.get("subsets"):
        print_table(subset_table(result["subsets"]))
    if importance := contribution_table(result.get("contribution")):
        print_table(rich_table("modality importance", "metric", importance))
    print_bold(unused_modalities(result.get("contribution")))
    for part in diversity_parts(result):
        print_table(diversity_table(part))
    print_costs(result)


def print_bold(sentences: Iterable[str]) -> None:
    """Print each sentence on its own line."""
    for sentence in sentences:
        make_console(soft_wrap=True).print(Text(sentence, style="bold"))


def print_costs(result: Mapping[str, Any]) -> None:
    """Print the duration, parameters, FLOPs and memory of a run on one line."""
    print("; ".join(f"{name} {value}" for name, value in costs(result)))


def print_comparison(
    header: Sequence[str], rows: Sequence[Sequence[str]], legend: Sequence[Sequence[str]]
) -> None:
    """Print one row per group, then the full settings of groups whose names do not show them."""
    table = Table(*header[:2], *(column(title) for title in header[2:]))
    for row in rows:
        table.add_row(*map(Text, row))
    print_table(table)
    for name, settings in legend:
        text = Text.assemble("\n", (name, "bold"), f"\n  {settings}")
        make_console(soft_wrap=True).print(text)


def column(title: str) -> Column:
    """Return a right-aligned column."""
    return Column(title, justify="right")


def without_cider(metrics: Mapping[str, Any]) -> list[str]:
    """Return the captioning heads, or sets of captions, for which CIDEr-D is undefined."""
    heads = [name.rpartition("/")[0] for name in metrics if name.endswith("/bleu_4")]
    return [f"{head}/cider" for head in heads if f"{head}/cider" not in metrics]


def diversity_table(part: DiversityPart) -> Table:
    """Return a row per figure and the most frequent captions, for captions and references."""
    shown = Table("", *(column.title for column in part.table.columns), title=part.title)
    for row in part.table.rows:
        shown.add_row(row.name, *row.cells)
    shown.add_row("most frequent caption", *map(Text, part.most_frequent.values()))
    return shown


def rich_table(title: str, first: str, table: MetricTable) -> Table:
    """Return a report table for the terminal; ``first`` is the heading of the row names."""
    shown = Table(first, *(column.title for column in table.columns), title=title)
    for row in table.rows:
        shown.add_row(f"{row.head}: {row.name}", *row.cells)
    return shown


def subset_table(subsets: Mapping[str, Any]) -> Table:
    """Return a table with one row per subset of the modalities.

    It shows the headline metric of each head, or its first metric if it has none; result.json
    holds the others.
    """
    metric_names = dict.fromkeys(name for part in subsets.values() for name in part["metrics"])
    first: dict[str, str] = {}
    for name in metric_names:
        first.setdefault(name.rpartition("/")[0], name)
    metrics = (first | headlines(metric_names)).values()
    table = Table("modalities", *metrics, title="modality subsets")
    for modalities, part in subsets.items():
        cells = []
        for name in metrics:
            low, high = part["intervals"][name]
            cells.append(f"{part['metrics'][name]:.3f} [{low:.3f}, {high:.3f}]")
        table.add_row(modalities, *cells)
    return table
